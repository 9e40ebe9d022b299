"""The deadlines view: for every clock that runs in the state of a job or a run there is a row, and for no other."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import timedelta

import pytest

from infra.pool import Pool
from projections.deadlines import PostgresDeadlines
from projections.projector import Projector
from tests.domain.scenario import deadlines
from tests.domain.world import drive
from tests.projections.histories import history

FAR = timedelta(days=1000)


@pytest.mark.parametrize("seed", range(3))
async def test_every_clock_that_runs_is_in_the_view(
    seed: int, projecting: Callable[..., AbstractAsyncContextManager[Projector]], pool: Pool
) -> None:
    """What falls due by any instant is what the states say; the earliest is what the reconciler waits for."""
    world = history(seed, 150)
    async with projecting(world.store):
        pass
    states = [(run, drive(world.handler.state(run, "run"))) for run in world.runs]
    states += [(job, drive(world.handler.state(job, "job"))) for job in world.jobs]
    expected = [(at, stream, kind) for stream, state in states for at, kind in deadlines(state)]
    assert len({kind for _, _, kind in expected}) >= 3
    view = PostgresDeadlines(pool.connection)
    assert await view.next_at() == min(at for at, _, _ in expected)
    for instant in (world.clock.now(), world.clock.now() + timedelta(days=2), world.clock.now() + FAR):
        due = await view.due(instant, 10_000)
        assert sorted(due, key=str) == sorted([(stream, kind) for at, stream, kind in expected if at <= instant], key=str)
