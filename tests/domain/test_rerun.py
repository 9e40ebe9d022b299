"""Re-running a run: what runs again, what is carried over, and what forbids it. The real command side in memory."""

from typing import Any

import pytest

from domain import ids
from domain.job import commands as c
from domain.job.state import Acquired, Running
from domain.run import commands as r
from domain.run.run_contexts import github_context, needs_context
from tests.domain.machine import Machine


@pytest.fixture
def machine() -> Any:
    found = Machine()
    yield found
    assert found.world.breaches() == []


def requested(machine: Machine) -> Any:
    return [event.data for event in machine.world.log if event.type == "RunRerunRequested"][-1]


def test_all_jobs_run_again_with_streams_of_their_own(machine: Machine) -> None:
    """Nothing is carried over, and no event is added to the streams of the first run attempt."""
    first = machine.finish()
    jobs = machine.jobs()
    before = {job: machine.history(job) for job in jobs.values()}
    machine.again()
    assert machine.state.run_attempt == 2
    assert machine.finish() == first == ["lint", "test:1", "test:2", "test:3", "deploy", "report"]
    assert machine.state.conclusion == "success"
    assert requested(machine).carried == ()
    assert not set(jobs.values()) & set(machine.jobs().values())
    assert {job: machine.history(job) for job in before} == before


def test_failed_jobs_run_again_with_what_depends_on_them(machine: Machine) -> None:
    """One instance of the matrix and the jobs behind it; lint and its siblings count as they are."""
    machine.finish(test_2="failure")
    assert machine.state.conclusion == "failure"
    first = machine.jobs()
    machine.again("failed")
    assert machine.finish() == ["test:2", "deploy", "report"]
    assert machine.state.conclusion == "success"
    second = machine.jobs()
    assert {name for name in first if first[name] == second[name]} == {"lint", "test:1", "test:3", "never"}
    assert requested(machine).jobs == ("test", "deploy", "report")


def test_one_job_runs_again_with_what_depends_on_it(machine: Machine) -> None:
    """Other failed jobs stay failed, so the run does."""
    machine.finish(test_1="failure", deploy="failure")
    machine.again("job", "lint")
    assert machine.finish() == ["lint", "report"]
    assert machine.state.conclusion == "failure"
    machine.again("job", "test", '{"v":1}')
    assert machine.finish() == ["test:1", "deploy", "report"]
    assert (machine.state.conclusion, machine.state.run_attempt) == ("success", 3)


def test_outputs_of_carried_jobs_are_read_and_those_of_jobs_that_run_again_are_not(machine: Machine) -> None:
    """`needs` holds the results and outputs of the job that counts in this run attempt."""
    machine.finish(test_3="failure")
    machine.again("failed")
    needs = needs_context(machine.state, ("lint", "test"))
    assert needs["lint"] == {"result": "success", "outputs": {"v": "lint 1 success"}}
    assert needs["test"]["outputs"] == {"v": "test 1 success"}
    machine.finish()
    assert needs_context(machine.state, ("test",))["test"]["outputs"] == {"v": "test 2 success"}


def test_the_contexts_name_the_run_attempt_and_who_asked_for_it(machine: Machine) -> None:
    """`github.run_attempt` counts; `github.actor` stays, `github.triggering_actor` is who asked."""
    machine.finish()
    machine.again(actor="another")
    github = github_context(machine.state, {})
    assert (github["run_attempt"], github["actor"], github["triggering_actor"]) == ("2", "someone", "another")
    assert {machine.job(job).life.spec.run_attempt for job in machine.jobs().values()} == {2}


def test_the_same_command_asks_once(machine: Machine) -> None:
    """Its repeat adds no event, whatever came of the first one since."""
    machine.finish()
    machine.again(number=7)
    assert machine.again(number=7).events == ()
    machine.finish()
    assert machine.again(number=7).events == ()
    assert machine.state.run_attempt == 2


@pytest.mark.parametrize("scope", ["all", "failed", "job"])
def test_a_run_that_is_not_over_cannot_run_again(scope: str, machine: Machine) -> None:
    """The refusal names the state."""
    refusal = machine.again(scope, "lint").refusal
    assert refusal is not None
    assert (refusal.code, refusal.state) == ("run_not_completed", "in progress")


def test_failed_jobs_of_a_run_without_any_cannot_run_again(machine: Machine) -> None:
    """As on GitHub."""
    machine.finish()
    refusal = machine.again("failed").refusal
    assert refusal is not None
    assert (refusal.code, refusal.state) == ("nothing_failed", "completed (success)")


def test_a_skipped_job_and_one_that_is_not_there_cannot_run_again(machine: Machine) -> None:
    """Each with its reason."""
    machine.finish()
    for key, code in (("never", "job_skipped"), ("unknown", "job_not_in_attempt")):
        refusal = machine.again("job", key).refusal
        assert refusal is not None
        assert refusal.code == code


def test_what_a_cancellation_kept_from_running_counts_as_failed(machine: Machine) -> None:
    """`deploy` was skipped because the run was cancelled; the finished jobs are carried over."""
    machine.end(machine.jobs()["lint"], "success")
    machine.world.send(r.CancelRun(machine.run, "by hand"))
    assert machine.finish() == ["report"]
    assert machine.state.conclusion == "cancelled"
    machine.again("failed")
    assert machine.finish() == ["test:1", "test:2", "test:3", "deploy", "report"]
    assert machine.state.conclusion == "success"


def test_a_matrix_that_shrinks_to_what_is_carried_over_is_done_at_once() -> None:
    """Its values may read the run attempt; nothing is left open then."""
    machine = Machine("""
on: push
jobs:
  a:
    runs-on: linux
    strategy: {fail-fast: false, matrix: {v: "${{ fromJSON(github.run_attempt == 1 && '[1, 2]' || '[1]') }}"}}
    steps: [{run: a}]
  b: {needs: a, runs-on: linux, steps: [{run: a}]}
""")
    machine.finish(a_2="failure")
    machine.again("failed")
    assert machine.finish() == ["b"]
    assert machine.state.conclusion == "success"
    assert machine.world.breaches() == []


def test_a_lost_runner_of_an_earlier_run_attempt_changes_nothing(machine: Machine) -> None:
    """Its late report is refused and kept as evidence in the old stream."""
    machine.finish()
    job = machine.jobs()["lint"]
    machine.again()
    assert not isinstance(machine.job(job), Acquired | Running)
    runner = ids.runner_id("default", "r1")
    outcome = machine.world.send(c.ReportAttempt(job, runner, 1, 1, ids.lease_id(job, 1), "failure", "", "late"))
    assert outcome.refusal is not None
    assert machine.finish()[0] == "lint"
    assert machine.state.conclusion == "success"


ALONE = """
on: push
concurrency: deploy
jobs:
  a: {runs-on: linux, steps: [{run: a}]}
  b: {runs-on: linux, steps: [{run: a}]}
"""


def test_a_run_that_runs_again_waits_for_its_concurrency_group() -> None:
    """Another run holds the group now: this one goes on when that one is over."""
    machine = Machine(ALONE)
    machine.finish(b="failure")
    other = Machine(ALONE, machine.world, "two")
    machine.again("failed")
    assert (machine.state.held, machine.state.live_jobs()) == (True, [])
    other.finish()
    assert machine.finish() == ["b"]
    assert machine.state.conclusion == "success"
    assert machine.world.breaches() == []


def test_a_run_attempt_that_is_cancelled_while_it_waits_is_cancelled() -> None:
    """Even though every job that it carries over succeeded; and it can run again."""
    machine = Machine(ALONE)
    machine.finish(b="failure")
    other = Machine(ALONE, machine.world, "two")
    machine.again("failed")
    machine.world.send(r.CancelRun(machine.run, "by hand"))
    assert machine.state.conclusion == "cancelled"
    other.finish()
    machine.again("failed")
    assert machine.finish() == ["b"]
    assert machine.world.breaches() == []


def test_only_what_runs_again_counts_against_max_parallel() -> None:
    """Carried jobs of the matrix take no place."""
    machine = Machine("""
on: push
jobs:
  a:
    runs-on: linux
    strategy: {fail-fast: false, max-parallel: 1, matrix: {v: [1, 2, 3]}}
    steps: [{run: a}]
""")
    machine.finish(a_2="failure", a_3="failure")
    machine.again("failed")
    assert [machine.name(job) for job in machine.state.live_jobs()] == ["a:2", "a:3"]
    assert [machine.name(job) for job in machine.state.nodes["a"].held] == ["a:3"]
    assert machine.finish() == ["a:2", "a:3"]
    assert machine.state.conclusion == "success"
    assert machine.world.breaches() == []


CALLING = """
on: push
jobs:
  first: {runs-on: linux, steps: [{run: a}]}
  wide: {needs: first, strategy: {fail-fast: false, matrix: {v: [1, 2]}}, uses: ./called.yml, with: {v: "${{ matrix.v }}"}}
  after: {needs: wide, runs-on: linux, steps: [{run: a}]}
"""


def test_a_failed_job_of_a_called_workflow_runs_again_within_its_call() -> None:
    """The rest of the call, the other call of the matrix and what was before them are carried over; what is after runs again."""
    machine = Machine(CALLING)
    assert machine.finish(wide_1_y="failure") == ["first", "wide.0/x", "wide.0/y", "wide.1/x", "wide.1/y"]
    machine.again("failed")
    assert requested(machine).jobs == ("wide", "after", "wide.1/y")
    assert machine.finish() == ["wide.1/y", "after"]
    assert machine.state.conclusion == "success"
    assert needs_context(machine.state, ("wide",))["wide"]["outputs"] == {"o": "wide.1/y 2 success"}
    assert machine.world.breaches() == []


@pytest.mark.parametrize(("scope", "key"), [("all", ""), ("job", "first")])
def test_a_call_is_made_again_when_what_it_needs_runs_again(scope: str, key: str) -> None:
    """With all of its jobs."""
    machine = Machine(CALLING)
    first = machine.finish()
    machine.again(scope, key)
    assert machine.finish() == first
    assert len([event for event in machine.world.log if event.type == "NodeCalled"]) == 2
    assert machine.state.conclusion == "success"
    machine.again("job", "wide.0/x")
    assert machine.finish() == ["wide.0/x", "wide.0/y", "after"]
    assert machine.world.breaches() == []
