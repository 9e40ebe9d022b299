"""The store's time as a runner sees it."""

import time
from datetime import UTC, datetime, timedelta

from runner.clock import StoreClock

NOW = datetime(2026, 3, 1, 10, 0, tzinfo=UTC)


def test_time_never_goes_back() -> None:
    """An answer that took ten seconds said little; one that says more shows that it is earlier, and time waits for that."""
    clock = StoreClock()
    at = time.monotonic()
    clock.align(at - 10, at, NOW)
    ahead = clock.now()
    assert ahead >= NOW + timedelta(seconds=5)
    clock.align(at, at, NOW)
    assert clock.now() == ahead
    clock.align(at, at, ahead + timedelta(seconds=1))
    assert clock.now() > ahead
