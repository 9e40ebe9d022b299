"""Whether the token of a stream still counts: its end wakes whoever waits, however far away it is."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from gateway import validity
from gateway.auth import Identity
from gateway.hub import Hub
from gateway.sse import TOKEN_EXPIRED
from gateway.validity import valid
from tests.fakes import FixedClock


class NowClock:
    """The machine's time."""

    def now(self) -> datetime:
        return datetime.now(UTC)


def identity(until: datetime | None) -> Identity:
    """A viewer whose token ends then."""
    return Identity(tenant="default", role="viewer", actor="x", token="0123456789ab", until=until)


async def test_the_end_of_a_token_wakes_the_stream() -> None:
    """Then it is over, and not before."""
    hub, news, clock = Hub(), asyncio.Event(), NowClock()
    until = clock.now() + timedelta(milliseconds=50)
    with valid(hub, identity(until), clock, news) as token:
        async with asyncio.timeout(60):
            while token.over() is None:
                news.clear()
                await news.wait()
        assert clock.now() >= until
        assert token.over() == TOKEN_EXPIRED


async def test_a_far_end_is_looked_at_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    """A timer that has run is started again, until the clock of the store has come so far."""
    monkeypatch.setattr(validity, "WAKE_SECONDS_MAX", 0.001)
    hub, news, clock = Hub(), asyncio.Event(), FixedClock()
    with valid(hub, identity(clock.now() + timedelta(days=4000)), clock, news) as token:
        async with asyncio.timeout(60):
            for _ in range(3):
                assert token.over() is None
                await news.wait()
                news.clear()
        clock.advance(4000 * 86_400)
        assert token.over() == TOKEN_EXPIRED


async def test_a_token_without_an_end_needs_no_timer() -> None:
    """Nor does anything stay behind."""
    hub, news, clock = Hub(), asyncio.Event(), FixedClock()
    with valid(hub, identity(None), clock, news) as token:
        assert token.over() is None
        assert token._timer is None
    assert hub._crowds == {}
