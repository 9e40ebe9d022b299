"""The queue view as the scheduler reads it: line by line, from a position on, past what was taken before."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any
from uuid import UUID

from psycopg import AsyncConnection

from domain import ids
from domain.envelope import Meta
from domain.job import events as e
from domain.ports import NewEvent, StreamWrite
from domain.scheduling.line import Line
from domain.scheduling.window import Short
from infra.event_store import PostgresEventStore
from infra.feed import PostgresFeed
from infra.pool import Pool
from projections import positions, queue
from projections.projector import Projector
from tests.domain.scenario import NOW, created

Projecting = Callable[..., AbstractAsyncContextManager[Projector]]

META = Meta(NOW, "t", "a", command=ids.command_id("test", "1"))
LINUX = ("linux",)


def job(key: str, number: int) -> UUID:
    return ids.derive("job", key, number)


def queued(key: str, number: int, lane: str = "default", labels: tuple[str, ...] = LINUX) -> StreamWrite:
    events = (created(labels=labels), e.JobQueued(lane, "t", labels, key, NOW))
    return StreamWrite(job(key, number), 0, tuple(NewEvent(event, META) for event in events))


def acquired(key: str, number: int) -> StreamWrite:
    event = e.JobAcquired(1, 1, UUID(int=1), "r", UUID(int=number), NOW, NOW)
    return StreamWrite(job(key, number), 2, (NewEvent(event, META),))


async def test_the_front_of_each_line_and_what_lies_beyond(
    store: PostgresEventStore, projecting: Projecting, connect: Callable[[], Any]
) -> None:
    """Lines differ in key, lane and labels; each is read in the order of its positions; what runs is told by share."""
    lines = (("a", "default", LINUX), ("b", "background", ()))
    writes = [queued(key, number, lane, labels) for number in range(5) for key, lane, labels in lines]
    recorded = await store.append(writes)
    await store.append([acquired("a", 0)])
    feed = await PostgresFeed.open(store)
    async with projecting(Both(store, feed)), await connect() as connection:
        fronts = await queue.fronts(connection, 2)
        assert [[each.job for each in front] for front in fronts] == [[job("a", 1), job("a", 2)], [job("b", 0), job("b", 1)]]
        assert fronts[1][0].line == Line("t", "b", "background", ())
        place = {event.stream: event.position for event in recorded}
        assert [each.position for each in fronts[0]] == [place[job("a", 1)], place[job("a", 2)]]
        more = await queue.beyond(connection, Short(fronts[0][0].line, fronts[0][1].position + 1, 9))
        assert [each.job for each in more] == [job("a", 3), job("a", 4)]
        assert await queue.running(connection) == [(job("a", 0), "t", "a")]
    await feed.close()


async def test_reading_on_costs_the_same_under_an_old_snapshot(
    store: PostgresEventStore, projecting: Projecting, connect: Callable[[], Any], pool: Pool
) -> None:
    """Thousands of rows that an old snapshot keeps in the index lie before the place that is read; none of them is touched."""
    jobs = 3000
    feed = await PostgresFeed.open(store)
    async with projecting(Both(store, feed)), await connect() as old, await connect() as connection:
        recorded = await store.append([queued("a", number) for number in range(jobs)])
        short = Short(Line("t", "a", "default", LINUX), recorded[-1].position - 100, 20)
        await reached(pool, recorded[-1].position)
        before = await pages(connection, short)
        await old.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        await old.execute("SELECT count(*) FROM views.queue")
        taken = await store.append([acquired("a", number) for number in range(jobs - 100)])
        await reached(pool, taken[-1].position)
        assert await pages(connection, short) <= before + 5
        assert await pages(connection, Short(short.line, 0, 20)) > before + 50, "what reading from the front of the line would cost"
        assert len(await queue.beyond(connection, short)) == 20
    await feed.close()


class Both:
    """The log as the fixture takes it: store and feed in one."""

    def __init__(self, store: PostgresEventStore, feed: PostgresFeed) -> None:
        self.head = store.head
        self.pages = feed.pages


async def reached(pool: Pool, position: int) -> None:
    assert await positions.wait(pool.connection, "queue", position, 60)


async def pages(connection: AsyncConnection[Any], short: Short) -> int:
    """How many pages of the database reading on touches."""
    line = short.line
    parameters = (line.tenant, line.fair_key, line.lane, queue.Jsonb(line.labels), short.start, short.limit)
    await connection.execute("ANALYZE views.queue")
    explained = await (await connection.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {queue.BEYOND}".encode(), parameters)).fetchone()
    assert explained is not None
    plan = explained[0][0]["Plan"]
    return int(plan["Shared Hit Blocks"]) + int(plan["Shared Read Blocks"])
