"""Who waits how long: one floods the queue, the others send a job now and then, runners are few."""

import random
from collections import Counter
from heapq import heappop, heappush
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.domain.scheduling.simulation import Simulation

slowly = settings(max_examples=30)


class Factory:
    """Runners with one slot each that work through a simulated queue; time is in seconds, `started` counts acquisitions."""

    def __init__(self, world: Simulation, runners: int, labels: tuple[str, ...] = ("linux",)) -> None:
        self.world = world
        self.free = runners
        self.labels = labels
        self.now = 0.0
        self.busy: list[tuple[float, UUID]] = []
        self.started: dict[UUID, int] = {}
        self.began: dict[UUID, float] = {}

    def start(self) -> None:
        """Give every free runner a job, each polling at one of the gateways."""
        idle = 0
        while self.free and idle < 3 * len(self.world.gateways):
            number = self.world.draw(len(self.world.gateways))
            taken = self.world.serve(number, 1, self.labels)
            idle = 0 if taken else idle + 1
            for job in taken:
                self.free -= 1
                self.started[job.job] = len(self.started)
                self.began[job.job] = self.now
                heappush(self.busy, (self.now + self.seconds(), job.job))
            self.hear()

    def seconds(self) -> float:
        """How long the next job takes."""
        return 1 + self.world.draw(100) / 100

    def finish(self) -> None:
        """The next runner is done."""
        self.now, job = heappop(self.busy)
        self.free += 1
        self.world.finish(job)
        self.hear()

    def hear(self) -> None:
        """Everybody hears what happened, and reads on where it is needed."""
        self.world.catch_up()


def waits(queue: dict[UUID, int], factory: Factory) -> list[int]:
    """For each job: how many jobs were started after it had been queued, itself included."""
    return [factory.started[job] - started + 1 for job, started in queue.items()]


@slowly
@given(seed=st.integers(0, 2**32), runners=st.integers(1, 8), gateways=st.integers(1, 2), tenants=st.booleans())
def test_nine_small_ones_start_within_the_time_of_runners_and_nine_jobs(seed: int, runners: int, gateways: int, *, tenants: bool) -> None:
    """One tenant (or one repository of a tenant) has thousands waiting; nine others send one job each, whenever they like."""
    draw = random.Random(seed).randrange
    world = Simulation(draw, gateways)
    factory = Factory(world, runners)
    for _ in range(300):
        world.queue("big", "big")
    small: dict[UUID, int] = {}
    while len(small) < 9 or any(job in world.queued for job in small):
        factory.hear()
        factory.start()
        if len(small) < 9 and draw(2):
            share = ("small", str(len(small))) if not tenants else (f"tenant {len(small)}", "only")
            small[world.queue(*(share if tenants else ("big", share[1])))] = len(factory.started)
        factory.finish()
    assert max(waits(small, factory)) <= runners + 9


def test_ten_thousand_jobs_of_one_hold_up_nobody() -> None:
    """Ten thousand jobs, four runners, nine others with one each: each of these is among the next nine to start."""
    world = Simulation(random.Random(6).randrange)
    factory = Factory(world, 4)
    factory.hear = lambda: None  # type: ignore[method-assign]  # one gateway hears its own commits; the view is read below
    for _ in range(10_000):
        world.queue("big", "big")
    factory.start()
    small = {world.queue(f"tenant {number}", "only"): len(factory.started) for number in range(9)}
    for _ in range(9):
        factory.finish()
        factory.start()
    assert sorted(waits(small, factory)) == list(range(1, 10))


@slowly
@given(seed=st.integers(0, 2**32), runners=st.integers(2, 6))
def test_long_jobs_of_one_do_not_take_all_runners_from_another(seed: int, runners: int) -> None:
    """Two with endless work, one with jobs a hundred times as long: neither ever has less than its half of the runners."""
    draw = random.Random(seed).randrange
    world = Simulation(draw)
    factory = Factory(world, runners)
    for _ in range(40):
        world.queue("t", "long")
        for _ in range(25):
            world.queue("t", "short")
    factory.seconds = lambda: 0  # type: ignore[method-assign]  # set below, by whose job it is
    finishes: list[tuple[float, UUID]] = factory.busy
    for _ in range(200):
        factory.start()
        for number, (until, job) in enumerate(finishes):
            if until == factory.now and factory.began[job] == factory.now:
                finishes[number] = (factory.now + (100 if world.held[job].line.fair_key == "long" else 1 + draw(100) / 100), job)
        finishes.sort()
        running = Counter(job.line.fair_key for job in world.held.values())
        assert abs(running["long"] - running["short"]) <= 1
        factory.finish()


@slowly
@given(seed=st.integers(0, 2**32), gateways=st.integers(1, 2))
def test_nothing_starves_whatever_keeps_coming(seed: int, gateways: int) -> None:
    """A job of the slowest lane of a busy repository starts, although its faster lanes and other repositories never run dry."""
    draw = random.Random(seed).randrange
    world = Simulation(draw, gateways)
    factory = Factory(world, 2)
    patient = world.queue("t", "busy", "background")
    world.pace = 60
    for turn in range(500):
        waiting = Counter(job.line.fair_key for job in world.queued.values())
        for key in ("busy", "other", "third"):
            for _ in range(3 - waiting[key] + (key == "busy")):
                world.queue("t", key, "interactive")
        factory.hear()
        factory.start()
        factory.finish()
        if patient in factory.started:
            assert turn > 3, "the lane made no difference"
            return
    pytest.fail("it never starts")


@slowly
@given(seed=st.integers(0, 2**32), gateways=st.integers(1, 3))
def test_no_runner_idles_while_a_job_that_fits_waits(seed: int, gateways: int) -> None:
    """Work-conserving: after each turn either no runner is free, or no queued job has labels that fit."""
    draw = random.Random(seed).randrange
    world = Simulation(draw, gateways, jobs_max=40, line_jobs_max=6)
    factory = Factory(world, 3)
    for _ in range(60):
        for _ in range(draw(6)):
            world.queue(f"t{draw(3)}", f"k{draw(3)}", labels=("linux",) if draw(3) else ("gpu",))
        factory.hear()
        factory.start()
        fitting = [job for job in world.queued.values() if job.line.labels == ("linux",)]
        assert not (factory.free and fitting)
        if factory.busy:
            factory.finish()


@pytest.mark.parametrize("gateways", [1, 2, 3])
def test_shares_stay_even_whoever_hands_out(gateways: int) -> None:
    """Three repositories with endless work and six runners, polling anywhere: each has two of them at all times."""
    world = Simulation(random.Random(3).randrange, gateways)
    factory = Factory(world, 6)
    for number in range(600):
        world.queue("t", str(number % 3 if number < 300 else number % 2))
    for _ in range(150):
        factory.hear()
        factory.start()
        running = Counter(job.line.fair_key for job in world.held.values())
        assert sorted(running.values()) == [2, 2, 2]
        factory.finish()
