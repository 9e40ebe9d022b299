"""The permanent test: a reader that tails by position misses nothing, whatever writers and maintenance do meanwhile.

Eight writers roll back and stall in front of their commit, while ANALYZE, VACUUM and CREATE INDEX CONCURRENTLY loop. The
same load on an append function without its lock must lose events, or this test could not fail.
"""

import asyncio
import itertools
import random
from typing import Any

import psycopg

from infra import append_call, arrays, codec
from infra.event_store import PostgresEventStore
from tests.samples import heartbeat, stream

WRITERS = 8
TRANSACTIONS = 250
CHORES = (
    "analyze public.events_0",
    "vacuum public.events_0",
    "create index concurrently spare on public.events_0 (topic)",
    "drop index concurrently public.spare",
)


async def connect(url: str) -> psycopg.AsyncConnection[Any]:
    connection = await psycopg.AsyncConnection.connect(url, autocommit=True)
    arrays.register(connection.adapters)
    return connection


async def writer(url: str, number: int) -> int:
    """Append in transactions of its own, some rolled back, some slow; returns how many the log refused."""
    chance = random.Random(number)
    refused = 0
    topic, state = codec.to_row(heartbeat())
    async with await connect(url) as connection:
        for turn in range(TRANSACTIONS):
            rows = [(stream(number, turn, n), 1, topic, state) for n in range(chance.choice((1, 1, 1, 5)))]
            try:
                async with connection.transaction(force_rollback=chance.random() < 0.05):
                    await connection.execute(append_call.statement(0), append_call.parameters(rows), prepare=True)
                    if chance.random() < 0.04:
                        await connection.execute("select pg_sleep(0.02)")
            except psycopg.errors.UniqueViolation:
                refused += 1
    return refused


async def maintenance(url: str, rounds: list[int]) -> None:
    """Loop over the chores until cancelled. One session: two chores at once may deadlock each other, with no append near."""
    async with await connect(url) as connection:
        for chore in itertools.cycle(CHORES):
            await connection.execute(chore.encode())
            rounds[0] += chore is CHORES[-1]


async def tail(store: PostgresEventStore, seen: list[int], written: asyncio.Event) -> None:
    """Read on and on by position, until the writers are done and nothing more comes."""
    after = 0
    while True:
        ended = written.is_set()
        page = await store.read(after)
        if page is not None:
            assert page.previous == after
            seen.extend(event.position for event in page.events)
            after = page.last
        elif ended:
            return


async def missed_under_load(store: PostgresEventStore) -> tuple[int, int, int, int]:
    """(events missed, events in the log, rounds of maintenance, refused transactions)."""
    url = store.database_url
    seen: list[int] = []
    written = asyncio.Event()
    reader = asyncio.create_task(tail(store, seen, written))
    rounds = [0]
    chores = asyncio.create_task(maintenance(url, rounds))
    refused = sum(await asyncio.gather(*(writer(url, number) for number in range(WRITERS))))
    written.set()
    await reader
    if chores.done():
        await chores
    chores.cancel()
    await asyncio.gather(chores, return_exceptions=True)
    async with await connect(url) as connection:
        cursor = await connection.execute("select notification_id from public.events_0 order by 1")
        log = [row[0] for row in await cursor.fetchall()]
    assert seen == sorted(set(seen)), "every event once and in order"
    return len(set(log) - set(seen)), len(log), rounds[0], refused


async def test_a_tailing_reader_misses_nothing(store: PostgresEventStore) -> None:
    """0 missed, with rollbacks, stalls and maintenance; and maintenance is not held up by appends."""
    missed, events, rounds, refused = await missed_under_load(store)
    assert (missed, refused) == (0, 0)
    assert events > WRITERS * TRANSACTIONS
    assert rounds >= 3


async def test_without_the_lock_the_same_load_loses_events(store: PostgresEventStore) -> None:
    """The test above can fail: take the lock out of the function and the reader misses events."""
    async with await connect(store.database_url) as connection:
        cursor = await connection.execute("select pg_get_functiondef('public.append_events_0'::regproc)")
        row = await cursor.fetchone()
        assert row is not None
        lock = "perform pg_advisory_xact_lock(7300, 0);"
        assert lock in row[0]
        await connection.execute(row[0].replace(lock, ""))
    missed, _, _, _ = await missed_under_load(store)
    assert missed > 0
