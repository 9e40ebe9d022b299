"""A crowd is woken in rounds: everybody hears of everything, and nobody else waits until all are served."""

import asyncio
from contextlib import ExitStack

from domain.ports import Page
from gateway.hub import WOKEN_AT_ONCE, Hub, runs_of
from tests.fakes import MemoryEventStore
from tests.samples import stream, write

CROWD = 4 * WOKEN_AT_ONCE + 1


async def test_a_crowd_is_woken_a_few_at_a_time_and_nobody_is_left_out() -> None:
    """Also what happens while a round is under way reaches those whose turn is over already."""
    hub, store = Hub(), MemoryEventStore()
    events = await store.append([write(stream("s"), events=2)])
    with ExitStack() as stack:
        news = [asyncio.Event() for _ in range(CROWD)]
        followers = [stack.enter_context(hub.follow("default", each)) for each in news]
        hub.on_page(Page(0, 1, 1, events[:1]))
        first = [each for each in news if each.is_set()]
        assert len(first) == WOKEN_AT_ONCE
        for each in first:
            each.clear()
        hub.on_page(Page(1, 2, 2, events[1:]))
        async with asyncio.timeout(60):
            for each in news:
                await each.wait()
        assert [follower.take() for follower in followers] == [list(events)] * CROWD


async def test_who_follows_the_runs_of_a_tenant_sleeps_through_what_their_jobs_say() -> None:
    """Of all events most are those: a crowd must not be woken for nothing to it."""
    hub = Hub()
    events = await MemoryEventStore().append([write(stream("s"))])
    with ExitStack() as stack:
        all_news, news = asyncio.Event(), asyncio.Event()
        stack.enter_context(hub.follow("default", all_news))
        runs = stack.enter_context(hub.follow(runs_of("default"), news))
        hub.on_page(Page(0, 1, 1, events))
        assert (all_news.is_set(), news.is_set()) == (True, False)
        assert runs.take() == []
