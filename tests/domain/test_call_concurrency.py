"""`concurrency` of a calling job and of the called workflow: both hold for the call as a whole."""

from typing import Any

import pytest

from domain import concurrency as g
from domain import ids
from domain.refusals import Decision
from domain.run import commands as r
from domain.run import events as e
from tests.domain.machine import Machine

CALLING = """
on: push
jobs:
  ship: {uses: ./called.yml, concurrency: Deploy, with: {v: 1}}
  after: {needs: ship, if: always(), runs-on: linux, steps: [{run: a}]}
"""
CALLED = """
on: {workflow_call: {inputs: {v: {type: number}}}}
jobs:
  x: {runs-on: linux, steps: [{run: a}]}
  y: {needs: x, if: always(), runs-on: linux, steps: [{run: a}]}
"""
GROUPED = CALLED + 'concurrency: "slot-${{ inputs.v }}"\n'


def of_type(machine: Machine, kind: type) -> list[Any]:
    """The run's events of this type, in order."""
    return [event.data for event in machine.history(machine.run) if isinstance(event.data, kind)]


def waiting(machine: Machine) -> list[str]:
    """The calls that wait for a group."""
    return machine.state.held_calls()


@pytest.fixture
def two() -> Any:
    """Two runs of a workflow whose call has a group; the first one's call holds it."""
    first = Machine(CALLING, called=CALLED)
    second = Machine(CALLING, first.world, "two", CALLED)
    yield first, second
    assert first.world.breaches() == []


def test_a_call_that_is_let_in_at_once_opens_in_the_same_commit() -> None:
    """Held, admitted, opened; and let go when its last job is done, before what needs it opens."""
    machine = Machine(CALLING, called=GROUPED)
    assert [held.name for held in of_type(machine, e.CallHeld)] == ["Deploy", "slot-1"]
    assert len(of_type(machine, e.CallAdmitted)) == 2
    assert machine.finish() == ["ship/x", "ship/y", "after"]
    kinds = [event.type for event in machine.world.log if event.type.startswith(("Concurrency", "Call"))]
    assert kinds[-3:] == ["CallConcluded", "ConcurrencyReleased", "ConcurrencyReleased"]
    assert machine.world.breaches() == []


def test_no_job_of_a_call_begins_before_the_call_before_it_is_over(two: tuple[Machine, Machine]) -> None:
    """Not between the two jobs of the first call either; what has no group goes on."""
    first, second = two
    assert (waiting(first), waiting(second), second.state.live_jobs()) == ([], ["ship"], [])
    first.end(first.jobs()["ship/x"], "success")
    assert second.state.live_jobs() == []
    first.end(first.jobs()["ship/y"], "success")
    assert [second.name(job) for job in second.state.live_jobs()] == ["ship/x"]
    assert second.finish() == ["ship/x", "ship/y", "after"]
    assert first.finish() == ["after"]


def test_the_called_files_group_is_claimed_once_the_calling_jobs_is_held() -> None:
    """In the contexts of the call: its inputs are known."""
    first = Machine(CALLING.replace(", concurrency: Deploy", ""), called=GROUPED)
    second = Machine(CALLING, first.world, "two", GROUPED)
    assert [held.name for held in of_type(second, e.CallHeld)] == ["Deploy", "slot-1"]
    assert waiting(second) == ["ship"]
    third = Machine(CALLING, first.world, "three", GROUPED)
    assert [held.name for held in of_type(third, e.CallHeld)] == ["Deploy"]
    first.finish()
    assert waiting(second) == []
    second.finish()
    third.finish()
    assert third.state.conclusion == "success"
    assert first.world.breaches() == []


def test_a_waiting_call_that_is_replaced_opens_nothing_and_is_cancelled(two: tuple[Machine, Machine]) -> None:
    """Not even what says always(); what needs the call sees its result."""
    first, second = two
    third = Machine(CALLING, first.world, "three", CALLED)
    assert waiting(third) == ["ship"]
    asked = of_type(second, e.CallCancellationRequested)
    assert [each.reason for each in asked] == ["replaced by run 3 in concurrency group Deploy"]
    assert [node.node for node in of_type(second, e.NodeSkipped)] == ["ship/x", "ship/y"]
    assert second.state.nodes["ship"].result == "cancelled"
    assert second.finish() == ["after"]
    assert second.state.conclusion == "cancelled"
    first.finish()
    assert third.finish() == ["ship/x", "ship/y", "after"]


def test_cancel_in_progress_ends_the_jobs_of_the_call_and_of_nothing_else() -> None:
    """Its always() jobs still run, as in a cancelled run; the run itself goes on."""
    text = CALLING.replace("concurrency: Deploy", "concurrency: {group: Deploy, cancel-in-progress: true}")
    first = Machine(text + "  beside: {runs-on: linux, steps: [{run: a}]}\n", called=CALLED)
    second = Machine(text, first.world, "two", CALLED)
    assert not first.state.cancelled
    assert first.state.nodes["ship/x"].result == "cancelled"
    assert second.state.live_jobs() == []
    assert sorted(first.finish()) == ["after", "beside", "ship/y"]
    assert first.state.nodes["ship"].result == "cancelled"
    assert second.finish() == ["ship/x", "ship/y", "after"]
    assert first.world.breaches() == []


def test_cancelling_a_run_whose_only_call_waits_ends_it(two: tuple[Machine, Machine]) -> None:
    """No job of it is there to tell the run of its end."""
    first, second = two
    second.world.send(r.CancelRun(second.run, "by hand"))
    assert second.finish() == ["after"]
    assert second.state.conclusion == "cancelled"
    first.finish()


def test_a_call_that_runs_again_in_part_claims_its_groups_again(two: tuple[Machine, Machine]) -> None:
    """Somebody else holds them now."""
    first, second = two
    first.finish(ship_y="failure")
    first.again("failed")
    assert (waiting(first), first.state.live_jobs()) == (["ship"], [])
    second.finish()
    assert first.finish() == ["ship/y", "after"]
    assert first.state.conclusion == "success"


def test_a_call_cancelled_while_it_waits_to_run_again_is_cancelled(two: tuple[Machine, Machine]) -> None:
    """Whatever it carried over."""
    first, second = two
    first.finish(ship_y="failure")
    first.again("failed")
    first.world.send(r.CancelRun(first.run, "by hand"))
    first.finish()
    assert first.state.nodes["ship"].result == "cancelled"
    second.finish()


@pytest.mark.parametrize(
    ("calling", "called"),
    [
        (CALLING, CALLED + "concurrency: deploy\n"),
        (CALLING, CALLED.replace("y: {", "y: {concurrency: deploy, ")),
        (CALLING + "concurrency: deploy\n", CALLED),
    ],
    ids=["the called file's group", "the group of a job of it", "the run's group"],
)
def test_who_would_wait_for_what_it_is_part_of_is_cancelled(calling: str, called: str) -> None:
    """It would wait for ever, so nothing hangs."""
    machine = Machine(calling, called=called)
    machine.finish()
    assert machine.state.conclusion == "cancelled"
    assert machine.state.nodes["ship"].result == "cancelled"
    assert machine.world.breaches() == []


def test_a_job_beside_a_call_waits_for_its_group() -> None:
    """It is no part of the call, so it is no deadlock."""
    machine = Machine(CALLING + "  beside: {runs-on: linux, concurrency: deploy, steps: [{run: a}]}\n", called=CALLED)
    assert machine.finish() == ["beside", "ship/x", "ship/y", "after"]
    assert machine.state.conclusion == "success"
    assert machine.world.breaches() == []


def test_calls_of_a_matrix_have_groups_of_their_own() -> None:
    """The matrix is known to the calling job's group; `max-parallel` counts a call that waits."""
    text = """
on: push
jobs:
  wide:
    strategy: {max-parallel: 2, matrix: {v: [1, 2, 3]}}
    uses: ./called.yml
    with: {v: "${{ matrix.v }}"}
    concurrency: slot-${{ matrix.v == 1 && 1 || 2 }}
"""
    machine = Machine(text, called=CALLED)
    assert [held.call for held in of_type(machine, e.CallHeld)] == ["wide.0", "wide.1"]
    machine.end(machine.jobs()["wide.0/x"], "success")
    machine.end(machine.jobs()["wide.0/y"], "success")
    assert waiting(machine) == ["wide.2"]
    assert machine.finish() == ["wide.1/x", "wide.1/y", "wide.2/x", "wide.2/y"]
    assert machine.state.conclusion == "success"
    assert machine.world.breaches() == []


def test_a_call_whose_group_cannot_be_told_fails_with_its_place() -> None:
    """As a job's does."""
    machine = Machine(CALLING, called=CALLED + "concurrency: ${{ github.head_ref }}\n")
    (failed,) = of_type(machine, e.NodeFailed)
    assert "in the called workflow" in failed.message
    assert "the concurrency group is empty [WF107]" in failed.message
    machine.finish()
    assert machine.state.conclusion == "failure"


def test_repeats_and_late_answers_change_nothing(two: tuple[Machine, Machine]) -> None:
    """A group that lets a call in twice, or one that is over; another run attempt's call."""
    first, second = two
    holder = ids.call_id(second.run, 1, "ship", "job")
    for command in (
        r.AdmitCall(second.run, 2, "ship", holder),
        r.AdmitCall(second.run, 1, "nothing", holder),
        r.AdmitCall(second.run, 1, "ship", ids.call_id(second.run, 1, "ship", "workflow")),
        r.AdmitCall(first.run, 1, "ship", ids.call_id(first.run, 1, "ship", "job")),
        r.CancelCall(second.run, 2, "ship", "late"),
    ):
        assert first.world.send(command).events == ()
    first.finish()
    second.finish()
    for machine in (first, second):
        assert machine.world.send(r.CancelCall(machine.run, 1, "ship", "late")).events == ()


def test_the_group_tells_a_call_that_it_is_let_in_replaced_or_part_of_the_holder() -> None:
    """By the call's prefix and its id in the group."""
    repository = ids.repository_id("default", "local", "acme/pay")
    group = ids.concurrency_group_id(repository, "Deploy")
    run = ids.run_id("default", "1")

    def claim(node: str, job: str = "") -> g.Claim:
        own = ids.job_id(run, 1, job, "") if job else None
        holder = own or (ids.call_id(run, 1, node, "job") if node else run)
        return g.Claim(holder, "Deploy", repository, run, 1, 1, "ci.yml", own, node)

    call, inner, other, job = claim("a"), claim("a/b"), claim("ab"), claim("a/c", "a/c")
    assert g.decide(None, g.ClaimConcurrency(group, call)).commands == (r.AdmitCall(run, 1, "a", call.holder),)
    held = g.Group(call)
    deadlock = "deadlock: the call a of run 1 itself holds concurrency group Deploy"
    assert g.decide(held, g.ClaimConcurrency(group, inner)) == Decision((), (r.CancelCall(run, 1, "a/b", deadlock),))
    assert g.decide(held, g.ClaimConcurrency(group, job)).events == ()
    assert g.decide(held, g.ClaimConcurrency(group, other)).events == (g.ConcurrencyAwaited(other, call.holder),)
