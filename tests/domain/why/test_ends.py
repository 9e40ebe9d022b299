"""Why a job or a run ended as it did: skipped, failed, cancelled, tried again; and what is a cause, what only follows from it."""

import pytest

from commands.handle import Origin
from domain.job import commands as c
from domain.run import commands as r
from domain.why.reason import CODES
from tests.domain.why.mill import Mill

CHAIN = """
on: push
jobs:
  a: {runs-on: linux, timeout-minutes: 5, steps: [{name: build, run: a, timeout-minutes: 1}]}
  b: {needs: a, runs-on: linux, steps: [{run: a}]}
  c: {needs: b, runs-on: linux, steps: [{run: a}]}
  rescue: {needs: c, if: failure(), runs-on: linux, steps: [{run: a}]}
  never: {if: "github.ref_name == 'release' && always()", runs-on: linux, steps: [{run: a}]}
"""
FAST = "on: push\njobs:\n  a: {runs-on: linux, strategy: {matrix: {v: [1, 2]}}, steps: [{run: a}]}\n"
RETRIED = """
on: push
jobs:
  a: {runs-on: linux, env: {LEDGERMILL_RETRY: "max=2 on=lost,failed,timed_out backoff=5s"}, steps: [{run: a, timeout-minutes: 1}]}
"""
ALONE = "on: push\nconcurrency: {group: deploy, cancel-in-progress: true}\njobs:\n  a: {runs-on: linux, steps: [{run: a}]}\n"


@pytest.fixture
def mill() -> Mill:
    mill = Mill()
    mill.runner("r1", slots=9)
    return mill


def taken(mill: Mill, text: str = CHAIN, key: str = "one") -> None:
    """A run whose first jobs runners hold."""
    mill.start(text, key)
    mill.assign()


def test_a_failed_step_is_the_root_cause_and_the_rest_follows(mill: Mill) -> None:
    """The run names the job and its step; jobs that needed it are consequences, and an `if:` that was false is neither."""
    taken(mill)
    mill.perform("a", "failure")
    mill.assign()
    mill.perform("rescue")
    why = mill.why()
    jobs = {job.name: job for job in why.jobs}
    assert (why.conclusion, why.roots) == ("failure", (jobs["a"].id,))
    assert [(each.code, each.text) for each in why.reasons] == [("step_failed", "a: step build failed with exit code 1")]
    assert {name: (job.root, job.knock_on) for name, job in jobs.items()} == {
        "a": (True, False),
        "b": (False, True),
        "c": (False, True),
        "rescue": (False, False),
        "never": (False, False),
    }
    assert jobs["b"].reasons[0].text == "needs a (failure)"
    assert jobs["c"].reasons[0].code == "condition_needs"
    assert [each.text for each in jobs["c"].reasons[0].because] == ["a: step build failed with exit code 1"]
    assert jobs["rescue"].reasons[0].code == "succeeded"


def test_a_false_condition_shows_the_value_of_each_part(mill: Mill) -> None:
    """The text of the `if:`, and what its parts came to."""
    taken(mill)
    reason = mill.job("never").reasons[0]
    assert (reason.code, reason.facts["condition"]) == ("condition", "github.ref_name == 'release' && always()")
    assert {"text": "github.ref_name", "value": '"main"'} in reason.facts["parts"]
    assert reason.text.startswith("`if: github.ref_name == 'release' && always()` is false: ")


def test_a_condition_skip_is_what_later_skips_go_back_to(mill: Mill) -> None:
    """Whoever needs a skipped job is a consequence of that `if:`."""
    taken(
        mill, "on: push\njobs:\n  a: {if: false, runs-on: linux, steps: [{run: a}]}\n  b: {needs: a, runs-on: linux, steps: [{run: a}]}\n"
    )
    why = mill.why()
    assert (why.conclusion, why.reasons[0].code) == ("skipped", "condition")
    assert [each.code for each in mill.job("b").reasons[0].because] == ["condition"]
    assert mill.job("b").knock_on


def test_an_error_in_the_plan(mill: Mill) -> None:
    """The diagnostic's own words."""
    text = "on: push\njobs:\n  a: {runs-on: linux, strategy: {matrix: \"${{ fromJSON('x') }}\"}, steps: [{run: a}]}\n"
    taken(mill, text)
    why = mill.why()
    assert why.reasons[0].code == "plan_failed"
    assert "fromJSON" in why.reasons[0].text or "JSON" in why.reasons[0].text


def test_what_the_runner_could_not_set_up(mill: Mill) -> None:
    """The runner's own message."""
    taken(mill)
    fence = mill.begin("a")
    mill.report(fence, "failure", reason="setup_failed", message="no space left on the device")
    assert mill.job("a").reasons[0].text == "setup_failed: no space left on the device"
    assert mill.job("a").reasons[0].code == "setup_failed"


def test_time_limits_of_job_and_step(mill: Mill) -> None:
    """Which limit, and which step was at work."""
    taken(mill)
    mill.step(mill.begin("a"), 0)
    mill.tick("a", "step", 200)
    assert mill.job("a").reasons[0].text == "step build took longer than its timeout-minutes"
    taken(mill, key="two")
    mill.step(mill.begin("a", "two"), 0)
    mill.tick("a", "job", 311, key="two")
    assert mill.job("a", "two").reasons[0].code == "job_timeout"
    assert mill.job("a", "two").reasons[0].text == "the job took longer than its 5 minutes, in step build"


def test_a_job_that_no_runner_took_in_time(mill: Mill) -> None:
    """Its labels are told."""
    mill.start(FAST.replace("linux", "gpu"))
    mill.tick("a (1)", "queue", 90_000)
    assert mill.job("a (1)").reasons[0].code == "queue_timeout"
    assert mill.job("a (1)").reasons[0].facts == {"labels": ["gpu"]}


def test_fail_fast_ends_the_siblings(mill: Mill) -> None:
    """The sibling that failed is the root; the other one follows from it."""
    taken(mill, FAST)
    fence = mill.begin("a (2)")
    mill.perform("a (1)", "failure")
    mill.report(fence, "cancelled")
    why = mill.why()
    assert why.roots == (mill.job("a (1)").id,)
    second = mill.job("a (2)")
    assert (second.reasons[0].code, second.knock_on, second.root) == ("fail_fast", True, False)
    assert second.reasons[0].text == "a (1) failed, and fail-fast ended the others"
    assert [each.code for each in second.reasons[0].because] == ["step_failed"]


def test_somebody_cancelled_it(mill: Mill) -> None:
    """Who, and what for; the jobs follow from the run's cancellation, and what never began is told so."""
    taken(mill)
    mill.send(r.CancelRun(mill.runs["one"], "not today"), actor="ada")
    fence = mill.state(mill.job("a").id)
    assert mill.job("a").reasons[0].code == "cancelling"
    lease = fence.lease
    mill.report((mill.job("a").id, lease.runner, lease.attempt, lease.epoch, lease.lease), "cancelled")
    why = mill.why()
    assert (why.conclusion, why.reasons[0].code, why.reasons[0].text) == ("cancelled", "cancelled_by", "ada cancelled the run: not today")
    assert (mill.job("a").reasons[0].code, mill.job("a").reasons[0].because[0].code) == ("run_cancelled", "cancelled_by")


def test_somebody_cancelled_one_job(mill: Mill) -> None:
    """The person is named at the job."""
    taken(mill)
    mill.send(c.CancelJob(mill.job("a").id, "stuck", force=True), actor="grace")
    assert mill.job("a").reasons[0].text == "grace cancelled it: stuck"


def test_a_newer_run_took_the_place_in_the_group(mill: Mill) -> None:
    """The run says by which one it was cancelled."""
    taken(mill, ALONE, "first")
    mill.start(ALONE, "second")
    lease = mill.state(mill.job("a", "first").id).lease
    mill.report((mill.job("a", "first").id, lease.runner, lease.attempt, lease.epoch, lease.lease), "cancelled")
    why = mill.why("first")
    assert why.reasons[0].code == "concurrency_cancelled"
    assert why.reasons[0].text == "cancelled by run 2 in concurrency group deploy"


def test_a_run_that_took_too_long(mill: Mill) -> None:
    """The limit ends it."""
    taken(mill)
    mill.clock.advance(40 * 86_400)
    mill.world.send(r.ExpireRun(mill.runs["one"]), Origin("default", "system"))
    asked = mill.job("a").reasons[0]
    assert (asked.code, asked.facts["reason"]) == ("cancelling", "the run has taken longer than 35 days")
    mill.tick("a", "cancel", 400)
    assert mill.why().reasons[0].code == "run_timeout"


@pytest.mark.parametrize(
    ("lose", "code", "told"),
    [
        (lambda mill: mill.tick("a", "lease", 31), "lease_expired", "the lease of runner r1 ended at 2026-03-01T10:00:31+00:00"),
        (lambda mill: mill.tick("a", "accept", 121), "accept_window", "runner r1 took it and did not begin in time"),
        (
            lambda mill: mill.send(c.ReportLost(mill.job("a").id, 1, "runner_restarted")),
            "runner_restarted",
            "runner r1 restarted and had lost the job",
        ),
        (lambda mill: mill.report(mill.begin("a"), "cancelled"), "runner_stopped", "runner r1 was stopped and gave the job back"),
        (lambda mill: mill.perform("a", "failure"), "step_failed", "step Run a failed with exit code 1"),
    ],
    ids=["lease", "accept", "restarted", "stopped", "step"],
)
def test_why_there_was_another_attempt(mill: Mill, lose: object, code: str, told: str) -> None:
    """What ended the attempt before, which attempt it was of how many, and how long the pause is."""
    taken(mill, RETRIED)
    lose(mill)  # type: ignore[operator]  # a function of the mill
    job = mill.job("a")
    (again,) = job.retries
    assert (job.state, again.code) == ("backing_off", code)
    assert told in again.text
    assert again.facts["attempt"] == 1
    assert again.facts["attempts_max"] == 2
    assert 5 <= again.facts["pause_seconds"] <= 6


def test_attempts_that_are_used_up(mill: Mill) -> None:
    """The job failed because its runners were lost; behind it stands how the last one was."""
    taken(mill, RETRIED)
    for _ in range(2):
        mill.tick("a", "lease", 31)
        if mill.job("a").state == "backing_off":
            mill.tick("a", "retry", 10)
            mill.assign()
    job = mill.job("a")
    assert (job.reasons[0].code, job.reasons[0].because[0].code, len(job.retries)) == ("lost", "lease_expired", 1)
    assert mill.why().reasons[0].text == "a: its runner was lost in attempt 2 (lease_expired), and no attempt was left"


def test_what_continue_on_error_lets_pass(mill: Mill) -> None:
    """The job failed, and neither is it a cause of anything nor does the run fail."""
    taken(mill, "on: push\njobs:\n  a: {runs-on: linux, continue-on-error: true, steps: [{run: a}]}\n")
    mill.perform("a", "failure")
    assert (mill.why().conclusion, mill.why().reasons[0].code) == ("success", "succeeded")
    assert (mill.job("a").reasons[0].code, mill.job("a").root) == ("tolerated", False)


def test_a_job_that_a_rerun_took_over(mill: Mill) -> None:
    """It says from which run attempt, and its time is not counted again."""
    taken(mill, FAST.replace("strategy: {", "strategy: {fail-fast: false, "))
    mill.perform("a (1)")
    mill.perform("a (2)", "failure")
    mill.send(r.RerunRun(mill.runs["one"], "failed", "", ""))
    mill.assign()
    mill.clock.advance(5)
    mill.perform("a (2)")
    why = mill.why()
    assert (why.run_attempt, why.conclusion, why.seconds) == (2, "success", 6)
    assert mill.job("a (1)").reasons[0].code == "carried"
    assert mill.job("a (1)").reasons[0].text == "taken over from run attempt 1: all steps succeeded"


def test_every_code_is_explained_and_used() -> None:
    """No reason has a code that the documentation does not know, and it knows none that nothing says."""
    from pathlib import Path

    import domain.why

    texts = "".join(path.read_text() for path in Path(domain.why.__file__).parent.glob("*.py") if path.name != "reason.py")
    assert [code for code in CODES if f'"{code}"' not in texts] == []
