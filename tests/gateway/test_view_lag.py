"""Back-pressure: what would start new work is refused while the views lag; what runs goes on."""

import asyncio

import psycopg
import pytest

from domain.ports import StoreUnavailable
from gateway.problems import ProblemError
from gateway.view_lag import LAG_SECONDS_MAX, ViewLag
from tests.gateway.conftest import Answer, Gateway


async def until_refused(gateway: Gateway, path: str, body: object) -> Answer:
    """The first 429, which comes a second after the views have stopped."""
    async with asyncio.timeout(60):
        while (answer := await gateway.once("POST", path, body)).status != 429:
            await asyncio.sleep(0.1)  # polls: the gateway looks at the views only now and then
    return answer


async def test_nothing_new_is_started_while_the_projector_stands_still(gateway: Gateway, postgres_url: str) -> None:
    """Triggers and re-runs: 429 with Retry-After. Heartbeats, reports, completions, polls, reads and cancels go on."""
    runner = await gateway.runner()
    over = await gateway.run()
    await runner.work(await runner.acquire())
    await gateway.run()
    job = await runner.acquire()
    waiting = await gateway.run()
    with psycopg.connect(postgres_url) as still:
        still.execute("LOCK TABLE views.view_positions IN EXCLUSIVE MODE")
        assert (await runner.start(job)).status == 200
        refused = await until_refused(gateway, f"/api/v1/runs/{over}/rerun", {})
        assert (refused.json["code"], refused.headers["Retry-After"], refused.json["retryable"]) == ("views_behind", "1", True)
        assert (await gateway.trigger("mine", patient=False)).status == 429
        assert (await runner.renew(job)).status == 200
        assert (await runner.lines(job, 1, 3)).status == 200
        assert (await runner.step(job)).status == 200
        assert (await runner.complete(job, last_line=3)).status == 200
        taken = await runner.acquire()
        assert (await runner.start(taken)).status == 200
        assert (await gateway.once("POST", f"/api/v1/runs/{waiting}/cancel", {})).status == 202
        assert (await gateway.once("GET", f"/api/v1/runs/{over}")).status == 200
    started = await gateway.trigger("mine")
    assert started.status == 202
    assert "Idempotency-Replayed" not in started.headers


class Views:
    """What the views show, and the time, as the test says."""

    def __init__(self) -> None:
        self.shown = 0
        self.now = 0.0
        self.away = False
        self.asked = 0
        self.lag = ViewLag(self.position, lambda: self.now)

    async def position(self) -> int:
        self.asked += 1
        if self.away:
            raise StoreUnavailable("STO005: away")
        return self.shown

    async def seconds(self) -> float:
        """The lag, looked at now."""
        await self.lag.look()
        return self.lag.seconds


async def test_the_lag_is_the_age_of_the_oldest_event_that_is_not_shown() -> None:
    """It grows while the views stand still, and is gone when they have come so far."""
    views = Views()
    views.lag.hear(10)
    views.now = 0.6
    views.lag.hear(20)
    assert await views.seconds() == 0.6
    views.shown = 10
    views.now = 1.0
    assert await views.seconds() == pytest.approx(0.4)
    views.shown = 20
    assert await views.seconds() == 0.0
    assert (await views.seconds(), views.asked) == (0.0, 3)


async def test_new_work_is_refused_past_the_limit_and_not_at_it() -> None:
    """A database that is away says nothing new: the lag of before stands."""
    views = Views()
    views.lag.hear(10)
    views.now = LAG_SECONDS_MAX
    await views.lag.look()
    views.lag.admit()
    views.now += 0.01
    await views.lag.look()
    views.away, views.shown = True, 10
    await views.lag.look()
    with pytest.raises(ProblemError, match="429 views_behind"):
        views.lag.admit()
    views.away = False
    await views.lag.look()
    views.lag.admit()


async def test_a_flood_of_events_takes_little_memory() -> None:
    """Of events that come close together the first is kept; the age of the others is known within that."""
    views = Views()
    for position in range(1, 10_001):
        views.now = position / 1000
        views.lag.hear(position)
    assert len(views.lag._heard) <= 201
    views.shown = 9_000
    assert 0.95 <= await views.seconds() <= 1.05
