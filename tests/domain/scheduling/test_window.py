"""The front of the queue in memory: bounded, in order, nothing lost and nothing twice, whatever is told late or twice."""

import random
import sys
from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import ids
from domain.scheduling.line import UNPLACED, Line, ReadyJob
from domain.scheduling.matching import Poller
from domain.scheduling.window import Window
from tests.domain.scheduling import reference
from tests.domain.scheduling.simulation import LINUX, Simulation

BOUNDS: dict[str, Any] = {"jobs_max": 80, "line_jobs_max": 8}
BOUND = 80 + 80 // 4
LINES = [(*share, lane, labels) for share in ("ta", "tb", "ua", "ub") for lane in ("default", "background") for labels in (("linux",), ())]


def lived(seed: int, gateways: int, steps: int = 120) -> Simulation:
    """A simulation in which all kinds of things happened, with every job served at the end."""
    draw = random.Random(seed).randrange
    world = Simulation(draw, gateways, **BOUNDS)
    for _ in range(steps):
        number = draw(gateways)
        match draw(9):
            case 0 | 1 | 2:
                for _ in range(draw(8)):
                    world.queue(*LINES[draw(draw(len(LINES)) + 1)])
            case 3 | 4:
                world.serve(number, 1 + draw(5), ("linux",) if draw(3) else ())
            case 5:
                for job in list(world.held)[: draw(6)]:
                    world.finish(job, lost=draw(4) == 0)
            case 6:
                world.feed(number, draw(30))
            case 7:
                world.project(draw(40))
                world.refill(number)
            case _ if draw(6) == 0:
                world.restart(number, 1 + draw(4), **BOUNDS)
        for gateway in world.gateways:
            assert len(gateway.window) <= BOUND
    world.catch_up()
    while world.queued:
        before = len(world.queued)
        for number in range(gateways):
            world.serve(number, 5)
            world.catch_up()
        assert len(world.queued) < before, "a job waits although a runner is free"
    return world


@given(st.integers(0, 2**32), st.integers(1, 3))
def test_every_job_is_served_once_for_each_time_it_was_queued(seed: int, gateways: int) -> None:
    """Jobs beyond the window come back from the view; what another gateway took, or a late page tells again, does not."""
    world = lived(seed, gateways)
    queued = sum(1 for event in world.log if event.type in {"JobQueued", "JobRetried"})
    assert len(world.taken) == queued
    assert len({job.position for job in world.taken}) == queued


@given(st.integers(0, 2**32))
def test_a_line_stays_in_order(seed: int) -> None:
    """However much of it lay beyond the window."""
    lines: dict[Line, list[int]] = defaultdict(list)
    for job in lived(seed, 1).taken:
        lines[job.line].append(job.position)
    assert all(positions == sorted(positions) for positions in lines.values())


@given(st.integers(0, 2**32), st.integers(1, 3))
def test_what_counts_as_running_is_what_runs(seed: int, gateways: int) -> None:
    """No share keeps a turn of a job that is over: when all are done, nobody has anything running."""
    world = lived(seed, gateways)
    for job in list(world.held):
        world.finish(job)
    world.catch_up()
    for gateway in world.gateways:
        shares = gateway.window.shares
        assert [shares.tenant(tenant)[0] for tenant in "tu"] == [0, 0]
        assert [shares.key(tenant, key)[0] for tenant in "tu" for key in "ab"] == [0] * 4


def test_one_tenant_cannot_fill_the_window() -> None:
    """It keeps the front of its line; another one that comes later is in memory too."""
    world = Simulation(random.Random(1).randrange, **BOUNDS)
    for _ in range(1000):
        world.queue("t")
    late = world.queue("u")
    assert len(world.gateways[0].window) == 9
    assert late in [job.job for job in world.serve(0, 2)]


def test_very_many_lines_have_their_heads_in_memory() -> None:
    """Each has a few jobs there, however small the bound is."""
    world = Simulation(random.Random(1).randrange, jobs_max=40, line_jobs_max=30)
    for number in range(500):
        world.queue("t", str(number % 50))
    keys = [job.line.fair_key for job in world.serve(0, 50)]
    assert sorted(keys) == sorted(map(str, range(50)))


@pytest.mark.parametrize("answered", [0, 5])
def test_a_view_that_is_behind_loses_nothing(answered: int) -> None:
    """What it does not know yet is asked for again."""
    world = Simulation(random.Random(1).randrange, jobs_max=8, line_jobs_max=4)
    for _ in range(20):
        world.queue()
    world.serve(0, 4)
    world.project(answered)
    assert world.refill(0)
    assert world.refill(0)
    world.catch_up()
    assert len(world.serve(0, 4)) == 4


@given(seed=st.integers(0, 2**32), gateways=st.integers(1, 3))
def test_what_stands_in_order_is_matched_as_if_every_line_were_looked_at(seed: int, gateways: int) -> None:
    """In windows that live: after each change, with jobs whose commit is under way, the pairs are those of the reference."""
    draw = random.Random(seed).randrange
    compared = 0

    def pairs(window: Window, pollers: Sequence[Poller], coming: Collection[ReadyJob] = ()) -> list[tuple[ReadyJob, Poller]]:
        nonlocal compared
        coming = [
            ReadyJob(ids.derive("coming", compared, number), Line(*LINES[draw(len(LINES))]), UNPLACED, float(draw(9)))
            for number in range(draw(4))
        ]
        queues: list[tuple[Line, Sequence[ReadyJob]]] = [(line, front.jobs) for line, front in window._fronts.items()]
        for job in coming:
            front = window._fronts.get(job.line)
            if front is None or front.gap is None:
                queues.append((job.line, (job,)))
        pollers = [Poller(UUID(int=1), frozenset(), draw(4)), *pollers]
        assert honest(window, pollers, coming) == reference.match(queues, pollers, window.shares)
        compared += 1
        return honest(window, pollers[1:])

    honest = Window.pairs
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Window, "pairs", pairs)
        lived(seed, gateways)
    assert compared > 0


def test_a_match_costs_by_what_is_paired() -> None:
    """With four hundred times as many repositories in line, one pairing looks at about as many of their turns."""

    def looked_at(repositories: int) -> int:
        world = Simulation(lambda _: 0)
        for number in range(repositories):
            world.queue(key=str(number))
        window = world.gateways[0].window
        window.pairs([Poller(UUID(int=1), frozenset(LINUX), 1)])  # the first one puts all that came in order
        calls = 0

        def count(_frame: object, event: str, _argument: object) -> None:
            nonlocal calls
            calls += event in ("call", "c_call")

        sys.setprofile(count)
        try:
            window.pairs([Poller(UUID(int=1), frozenset(LINUX), 1)])
        finally:
            sys.setprofile(None)
        return calls

    assert looked_at(2000) <= looked_at(5) + 5
