"""A reader that follows the log by position while eight writers append, stall before their commit and roll back.

The goal is exact, so one long run counts and not a median: 1,000,000 events, none missed, none twice, all in order.
"""

import asyncio
import random
from collections.abc import AsyncIterator

import psycopg

from bench import samples
from bench.harness import Figures, Goal, Round, Row, judge
from bench.place import Place
from infra import append_call
from infra.connections import connect, session_name
from infra.event_store import PostgresEventStore

EVENTS = 1_000_000
WRITERS = 8
BATCHES = (1, 10, 100, 1_000, 2_000)
ROLLBACK = 0.05
STALL = 0.04
STALL_SECONDS = 0.02
GOALS = (Goal(id="tail", case=f"events missed of {EVENTS:,}, {WRITERS} writers", unit="missed", must=0, better="less", figure="missed"),)


async def measure(place: Place) -> AsyncIterator[Row]:
    """One run."""
    store = await PostgresEventStore.open(place.database())
    figures = await _run(store)
    await store.close()
    yield judge(GOALS[0], [Round(place.probe(), {"ours": figures})], f"one long run, {figures['rate']:,.0f} ev/s meanwhile")


async def _run(store: PostgresEventStore) -> Figures:
    written = asyncio.Event()
    reader = asyncio.create_task(_tail(store, written))
    began = asyncio.get_running_loop().time()
    appended = await asyncio.gather(*(_write(store.database_url, number) for number in range(WRITERS)))
    seconds = asyncio.get_running_loop().time() - began
    written.set()
    seen = await reader
    with psycopg.connect(store.database_url) as connection:
        log = {row[0] for row in connection.execute("select notification_id from public.events_0")}
    if sum(appended) != len(log) or seen != sorted(set(seen)):
        raise RuntimeError(f"{sum(appended)} appended, {len(log)} in the log, {len(seen)} seen, in order: {seen == sorted(set(seen))}")
    return {"missed": float(len(log - set(seen))), "rate": len(log) / seconds}


async def _write(url: str, number: int) -> int:
    """Transactions of its own until this writer's share is in the log; returns how many events are."""
    chance = random.Random(number)
    done = 0
    connection = await connect(url, session_name("bench"))
    while done < EVENTS // WRITERS:
        rows = samples.rows(min(chance.choice(BATCHES), EVENTS // WRITERS - done))
        async with connection.transaction() as transaction:
            await connection.execute(append_call.statement(0).encode(), append_call.parameters(rows), prepare=True)
            if chance.random() < STALL:
                await asyncio.sleep(STALL_SECONDS)
            if chance.random() < ROLLBACK:
                raise psycopg.Rollback(transaction)
            done += len(rows)
    await connection.close()
    return done


async def _tail(store: PostgresEventStore, written: asyncio.Event) -> list[int]:
    """The positions in the order in which they are seen, until the writers are done and nothing more comes."""
    seen: list[int] = []
    after = 0
    while True:
        ended = written.is_set()
        page = await store.read(after)
        if page is not None:
            seen.extend(event.position for event in page.events)
            after = page.last
        elif ended:
            return seen
        else:
            await asyncio.sleep(0)
