"""The locks of streams: taken against the order only when they are free."""

import asyncio

import pytest

from commands.locks import Contended, StreamLocks
from domain import ids

FIRST, SECOND, THIRD = ((rank, ids.derive("stream", rank)) for rank in range(3))


async def test_a_free_lock_may_be_taken_against_the_order() -> None:
    """Nobody holds it or waits for it, so nobody can wait in a circle."""
    locks = StreamLocks()
    async with locks.hold({THIRD}) as claim:
        await claim(FIRST)
        with pytest.raises(Contended) as contended:
            async with locks.hold({SECOND}) as other:
                await other(FIRST)
    assert contended.value.places == {FIRST, SECOND}


async def test_a_lock_in_order_is_waited_for() -> None:
    """A commit that holds only what stands before it may wait."""
    locks = StreamLocks()
    seen: list[str] = []

    async def late() -> None:
        async with locks.hold({FIRST}) as claim:
            await claim(SECOND)
            seen.append("late")

    async with locks.hold({SECOND}):
        waiting = asyncio.create_task(late())
        await asyncio.sleep(0)
        seen.append("first")
    await waiting
    assert seen == ["first", "late"]


async def test_a_released_lock_that_others_wait_for_is_not_free() -> None:
    """Who would take it then would wait behind them, against the order."""
    locks = StreamLocks()
    entered = asyncio.Event()

    async def waiter() -> None:
        async with locks.hold({FIRST}):
            entered.set()

    async with locks.hold({FIRST}):
        task = asyncio.create_task(waiter())
        await asyncio.sleep(0)
    async with locks.hold({THIRD}) as claim:
        with pytest.raises(Contended):
            await claim(FIRST)
    await task
    assert entered.is_set()


async def test_commits_that_want_the_same_streams_in_any_order_all_get_through() -> None:
    """Forty of them, each first in its own order, then together: none waits for ever and none meets another."""
    locks = StreamLocks()
    places = [(rank % 3, ids.derive("many", rank)) for rank in range(6)]
    inside: set[tuple[int, object]] = set()

    async def commit(number: int) -> None:
        wanted = {places[number % 6]}
        while True:
            try:
                async with locks.hold(wanted) as claim:
                    for step in range(4):
                        place = places[(number * 5 + step * 7) % 6]
                        await claim(place)
                        wanted.add(place)
                        await asyncio.sleep(0)
                    assert inside.isdisjoint(wanted)
                    inside.update(wanted)
                    await asyncio.sleep(0)
                    inside.difference_update(wanted)
                    return
            except Contended as contended:
                wanted |= contended.places

    async with asyncio.timeout(10):
        await asyncio.gather(*(commit(number) for number in range(40)))


async def test_nothing_is_left_of_a_lock_that_nobody_uses() -> None:
    """Neither after its holders nor after one that gave up, before it was free or in that very moment."""
    locks = StreamLocks()

    async def waiter() -> None:
        async with locks.hold({FIRST, SECOND}):
            raise AssertionError("it gave up")

    for moment in ("before", "then"):
        async with locks.hold({SECOND}):
            task = asyncio.create_task(waiter())
            await asyncio.sleep(0)
            if moment == "before":
                task.cancel()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert task.cancelled()
        assert not locks._locks
