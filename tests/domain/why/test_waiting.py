"""Why a job or a run is not further: each cause driven, the top reason right, and the job moves once the cause is gone."""

import pytest

from domain.job import commands as c
from domain.run import commands as r
from tests.domain.why.mill import Mill

ONE = "on: push\njobs:\n  a: {runs-on: linux, timeout-minutes: 5, steps: [{name: build, run: a}, {run: b}]}\n"
CHAIN = """
on: push
jobs:
  a: {runs-on: linux, steps: [{run: a}]}
  b: {needs: a, runs-on: linux, steps: [{run: a}]}
  c: {needs: b, runs-on: linux, steps: [{run: a}]}
"""
NARROW = """
on: push
jobs:
  a: {runs-on: linux, strategy: {max-parallel: 1, matrix: {v: [1, 2]}}, steps: [{run: a}]}
"""
ALONE = "on: push\nconcurrency: deploy\njobs:\n  a: {runs-on: linux, steps: [{run: a}]}\n"
SLOT = "on: push\njobs:\n  a: {runs-on: linux, concurrency: slot, steps: [{run: a}]}\n"
CALLS = "on: push\njobs:\n  a: {concurrency: slot, uses: ./called.yml}\n"
MANY = "on: push\njobs:\n  a: {strategy: {max-parallel: 1, matrix: {v: [1, 2]}}, uses: ./called.yml}\n"
RETRIED = """
on: push
jobs:
  a: {runs-on: linux, env: {LEDGERMILL_RETRY: "max=2 on=lost,failed backoff=5s"}, steps: [{run: a}]}
"""


@pytest.fixture
def mill() -> Mill:
    return Mill()


def top(mill: Mill, job: str = "a", key: str = "one") -> tuple[str, str]:
    """Code and text of a job's top reason; the run says the same of it."""
    reason = mill.job(job, key).reasons[0]
    assert reason.code in [each.code for each in mill.why(key).reasons] or reason.code == "needs"
    return reason.code, reason.text


def test_no_runner_at_all(mill: Mill) -> None:
    """Nobody is registered; a runner takes it."""
    mill.start(ONE)
    assert top(mill) == ("no_runner", "no runner is registered")
    mill.moves("a", mill.runner)


def test_no_runner_has_the_labels(mill: Mill) -> None:
    """The nearest runner is named, with the labels that it lacks."""
    mill.runner("far", ("windows",))
    mill.runner("near", ("linux", "x64"))
    mill.start(ONE.replace("linux", "[linux, gpu]"))
    code, text = top(mill)
    assert (code, text) == ("no_runner_with_labels", "no runner has the labels linux, gpu; the nearest, near, lacks gpu")
    assert mill.job("a").reasons[0].facts["nearest"][0] == {"runner": "near", "lacks": ["gpu"]}
    mill.moves("a", lambda: mill.runner("near", ("linux", "gpu")))


def test_the_group_of_the_runners_serves_other_repositories(mill: Mill) -> None:
    """The group is named; once it serves this one, the job moves."""
    mill.runner("r1")
    mill.groups["r1"] = frozenset({"another"})
    mill.start(ONE)
    assert top(mill) == ("runner_group", "no group of runners serves this repository: those with its labels are in special")
    mill.moves("a", mill.groups.clear)


def test_all_runners_with_the_labels_are_offline(mill: Mill) -> None:
    """Each one's state is told."""
    mill.runner("r1")
    mill.note("r1", "offline")
    mill.runner("other", ("windows",))
    mill.start(ONE)
    assert top(mill) == ("runners_offline", "no runner with these labels takes jobs: r1 is offline")
    mill.moves("a", lambda: mill.note("r1", "online"))


def test_a_runner_was_paused(mill: Mill) -> None:
    """And by whom; one that is offline as well is not the first thing to mend."""
    mill.runner("gone")
    mill.note("gone", "offline")
    mill.runner("r1")
    mill.note("r1", "pause")
    mill.start(ONE)
    code, text = top(mill)
    assert (code, text) == ("runners_paused", "no runner with these labels takes jobs: r1 is paused by grace, gone is offline")
    assert [each.code for each in mill.job("a").reasons[0].because] == ["runners_offline"]
    mill.moves("a", lambda: mill.note("r1", "resume"))


def test_the_runners_drain(mill: Mill) -> None:
    """They take nothing new; another one does."""
    mill.runner("r1")
    mill.note("r1", "drain")
    mill.start(ONE)
    assert top(mill) == ("runners_draining", "no runner with these labels takes jobs: r1 is draining by grace")
    mill.moves("a", lambda: mill.runner("r2"))


def test_all_matching_runners_are_busy(mill: Mill) -> None:
    """With how many jobs stand before this one."""
    mill.runner("r1")
    mill.start(ONE, "first")
    mill.assign()
    mill.start(ONE, "second")
    mill.start(ONE, "third")
    assert top(mill, key="second") == ("runners_busy", "all 1 matching runners are busy")
    assert top(mill, key="third") == ("runners_busy", "all 1 matching runners are busy, 1 jobs ahead")
    mill.moves("a", lambda: mill.runner("r2"), key="second")


def test_others_are_served_first(mill: Mill) -> None:
    """A slot is free, and an older job gets it; once that has gone, it is this one's turn."""
    mill.start(ONE, "first")
    second = mill.start(ONE, "second")
    mill.runner("r1")
    assert top(mill, key="second") == ("others_first", "1 jobs are served before this one")
    assert top(mill, key="first")[0] == "about_to_be_taken"
    mill.send(r.CancelRun(mill.runs["first"], "by hand"))
    assert top(mill, key="second")[0] == "about_to_be_taken"
    mill.assign()
    assert mill.job("a", "second").state == "acquired"
    assert mill.why("second").id == second


def test_the_pause_before_another_attempt(mill: Mill) -> None:
    """Until when, and which attempt comes."""
    mill.runner("r1")
    mill.start(RETRIED)
    mill.assign()
    mill.perform("a", "failure")
    code, text = top(mill)
    assert code == "backoff"
    assert text.startswith("attempt 1 ended (step_failed); attempt 2 begins at 2026-03-01T10:00:0")
    assert mill.job("a").reasons[0].until == mill.state(mill.job("a").id).retry_at
    mill.moves("a", lambda: mill.tick("a", "retry", 7))


def test_the_run_waits_for_its_group(mill: Mill) -> None:
    """Held by which run; its end lets this one in."""
    mill.start(ALONE, "first")
    mill.start(ALONE, "second")
    why = mill.why("second")
    assert (why.state, why.reasons[0].code) == ("pending", "run_concurrency")
    assert why.reasons[0].text == "waiting for concurrency group deploy held by run 1 of ci.yml"
    assert top(mill, key="second")[0] == "run_concurrency"
    assert [(each.kind, each.id) for each in why.reasons[0].about][1] == ("run", mill.runs["first"])
    mill.moves("a", lambda: mill.send(r.CancelRun(mill.runs["first"], "by hand")), key="second")


def test_a_job_waits_for_its_group(mill: Mill) -> None:
    """Held by which job of which run."""
    mill.start(SLOT, "first")
    mill.start(SLOT, "second")
    assert top(mill, key="second") == ("job_concurrency", "waiting for concurrency group slot held by run 1 of ci.yml")
    mill.moves("a", lambda: mill.send(r.CancelRun(mill.runs["first"], "by hand")), key="second")


def test_a_call_waits_for_its_group(mill: Mill) -> None:
    """Its jobs are nodes that nothing opens."""
    mill.start(CALLS, "first")
    mill.start(CALLS, "second")
    assert top(mill, "a / x", "second") == ("call_concurrency", "waiting for concurrency group slot held by run 1 of ci.yml")
    mill.moves("a / x", lambda: mill.send(r.CancelRun(mill.runs["first"], "by hand")), key="second")


def test_max_parallel_holds_a_job_back(mill: Mill) -> None:
    """With the limit, and which jobs are under way."""
    mill.runner("r1")
    mill.start(NARROW)
    assert top(mill, "a (2)") == ("max_parallel", "waiting for others of its matrix: max-parallel is 1")
    assert [each.name for each in mill.job("a (2)").reasons[0].about] == ["a (1)"]
    mill.assign()
    mill.moves("a (2)", lambda: mill.perform("a (1)"))


def test_max_parallel_holds_a_call_back(mill: Mill) -> None:
    """The second call of a matrix waits for the first."""
    mill.runner("r1")
    mill.start(MANY)
    assert top(mill, "a (2) / x") == ("calls_max_parallel", "waiting for others of its matrix: max-parallel is 1")
    mill.assign()
    mill.moves("a (2) / x", lambda: mill.perform("a (1) / x"))


def test_needs_that_are_not_done(mill: Mill) -> None:
    """The chain is followed to what it hangs on."""
    mill.start(CHAIN)
    reason = mill.job("c").reasons[0]
    assert (reason.code, reason.text) == ("needs", "waiting for b")
    assert [(each.code, each.text) for each in reason.because] == [("no_runner", "a: no runner is registered")]
    mill.runner("r1", slots=2)
    mill.assign()
    assert mill.job("b").reasons[0].text == "waiting for a"
    mill.moves("b", lambda: mill.perform("a"))


def test_a_runner_that_has_not_begun(mill: Mill) -> None:
    """Which one, and until when it may."""
    mill.runner("r1")
    mill.start(ONE)
    mill.assign()
    code, text = top(mill)
    assert (code, text) == ("starting", "runner r1 took it and has not begun; it has until 2026-03-01T10:02:00+00:00")
    mill.moves("a", lambda: mill.begin("a"))


def test_what_a_running_job_does(mill: Mill) -> None:
    """Setting up, in which step, between steps, at the end."""
    mill.runner("r1")
    mill.start(ONE)
    mill.assign()
    fence = mill.begin("a")
    assert top(mill) == ("setting_up", "runner r1 sets the job up")
    mill.step(fence, 0)
    assert top(mill) == ("step_running", "step build is running on r1")
    mill.step(fence, 0, "success")
    assert top(mill) == ("step_running", "runner r1 is between steps; 1 are left")
    mill.step(fence, 1, "success")
    assert top(mill) == ("finishing", "all steps ended; runner r1 has not reported the end yet")


def test_a_cancellation_that_the_runner_has_not_answered(mill: Mill) -> None:
    """Why it was asked for, and until when the runner may take."""
    mill.runner("r1")
    mill.start(ONE)
    mill.assign()
    fence = mill.begin("a")
    mill.send(c.CancelJob(fence[0], "no longer wanted"))
    code, text = top(mill)
    assert code == "cancelling"
    assert text.startswith("runner r1 was asked to cancel it (no longer wanted) and has until 2026")
    mill.moves("a", lambda: mill.report(fence, "cancelled"))


def test_what_blocks_comes_before_what_passes_by_itself(mill: Mill) -> None:
    """A run with a job that runs and one that nobody can take says first what somebody has to do."""
    mill.runner("r1")
    mill.start("on: push\njobs:\n  a: {runs-on: linux, steps: [{run: a}]}\n  b: {runs-on: gpu, steps: [{run: a}]}\n")
    mill.assign()
    mill.begin("a")
    assert [reason.code for reason in mill.why().reasons] == ["no_runner_with_labels", "setting_up"]


def test_a_stream_that_this_version_cannot_read(mill: Mill) -> None:
    """The run is told up to there, and that there is more."""
    mill.start(ONE)
    mill.world.log.append(mill.world.store.append_of_newer_version(mill.runs["one"], "RunPondered.v1"))
    log = [event for event in mill.world.log if event.stream == mill.runs["one"] or event.meta.correlation == mill.runs["one"]]
    from domain.why import why_run

    found = why_run(log, mill.around())
    assert found is not None
    assert (found.reasons[0].code, found.unreadable) == ("unreadable", (log[-1].position,))
