"""The loop of the store's feed: it always lets others run, believes no wake-up twice, and ends when it is told to."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any, cast

import pytest

from domain.ports import Page
from infra.event_store import PostgresEventStore
from infra.feed import PostgresFeed
from tests.samples import stream, write


class EmptyLog:
    """A log without events that lets a test see and shape each read. reads: when they began (monotonic seconds)."""

    database_url = ""
    shard = 0

    def __init__(self) -> None:
        self.reads: list[float] = []
        self.began = asyncio.Condition()
        self.at_end: Callable[[], None] = lambda: None

    async def read(self, *_: int) -> Page | None:
        """Nothing, after a turn of the loop."""
        async with self.began:
            self.reads.append(time.monotonic())
            self.began.notify_all()
        await asyncio.sleep(0)
        self.at_end()
        return None

    async def has_read(self, times: int) -> None:
        """Wait for the read of this number to begin."""
        async with asyncio.timeout(10), self.began:
            await self.began.wait_for(lambda: len(self.reads) >= times)


async def consume(feed: PostgresFeed) -> None:
    """A consumer that never gets anything."""
    async with aclosing(cast("Any", feed.pages(0))) as pages:
        async for _ in pages:
            raise AssertionError("there is nothing to give")


@pytest.fixture
async def log() -> EmptyLog:
    """A log without events."""
    return EmptyLog()


@pytest.fixture
async def consumers() -> AsyncIterator[list[asyncio.Task[None]]]:
    """Consumers that end with the test; one that cannot be cancelled fails it."""
    tasks: list[asyncio.Task[None]] = []
    yield tasks
    for task in tasks:
        task.cancel()
    async with asyncio.timeout(20):
        await asyncio.gather(*tasks, return_exceptions=True)
    assert all(task.cancelled() for task in tasks)


@pytest.mark.timeout(60)
async def test_a_consumer_that_meets_a_finished_read_lets_others_run(log: EmptyLog, consumers: list[asyncio.Task[None]]) -> None:
    """A wake-up in the very turn in which a shared read ends: the woken consumer reads anew instead of spinning on the old one."""
    feed = PostgresFeed(cast("PostgresEventStore", log), poll_seconds=600)
    consumers.append(asyncio.create_task(consume(feed)))
    await log.has_read(1)
    while feed._reading:  # it waits for a wake-up as soon as its read is forgotten
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    log.at_end = lambda: feed.wakeup.heard(5)
    consumers.append(asyncio.create_task(consume(feed)))
    await log.has_read(3)
    for _ in range(100):
        await asyncio.sleep(0)
    assert len(log.reads) < 10


async def test_a_wakeup_that_the_log_disproves_is_believed_once(log: EmptyLog, consumers: list[asyncio.Task[None]]) -> None:
    """A position beyond the end (a restored database) leads to one read, not to reads without a pause."""
    feed = PostgresFeed(cast("PostgresEventStore", log), poll_seconds=0.2)
    feed.wakeup.heard(100)
    consumers.append(asyncio.create_task(consume(feed)))
    await log.has_read(2)
    assert log.reads[1] - log.reads[0] >= 0.15


async def test_an_event_during_a_shared_read_is_not_missed(store: PostgresEventStore) -> None:
    """What is committed while a read is under way reaches its consumers without waiting for the poll."""
    feed = await PostgresFeed.open(store, poll_seconds=600)
    after = 0
    async with asyncio.timeout(20), aclosing(cast("Any", feed.pages(0))) as pages:
        for number in range(50):
            reading = asyncio.ensure_future(anext(pages))
            await asyncio.sleep(0)
            done = await store.append([write(stream(number))])
            page = await reading
            assert page.events == done
            assert page.previous == after
            after = page.last
    await feed.close()


class CountedStore:
    """Counts the reads of a store."""

    def __init__(self, store: PostgresEventStore, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reads = 0
        original = store.read

        async def read(after: int, limit: int = 1000) -> Page | None:
            self.reads += 1
            return await original(after, limit)

        monkeypatch.setattr(store, "read", read)


async def test_own_commits_come_without_a_read(store: PostgresEventStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two consumers that wait at the end get what this process commits from memory, in the form in which it is stored."""
    feed = await PostgresFeed.open(store, poll_seconds=600)
    while feed.wakeup.doubts == 0:  # the listener is there, and has told everybody to look
        await asyncio.sleep(0.001)  # its connection is another process
    first = await store.append([write(stream(0))])
    async with asyncio.timeout(20), aclosing(cast("Any", feed.pages(0))) as one, aclosing(cast("Any", feed.pages(0))) as other:
        assert (await anext(one)).events == (await anext(other)).events == first
        counted = CountedStore(store, monkeypatch)
        for number in range(1, 40):
            waiting = [asyncio.ensure_future(anext(each)) for each in (one, other)]
            await asyncio.sleep(0)
            done = await store.append([write(stream(number), events=2)])
            page, same = await asyncio.gather(*waiting)
            assert page.events == same.events == done
            again = await PostgresEventStore.read(store, page.previous)
            assert again == page
    assert counted.reads == 1, "both looked once, together, before they waited for the first time"
    await feed.close()


async def test_nothing_is_missed_between_two_processes(postgres_url: str, store: PostgresEventStore) -> None:
    """Commits of another process lie between our own: each consumer of either gets all of them, in the order of the log."""
    other = await PostgresEventStore.open(postgres_url)
    feeds = [await PostgresFeed.open(each, poll_seconds=600) for each in (store, other)]

    async def writer(each: PostgresEventStore, streams: range) -> None:
        for number in streams:
            await each.append([write(stream(number))])
            if number % 7 == 0:
                await asyncio.sleep(0.002)  # both must have come to the end now and then; another process decides when

    async def consume_all(feed: PostgresFeed) -> list[int]:
        seen: list[int] = []
        async with aclosing(cast("Any", feed.pages(0, 5))) as pages:
            async for page in pages:
                assert page.previous == (seen[-1] if seen else 0)
                seen += [event.position for event in page.events]
                if len(seen) == 600:
                    return seen
        raise AssertionError("a feed does not end")

    async with asyncio.timeout(60):
        consumers = [asyncio.ensure_future(consume_all(feed)) for feed in feeds for _ in range(2)]
        await asyncio.gather(writer(store, range(300)), writer(other, range(1000, 1300)))
        found = await asyncio.gather(*consumers)
    log = [row[0] for row in (await store.rows(0, 1000))[1]]
    assert all(each == log for each in found)
    for feed in feeds:
        await feed.close()
    await other.close()


async def test_what_was_missed_while_a_consumer_worked_is_looked_for(store: PostgresEventStore, postgres_url: str) -> None:
    """The listener lost its connection and came back, and told those who waited; one that did not wait looks afterwards."""
    feed = PostgresFeed(store, poll_seconds=600)  # hears nothing by itself
    other = await PostgresEventStore.open(postgres_url)
    await other.append([write(stream(0))])
    async with asyncio.timeout(20), aclosing(cast("Any", feed.pages(0))) as pages:
        await anext(pages)
        done = await other.append([write(stream(1))])
        feed.wakeup.everybody()
        assert (await anext(pages)).events == done
    await other.close()
