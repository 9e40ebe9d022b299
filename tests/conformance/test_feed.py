"""What every Feed does: each event once and in order, from any position, whatever happens to the messenger."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from domain.envelope import Recorded
from domain.ports import EventStore, Feed
from infra.event_store import PostgresEventStore
from infra.feed import PostgresFeed
from infra.jetstream import Names
from infra.jetstream_feed import JetStreamFeed
from infra.relay import Relay
from tests.fakes import MemoryEventStore
from tests.samples import stream, write

World = tuple[EventStore, Feed]


@asynccontextmanager
async def postgres_world(url: str) -> AsyncIterator[World]:
    store = await PostgresEventStore.open(url)
    feed = await PostgresFeed.open(store)
    yield store, feed
    await feed.close()
    await store.close()


@asynccontextmanager
async def jetstream_world(url: str, nats_url: str, prefix: str) -> AsyncIterator[World]:
    store = await PostgresEventStore.open(url)
    wakeup = await PostgresFeed.open(store)
    names = Names(prefix=prefix)
    relay = Relay(wakeup, nats_url, names)
    relay.start()
    feed = await JetStreamFeed.open(store, nats_url, names)
    yield store, feed
    await feed.close()
    await relay.close()
    await wakeup.close()
    await store.close()


@pytest.fixture(params=["memory", "postgres", "jetstream"])
async def world(request: pytest.FixtureRequest, prefix: str) -> AsyncIterator[World]:
    """A log and a feed of it."""
    if request.param == "memory":
        store = MemoryEventStore()
        yield store, store
        return
    url = request.getfixturevalue("postgres_url")
    opened = postgres_world(url) if request.param == "postgres" else jetstream_world(url, request.getfixturevalue("nats_url"), prefix)
    async with opened as pair:
        yield pair


async def take(feed: Feed, count: int, after: int = 0, limit: int = 1000, began: Callable[[], None] = lambda: None) -> list[Recorded]:
    """Consume `count` events, checking that each page continues the one before."""
    seen: list[Recorded] = []
    async with asyncio.timeout(20):
        async for page in feed.pages(after, limit):
            assert page.events
            assert len(page.events) <= limit
            assert page.previous <= after < page.first
            assert (page.first, page.last) == (page.events[0].position, page.events[-1].position)
            after = page.last
            seen.extend(page.events)
            began()
            if len(seen) >= count:
                break
    return seen


async def test_gives_what_is_there(world: World) -> None:
    """A consumer that starts at 0 gets the whole log, in pages of at most the limit."""
    log, feed = world
    done = [event for n in range(10) for event in await log.append([write(stream(n), events=3)])]
    assert await take(feed, 30, limit=7) == done


async def test_gives_what_comes(world: World) -> None:
    """A consumer at the end waits and gets what is appended later."""
    log, feed = world
    consumer = asyncio.create_task(take(feed, 5))
    done = []
    for n in range(5):
        done += await log.append([write(stream(n))])
    assert await consumer == done


async def test_starts_anywhere(world: World) -> None:
    """A consumer gets exactly what comes after its position."""
    log, feed = world
    done = [event for n in range(10) for event in await log.append([write(stream(n))])]
    assert await take(feed, 4, after=done[5].position) == done[6:]


async def test_consumers_do_not_disturb_each_other(world: World) -> None:
    """Many consumers, some of them slow, each get everything."""
    log, feed = world
    consumers = [asyncio.create_task(take(feed, 200, limit=limit)) for limit in (1, 7, 1000, 1000)]
    done = []
    for n in range(100):
        done += await log.append([write(stream(n), events=2)])
    for seen in await asyncio.gather(*consumers):
        assert seen == done
