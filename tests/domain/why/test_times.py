"""Where the time went: spans without a gap, a critical path that adds up, in one run told by hand and in generated ones."""

import random
from collections import Counter
from datetime import datetime, timedelta
from itertools import pairwise

import pytest

from domain.why import CODES, Surroundings, why_run
from domain.why.reason import SPANS, JobWhy, Reason
from tests.domain.why.mill import Mill
from tests.domain.world import World

SLOW = """
on: push
jobs:
  a: {runs-on: linux, steps: [{name: fetch, run: a}, {name: build, run: b}]}
  quick: {runs-on: linux, steps: [{run: a}]}
  b: {needs: [a, quick], runs-on: linux, steps: [{run: a}]}
"""
HISTORIES = 8


def told(job: JobWhy) -> list[tuple[str, float]]:
    """Cause and seconds of each span."""
    return [(span.cause, span.seconds) for span in job.spans]


def test_each_stretch_of_a_job_has_its_cause() -> None:
    """Queue, acquisition, set-up, steps and the end, to the second; what followed had to wait for the slow one."""
    mill = Mill()
    mill.start(SLOW)
    mill.clock.advance(7)
    mill.runner("r1", slots=2)
    mill.assign()
    mill.clock.advance(2)
    mill.perform("quick")
    fence = mill.begin("a")
    mill.clock.advance(3)
    mill.step(fence, 0, "success", seconds=10)
    mill.step(fence, 1, "success", seconds=20)
    mill.clock.advance(4)
    mill.report(fence)
    mill.assign()
    mill.perform("b")
    why = mill.why()
    a, b = mill.job("a"), mill.job("b")
    assert told(a) == [("queue", 7), ("acquiring", 3), ("setup", 3), ("steps", 30), ("finishing", 4)]
    assert [(step.name, step.seconds) for step in a.steps] == [("fetch", 10), ("build", 20)]
    assert told(b) == [("needs", 47), ("steps", 1)]
    assert b.spans[0].name == "a"
    assert (why.critical_path, why.seconds) == ((a.id, b.id), 48)
    assert [(each.cause, each.seconds) for each in why.spent] == [
        ("steps", 31),
        ("queue", 7),
        ("finishing", 4),
        ("acquiring", 3),
        ("setup", 3),
    ]


def test_waiting_for_a_group_and_for_another_attempt_is_told_apart() -> None:
    """What the group took is not called queue, nor is the pause after a lost attempt."""
    mill = Mill()
    mill.runner("r1")
    text = "on: push\nconcurrency: deploy\njobs:\n  a: {runs-on: linux, steps: [{run: a}]}\n"
    mill.start(text, "first")
    mill.start(text, "second")
    mill.clock.advance(5)
    mill.assign()
    mill.perform("a", key="first")
    mill.assign()
    mill.tick("a", "lease", 31, key="second")
    pause = (mill.state(mill.job("a", "second").id).retry_at - mill.clock.now()).total_seconds()
    mill.tick("a", "retry", pause, key="second")
    mill.assign()
    mill.perform("a", key="second")
    assert told(mill.job("a", "second")) == [("run_concurrency", 6), ("acquiring", 31), ("backoff", pause), ("steps", 1)]


def codes(reason: Reason) -> list[str]:
    """Of a reason and all behind it."""
    return [reason.code, *(code for each in reason.because for code in codes(each))]


def check_spans(job: JobWhy, now: datetime) -> None:
    """One after the other without a gap, up to the job's end or now."""
    for one, other in pairwise(job.spans):
        assert one.ended_at == other.started_at, job
    for span in job.spans:
        assert span.cause in SPANS
        assert span.ended_at is not None or span == job.spans[-1]
        end = span.ended_at or now
        assert timedelta(seconds=span.seconds) == max(end - span.started_at, timedelta(0))


@pytest.mark.parametrize("seed", range(2))
def test_whatever_happened_it_is_told_and_adds_up(seed: int) -> None:
    """Over generated histories: every reason has a known code, spans have no gap, a run's time is that of its critical path."""
    found: Counter[str] = Counter()
    for number in range(HISTORIES):
        world = World(random.Random(seed * 1000 + number).randrange)
        for _ in range(90):
            world.step()
        for run in world.runs:
            log = [event for event in world.log if event.meta.correlation == run and event.type not in GROUPS]
            why = why_run(log, Surroundings(world.clock.now()))
            assert why is not None
            assert why.reasons or why.conclusion is None
            for job in why.jobs:
                found.update(code for reason in (*job.reasons, *job.retries) for code in codes(reason))
                check_spans(job, world.clock.now())
            assert not why.conclusion or {job.state for job in why.jobs} <= {"done"}
            assert bool(why.roots) <= (why.conclusion in ("failure", "cancelled"))
            if why.conclusion == "failure":
                assert why.reasons[0].code not in ("succeeded", "fail_fast", "condition_needs", "run_cancelled")
            if why.conclusion is not None:
                assert sum(each.seconds for each in why.spent) == pytest.approx(why.seconds)
    assert set(found) <= set(CODES)
    assert len(found) > 15, found


GROUPS = ("ConcurrencyAcquired", "ConcurrencyAwaited", "ConcurrencyReplaced", "ConcurrencyReleased")
