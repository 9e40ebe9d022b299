"""The store's clock carried on by the monotonic one."""

import logging
from datetime import datetime, timedelta

import pytest

from infra.clock import StoreClock
from infra.event_store import PostgresEventStore
from tests.samples import AT


class Times:
    """A store's clock and a process's monotonic clock that a test moves."""

    def __init__(self) -> None:
        self.store = AT
        self.monotonic = 1_000.0

    async def read(self) -> datetime:
        return self.store

    def pass_by(self, seconds: float, store_seconds: float | None = None) -> None:
        """Time goes on; the store's may go otherwise."""
        self.monotonic += seconds
        self.store += timedelta(seconds=seconds if store_seconds is None else store_seconds)


@pytest.fixture
def times() -> Times:
    return Times()


@pytest.fixture
def clock(times: Times) -> StoreClock:
    return StoreClock(times.read, times.store, lambda: times.monotonic)


def after(seconds: float) -> datetime:
    return AT + timedelta(seconds=seconds)


async def test_goes_on_with_the_monotonic_clock(clock: StoreClock, times: Times) -> None:
    """Between two readings of the store the process's own clock counts."""
    times.pass_by(12)
    assert clock.now() == after(12)


async def test_follows_the_store_forwards(clock: StoreClock, times: Times) -> None:
    """A store that is ahead at the next reading takes the clock with it."""
    times.pass_by(30, store_seconds=31)
    await clock.align()
    assert clock.now() == after(31)
    assert not clock.stepped_back


async def test_stands_still_when_the_store_steps_back(clock: StoreClock, times: Times, caplog: pytest.LogCaptureFixture) -> None:
    """Time never goes backwards; the step is reported; the clock goes on when the store has caught up."""
    times.pass_by(30, store_seconds=20)
    assert clock.now() == after(30)
    with caplog.at_level(logging.ERROR):
        await clock.align()
    assert "stepped back by 10.0 s" in caplog.text
    assert (clock.now(), clock.stepped_back, clock.behind) == (after(30), True, timedelta(seconds=10))
    times.pass_by(9)
    assert (clock.now(), clock.stepped_back) == (after(30), True)
    times.pass_by(2)
    assert (clock.now(), clock.stepped_back) == (after(31), False)


async def test_a_small_difference_is_not_reported(clock: StoreClock, times: Times, caplog: pytest.LogCaptureFixture) -> None:
    """The error of a measurement is no step, and still time does not go backwards."""
    times.pass_by(30, store_seconds=29.9)
    assert clock.now() == after(30)
    await clock.align()
    assert clock.now() == after(30)
    assert (caplog.text, clock.stepped_back) == ("", False)


async def test_takes_the_real_stores_time(store: PostgresEventStore) -> None:
    """Started on Postgres, it lies between two readings of the server."""
    clock = await StoreClock.start(store.time)
    before = await store.time()
    now = clock.now()
    off_by_max = timedelta(seconds=0.5)
    assert before - off_by_max < now < await store.time() + off_by_max
    assert clock.now() >= now
    await clock.close()
