"""The limit of a run counts its work: while all that is left of it waits for a group or a retry, its clock stands still."""

from datetime import datetime
from typing import Any
from uuid import UUID

import pytest

from domain import ids
from domain.job import commands as c
from domain.run import commands as r
from domain.run import events as e
from domain.run.state import RUN_MAX
from tests.domain.machine import Machine
from tests.domain.scenario import deadlines
from tests.domain.world import World

DAY = 86_400.0
LEASE = 400 * DAY
RUNNER = ids.runner_id("default", "r1")
GROUP = """
on: push
jobs:
  only: {runs-on: linux, concurrency: {group: slot, queue: max}, timeout-minutes: 1000000, steps: [{run: a}]}
"""
BESIDE = GROUP.replace("  only:", "  beside: {runs-on: linux, timeout-minutes: 1000000, steps: [{run: a}]}\n  only:")
CALL = """
on: push
jobs:
  only: {uses: ./called.yml, concurrency: {group: slot, queue: max}}
"""
RETRIED = """
on: push
jobs:
  only:
    runs-on: linux
    timeout-minutes: 1000000
    env: {LEDGERMILL_RETRY: "max=9 on=lost,failed backoff=10d cap=10d"}
    steps: [{run: a}]
"""
IN_A_ROW = RETRIED.replace("    env:", "    strategy: {max-parallel: 1, fail-fast: false, matrix: {v: [1, 2]}}\n    env:")


def take(machine: Machine, name: str) -> UUID:
    """A runner holds the job of this name, with a lease that outlives every limit."""
    job = machine.jobs()[name]
    assert machine.world.send(c.AcquireJob(job, RUNNER, "r", ("linux",), LEASE, LEASE)).refusal is None
    return job


def lose(machine: Machine, job: UUID) -> None:
    """Its runner is gone."""
    machine.world.send(c.ReportLost(job, machine.job(job).lease.epoch, "runner_restarted"))


def clocks(machine: Machine) -> list[Any]:
    """What the run's stream says of its clock."""
    return [each.data for each in machine.history(machine.run) if isinstance(each.data, e.RunClockStopped | e.RunClockResumed)]


def expired(machine: Machine) -> bool:
    """Whether the run is cancelled when its deadline is looked at now."""
    return bool(machine.world.send(r.ExpireRun(machine.run)).events)


def limit(machine: Machine) -> datetime:
    """When the run is cancelled, as it stands."""
    assert machine.state.expires_at is not None
    return machine.state.expires_at


@pytest.mark.parametrize("text", [GROUP, CALL])
def test_waiting_for_a_concurrency_group_does_not_count(text: str) -> None:
    """A job's group and that of a call: no limit while it waits, however long; let in, it has all the time that it had left."""
    world = World(lambda _: 0)
    first = Machine(GROUP, world)
    holder = take(first, "only")
    world.clock.advance(DAY)
    second = Machine(text, world, "two")
    began = limit(second)
    assert deadlines(second.state) == []
    world.clock.advance(2 * RUN_MAX.total_seconds())
    assert not expired(second)
    world.send(c.CancelJob(holder, "by hand", force=True))
    assert limit(second) == began + 2 * RUN_MAX
    world.clock.advance(RUN_MAX.total_seconds() - 1)
    assert not expired(second)
    world.clock.advance(1)
    assert expired(second)


def test_a_run_with_other_work_goes_on_counting() -> None:
    """One job waits for its group while another runs; when that one is over, the clock stops."""
    world = World(lambda _: 0)
    holder = take(Machine(GROUP, world), "only")
    second = Machine(BESIDE, world, "two")
    began = limit(second)
    working = take(second, "beside")
    world.clock.advance(3 * DAY)
    assert clocks(second) == []
    world.send(c.CancelJob(working, "by hand", force=True))
    assert clocks(second) == [e.RunClockStopped(1)]
    world.clock.advance(5 * DAY)
    world.send(c.CancelJob(holder, "by hand", force=True))
    assert clocks(second) == [e.RunClockStopped(1), e.RunClockResumed(1, limit(second))]
    assert (limit(second) - began).total_seconds() == 5 * DAY


@pytest.mark.parametrize("text", [GROUP, CALL])
def test_a_group_that_is_free_stops_nothing(text: str) -> None:
    """Who claims it is let in within the same commit."""
    assert clocks(Machine(text)) == []


def test_the_backoff_of_a_retry_does_not_count() -> None:
    """From the end of the attempt until the job is back in the queue; from there on the run counts."""
    machine = Machine(RETRIED)
    began, world = limit(machine), machine.world
    lose(machine, take(machine, "only"))
    job = machine.jobs()["only"]
    assert deadlines(machine.state) == []
    back = machine.job(job).retry_at
    waited = (back - world.clock.now()).total_seconds()
    assert waited >= 10 * DAY
    world.clock.advance(waited)
    assert not expired(machine)
    world.send(c.Expire(job, "retry"))
    assert (limit(machine) - began).total_seconds() == waited
    assert deadlines(machine.state) == [(limit(machine), "run")]
    lose(machine, take(machine, "only"))
    world.clock.advance(LEASE)
    world.send(c.Expire(job, "retry"))
    assert (limit(machine) - began).total_seconds() == waited + LEASE
    world.clock.advance(RUN_MAX.total_seconds() - 1)
    assert not expired(machine)
    world.clock.advance(1)
    assert expired(machine)


def test_what_max_parallel_holds_behind_a_backoff_waits_too() -> None:
    """The first of the matrix backs off and the second may not begin: nothing is under way."""
    machine = Machine(IN_A_ROW)
    lose(machine, take(machine, "only:1"))
    assert clocks(machine) == [e.RunClockStopped(1)]
    machine.world.clock.advance(11 * DAY)
    machine.world.send(c.CancelJob(machine.jobs()["only:1"], "by hand"))
    assert machine.state.nodes["only"].held == {}
    assert len(clocks(machine)) == 2


@pytest.mark.parametrize("whole", [True, False])
def test_a_run_that_is_cancelled_while_it_waits_ends(*, whole: bool) -> None:
    """As a run or job by job; the next run attempt does not inherit that its clock stood still."""
    machine = Machine(RETRIED)
    lose(machine, take(machine, "only"))
    machine.world.clock.advance(DAY)
    machine.world.send(r.CancelRun(machine.run, "by hand") if whole else c.CancelJob(machine.jobs()["only"], "by hand"))
    assert (machine.state.conclusion, clocks(machine)) == ("cancelled", [e.RunClockStopped(1)])
    machine.again()
    assert machine.state.stopped_at is None
    assert limit(machine) == machine.world.clock.now() + RUN_MAX
    assert machine.world.breaches() == []


def test_a_retry_without_the_hold_of_an_older_version_goes_on() -> None:
    """Logs of before say nothing of a backoff: the retry is then none of the run's business."""
    machine = Machine(RETRIED)
    assert machine.world.send(r.AdmitJob(machine.run, 1, machine.jobs()["only"])).events == ()
