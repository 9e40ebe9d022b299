"""The life of a job, told in events."""

from datetime import timedelta

import msgspec
import pytest

from domain.job import commands as c
from domain.job import events as e
from domain.refusals import Decision
from domain.retry import NOT_STARTED_MAX, RetryPolicy, backoff
from tests.domain.scenario import (
    JOB,
    NOW,
    OTHER_RUNNER,
    RUNNER,
    RUNNING,
    acquired,
    after,
    created,
    given,
    lease,
    lost,
    queued,
    started,
    step_completed,
    step_started,
)


def acquire(labels: tuple[str, ...] = ("linux", "x64")) -> c.AcquireJob:
    return c.AcquireJob(JOB, RUNNER, "r1", labels, 30, 120)


def report(conclusion: str, epoch: int = 1, **changes: object) -> c.ReportAttempt:
    return c.ReportAttempt(JOB, RUNNER, epoch, epoch, lease(epoch), conclusion, "", f"{conclusion}{epoch}", **changes)  # type: ignore[arg-type]  # words and ids as the test writes them


def heartbeat(epoch: int = 1, runner: object = RUNNER) -> c.RecordHeartbeat:
    return c.RecordHeartbeat(JOB, runner, epoch, epoch, lease(epoch), 30)  # type: ignore[arg-type]  # words and ids as the test writes them


def steps(seq: int, *transitions: c.StepTransition) -> c.ReportSteps:
    return c.ReportSteps(JOB, RUNNER, 1, 1, lease(), seq, transitions)


def begins(index: int) -> c.StepTransition:
    return c.StepTransition(index, NOW)


def ends(index: int, outcome: str = "success") -> c.StepTransition:
    return c.StepTransition(index, NOW, outcome, outcome, 0, ended_at=NOW)


def test_creation_queues_the_job() -> None:
    """A new job is created and queued in one decision."""
    given().when(c.CreateJob(JOB, created())).then(created(), queued())


def test_creation_twice_is_a_repeat() -> None:
    """The second creation of the same job gives no event."""
    given(created(), queued()).when(c.CreateJob(JOB, created())).then_nothing()


def test_a_false_condition_skips() -> None:
    """A job whose condition is false is created and skipped, never queued."""
    given().when(c.CreateJob(JOB, created(), skip="condition", condition="false")).then(created(), e.JobSkipped("condition", "false"))


def test_acquisition_hands_out_the_first_lease() -> None:
    """A runner with the labels gets attempt 1, epoch 1 and a lease with two deadlines."""
    given(created(), queued()).when(acquire()).then(acquired())


def test_a_runner_without_the_labels_is_refused() -> None:
    """Labels come from the job; a runner that lacks one cannot take it."""
    refusal = given(created(), queued()).when(acquire(("x64",))).then_refused("labels_do_not_match")
    assert "linux" in refusal.message


@pytest.mark.parametrize("history", [(), (created(),), RUNNING], ids=["absent", "waiting", "running"])
def test_only_a_queued_job_can_be_acquired(history: tuple[e.JobEvent, ...]) -> None:
    """Whatever is not in the queue cannot be taken."""
    refusal = given(*history).when(acquire()).then_refused("job_not_found" if not history else "not_queued")
    assert refusal.state is not None


def test_start_sets_the_wall_clock_deadline() -> None:
    """The server's own deadline is the job's time limit plus a grace for the runner's report."""
    given(created(), queued(), acquired()).when(c.StartJob(JOB, RUNNER, 1, 1, lease())).then(started())


def test_start_twice_is_a_repeat() -> None:
    """A start that is sent again changes nothing."""
    given(*RUNNING).when(c.StartJob(JOB, RUNNER, 1, 1, lease())).then_nothing()


def test_a_heartbeat_renews_the_lease() -> None:
    """The lease ends one TTL after the heartbeat."""
    given(*RUNNING).when(heartbeat(), at=10).then(e.HeartbeatRecorded(1, 1, after(40)))


def test_a_late_heartbeat_of_the_live_lease_counts() -> None:
    """As long as nothing ended the lease, its holder may renew it, also after its end."""
    given(*RUNNING).when(heartbeat(), at=35).then(e.HeartbeatRecorded(1, 1, after(65)))


@pytest.mark.parametrize(
    "stale",
    [
        heartbeat(epoch=2),
        heartbeat(runner=OTHER_RUNNER),
        c.RecordHeartbeat(JOB, RUNNER, 2, 1, lease(), 30),
        c.RecordHeartbeat(JOB, RUNNER, 1, 1, lease(9), 30),
    ],
    ids=["epoch", "runner", "attempt", "lease"],
)
def test_a_foreign_write_is_refused_and_recorded(stale: c.RecordHeartbeat) -> None:
    """Each part of the fence is checked; the write changes nothing and is kept as evidence."""
    refusal = given(*RUNNING).when(stale).then_refused("lease_lost")
    (evidence,) = refusal.evidence
    assert isinstance(evidence, e.StaleWriteRejected)
    assert evidence.write == "renew"


def test_a_write_after_the_end_is_refused_and_recorded() -> None:
    """A runner that comes back after the job ended is told to stop."""
    ended = (*RUNNING, lost(retry_at=None), e.JobFailed(1, "lease_expired"))
    assert given(*ended).when(report("success")).then_refused("lease_lost").evidence


def test_steps_go_one_way() -> None:
    """A batch of transitions becomes events in order."""
    given(*RUNNING).when(steps(1, begins(0), ends(0), begins(1))).then(step_started(0), step_completed(0), step_started(1))


def test_a_batch_sent_again_gives_only_what_is_new() -> None:
    """Transitions are numbered, so that known ones are dropped."""
    history = (*RUNNING, step_started(0), step_completed(0))
    given(*history).when(steps(1, begins(0), ends(0))).then_nothing()
    given(*history).when(steps(2, ends(0), begins(1))).then(step_started(1))


def test_a_batch_with_a_gap_is_refused() -> None:
    """A transition that does not follow the last one is not guessed at."""
    given(*RUNNING).when(steps(3, begins(1))).then_refused("sequence_gap")


@pytest.mark.parametrize(
    ("transition", "fault"),
    [
        (begins(7), "2 steps"),
        (begins(1), "earlier step"),
        (ends(0), "without having begun"),
    ],
    ids=["unknown", "skipped-one", "not-begun"],
)
def test_a_lying_step_report_is_refused(transition: c.StepTransition, fault: str) -> None:
    """A runner cannot skip, invent or end what did not begin."""
    assert fault in given(*RUNNING).when(steps(1, transition)).then_refused("bad_step_transition").message


BESIDE = (
    e.PlannedStep(0, "server", "server", background=True),
    e.PlannedStep(1, "other", "other", background=True),
    e.PlannedStep(2, "work", "work"),
    e.PlannedStep(3, "__cancel", "Cancel", control="cancel", targets=(0,)),
    e.PlannedStep(4, "__wait", "Wait", control="wait", targets=(1,)),
)
WITH_BACKGROUND = (msgspec.structs.replace(created(), steps=BESIDE), *RUNNING[1:])


def test_background_steps_run_beside_what_follows() -> None:
    """One begins when the steps of the foreground before it have ended; it may begin late, and end late."""
    begun = (*WITH_BACKGROUND, step_started(0), step_started(2))
    given(*WITH_BACKGROUND).when(steps(1, begins(0), begins(2))).then(step_started(0), step_started(2))
    given(*begun).when(steps(3, begins(1), ends(2), begins(3))).then(step_started(1), step_completed(2), step_started(3))
    assert "no background step" in given(*begun).when(steps(3, begins(3))).then_refused("bad_step_transition").message


def test_a_wait_does_not_end_before_what_it_waits_for() -> None:
    """A step that was skipped has ended, too; a wait that was cancelled waits for nothing."""
    begun = (*WITH_BACKGROUND, step_started(1), *(step_completed(0, "skipped"), step_started(2), step_completed(2)), step_started(3))
    waiting = (*begun, step_completed(3), step_started(4))
    assert "waits for" in given(*waiting).when(steps(8, ends(4))).then_refused("bad_step_transition").message
    given(*waiting).when(steps(8, ends(1), ends(4))).then(step_completed(1), step_completed(4))
    given(*waiting).when(steps(8, ends(4, "cancelled"))).then(step_completed(4, "cancelled"))


def test_ten_background_steps_run_at_a_time() -> None:
    """The eleventh has to wait for a place."""
    many = tuple(e.PlannedStep(index, f"b{index}", "b", background=True) for index in range(11))
    ten = (msgspec.structs.replace(created(), steps=many), *RUNNING[1:], *(step_started(index) for index in range(10)))
    assert "10 background steps" in given(*ten).when(steps(11, begins(10))).then_refused("bad_step_transition").message
    given(*ten).when(steps(11, ends(3), begins(10))).then(step_completed(3), step_started(10))


def test_a_step_that_was_meant_to_be_cancelled_spoils_no_success() -> None:
    """One that nobody cancelled does, and so does one that failed before it was cancelled."""

    def all_ended(server: str, other: str = "success") -> tuple[e.JobEvent, ...]:
        ended = [step_completed(0, server), step_completed(1, other), step_completed(2), step_completed(3), step_completed(4, other)]
        return (*WITH_BACKGROUND, *(step_started(index) for index in range(5)), *ended)

    given(*all_ended("cancelled")).when(report("success")).then(e.JobSucceeded(1, 1, {}, "success1"))
    for spoiled in (all_ended("failure"), all_ended("cancelled", "cancelled")):
        given(*spoiled).when(report("success")).then_refused("result_contradicts_steps")


def test_success_needs_all_steps() -> None:
    """A success is believed only when every planned step ended well."""
    done = (*RUNNING, step_started(0), step_completed(0), step_started(1), step_completed(1))
    given(*done).when(report("success", outputs={"v": "1"})).then(e.JobSucceeded(1, 1, {"v": "1"}, "success1"))
    given(*done[:-1]).when(report("success")).then_refused("result_contradicts_steps")
    failed = (*done[:-1], step_completed(1, "failure"))
    given(*failed).when(report("success")).then_refused("result_contradicts_steps")


def test_a_report_sent_again_is_a_repeat() -> None:
    """The answer got lost: the same report again changes nothing, a different one is stale."""
    done = (*RUNNING, step_started(0), step_completed(0), step_started(1), step_completed(1), e.JobSucceeded(1, 1, {}, "success1"))
    given(*done).when(report("success")).then_nothing()
    given(*done).when(report("failure")).then_refused("lease_lost")


def test_a_failed_attempt_ends_the_job_by_default() -> None:
    """Failures are not retried unless the policy says so; both events stand in one append."""
    attempt, end = given(*RUNNING).when(report("failure", failed_step=0)).then_types(e.AttemptFailed, e.JobFailed)
    assert attempt.retry_at is None
    assert end.attempt == 1


def test_a_failed_attempt_is_retried_by_policy() -> None:
    """With on=failed the job waits for its backoff."""
    spec = created(retry=RetryPolicy(on=("failed",)))
    (attempt,) = given(spec, queued(), acquired(), started()).when(report("failure")).then_types(e.AttemptFailed)
    assert attempt.retry_at == NOW + backoff(spec.retry, JOB, 1)


def test_an_expired_lease_loses_the_attempt() -> None:
    """The runner vanished: the attempt is lost and the next one waits for its backoff."""
    (event,) = given(*RUNNING).when(c.Expire(JOB, "lease"), at=30).then_types(e.AttemptLost)
    assert event.reason == "lease_expired"
    assert event.retry_at == after(30) + backoff(RetryPolicy(), JOB, 1)


@pytest.mark.parametrize("kind", ["lease", "accept", "job", "queue", "retry", "cancel"])
def test_an_early_tick_is_harmless(kind: str) -> None:
    """A deadline that has not passed, or that the state does not have, gives no event."""
    given(*RUNNING).when(c.Expire(JOB, kind), at=29).then_nothing()  # type: ignore[arg-type]  # words and ids as the test writes them


def test_an_attempt_that_was_never_started_does_not_count() -> None:
    """The accept window ends the attempt; such attempts do not use up the maximum."""
    spec = created(retry=RetryPolicy(attempts_max=1))
    (event,) = given(spec, queued(), acquired()).when(c.Expire(JOB, "accept"), at=120).then_types(e.AttemptLost)
    assert event.reason == "not_started"
    assert event.retry_at is not None


def test_attempts_that_never_start_end_at_last() -> None:
    """Five in a row, and the job has failed."""
    history: list[e.JobEvent] = [created(), queued()]
    for epoch in range(1, NOT_STARTED_MAX):
        history += [
            acquired(epoch),
            e.AttemptLost(epoch, epoch, RUNNER, "not_started", epoch, None, NOW),
            e.JobRetried(epoch + 1, epoch, after(86400)),
        ]
    history.append(acquired(NOT_STARTED_MAX))
    given(*history).when(c.Expire(JOB, "accept"), at=120).then_types(e.AttemptLost, e.JobFailed)


def test_the_last_lost_attempt_fails_the_job() -> None:
    """After the maximum there is no retry."""
    spec = created(retry=RetryPolicy(attempts_max=1))
    given(spec, queued(), acquired(), started()).when(c.Expire(JOB, "lease"), at=30).then_types(e.AttemptLost, e.JobFailed)


def test_the_retry_clock_returns_the_job_to_the_queue() -> None:
    """At the end of the backoff the job is queued again, and the lost runner is avoided."""
    history = (*RUNNING, lost(retry_at=after(31)))
    given(*history).when(c.Expire(JOB, "retry"), at=30.9).then_nothing()
    given(*history).when(c.Expire(JOB, "retry"), at=31).then(e.JobRetried(2, 1, after(31 + 86400), RUNNER))


def test_the_next_attempt_has_the_next_epoch() -> None:
    """Epochs grow with each acquisition, and with them the lease id."""
    history = (*RUNNING, lost(retry_at=after(1)), e.JobRetried(2, 1, after(86401), RUNNER))
    (event,) = given(*history).when(acquire()).then_types(e.JobAcquired)
    assert (event.attempt, event.epoch, event.lease) == (2, 2, lease(2))


def test_a_policy_with_a_window_gives_up_in_time() -> None:
    """A retry that would begin after `within` is not made."""
    spec = created(retry=RetryPolicy(within_seconds=20))
    given(spec, queued(), acquired(), started()).when(c.Expire(JOB, "lease"), at=30).then_types(e.AttemptLost, e.JobFailed)


def test_the_job_deadline_needs_no_runner() -> None:
    """The wall-clock limit ends the attempt although the runner keeps sending heartbeats."""
    given(*RUNNING).when(c.Expire(JOB, "job"), at=610).then_types(e.AttemptTimedOut, e.JobTimedOut)


LIMIT_AND_NONE = (e.PlannedStep(0, "a", "a", timeout_seconds=120), e.PlannedStep(1, "b", "b"))
LIMITED = (msgspec.structs.replace(created(), steps=LIMIT_AND_NONE), *RUNNING[1:])


def test_a_steps_limit_begins_with_the_step_and_ends_with_it() -> None:
    """By the server's time, with a minute for the runner's own end of the step; a step without a limit has none."""
    begun = e.StepStarted(1, 1, 0, NOW, after(50 + 120 + 60))
    met = msgspec.structs.replace(step_completed(0), deadline=begun.deadline)
    given(*LIMITED).when(steps(1, begins(0)), at=50).then(begun)
    given(*LIMITED, begun).when(steps(2, ends(0), begins(1)), at=60).then(met, step_started(1))
    given(*LIMITED).when(steps(1, begins(0), ends(0)), at=50).then(begun, met)
    given(*LIMITED, begun).when(c.Expire(JOB, "step"), at=229).then_nothing()
    given(*LIMITED, begun, met, step_started(1)).when(c.Expire(JOB, "step"), at=500).then_nothing()


def test_the_step_deadline_needs_no_runner() -> None:
    """A runner that neither ends the step nor says so loses the attempt; the policy says whether another one follows."""
    begun = e.StepStarted(1, 1, 0, NOW, after(180))
    (ended, _) = given(*LIMITED, begun).when(c.Expire(JOB, "step"), at=180).then_types(e.AttemptTimedOut, e.JobTimedOut)
    assert ended.reason == "step_timeout"
    spec = created(steps=0, retry=RetryPolicy(on=("timed_out",)))
    spec = msgspec.structs.replace(spec, steps=LIMIT_AND_NONE)
    given(spec, *LIMITED[1:], begun).when(c.Expire(JOB, "step"), at=180).then_types(e.AttemptTimedOut)


def test_a_queue_deadline_ends_a_job_that_nobody_took() -> None:
    """After a day in the queue the job times out."""
    given(created(), queued()).when(c.Expire(JOB, "queue"), at=86400).then(e.JobTimedOut(0, "queue_timeout"))


def test_a_queued_job_is_cancelled_at_once() -> None:
    """Nobody holds it, so nobody has to be asked."""
    given(created(), queued()).when(c.CancelJob(JOB, "by hand")).then(e.JobCancelled(0, 0, "by hand"))


def test_a_running_job_is_asked_to_end() -> None:
    """The runner gets an order; the lease is not refreshed by it; a second request changes nothing."""
    (event,) = given(*RUNNING).when(c.CancelJob(JOB, "by hand")).then_types(e.JobCancellationRequested)
    given(*RUNNING, event).when(c.CancelJob(JOB, "by hand")).then_nothing()
    given(*RUNNING, event).when(report("cancelled")).then(e.JobCancelled(1, 1, "by hand", {}, "cancelled1"))
    given(*RUNNING, event).when(c.Expire(JOB, "lease"), at=30).then_types(e.JobCancelled)
    given(*RUNNING, event).when(c.Expire(JOB, "cancel"), at=310).then_types(e.JobCancelled)


def test_an_ended_job_cannot_be_cancelled() -> None:
    """The refusal names the state that forbids it."""
    ended = (created(), queued(), e.JobCancelled(0, 0, "x"))
    assert given(*ended).when(c.CancelJob(JOB, "y")).then_refused("already_done").state == "done (cancelled)"


def test_a_runner_that_stops_hands_the_job_back() -> None:
    """Cancelled without a request means that the runner is going away: another one takes over."""
    (event,) = given(*RUNNING).when(report("cancelled")).then_types(e.AttemptLost)
    assert event.reason == "runner_stopped"


def test_an_outage_extends_a_lease_once() -> None:
    """The server extends what it could not hear of; an extension that adds nothing is a repeat."""
    given(*RUNNING).when(c.ExtendLease(JOB, 1, 30, "outage"), at=35).then(e.LeaseExtended(1, 1, after(65), "outage"))
    given(*RUNNING).when(c.ExtendLease(JOB, 1, 30, "outage"), at=0).then_nothing()
    given(*RUNNING).when(c.ExtendLease(JOB, 7, 30, "outage"), at=35).then_nothing()


def test_log_segments_follow_each_other() -> None:
    """Known segments are dropped, a gap is refused."""
    store = c.StoreLogSegments(JOB, RUNNER, 1, 1, lease(), (c.Segment(1, 1, 10, 100, "a" * 64),))
    (event,) = given(*RUNNING).when(store).then_types(e.LogSegmentStored)
    given(*RUNNING, event).when(store).then_nothing()
    gap = c.StoreLogSegments(JOB, RUNNER, 1, 1, lease(), (c.Segment(3, 1, 10, 100, "a" * 64),))
    given(*RUNNING).when(gap).then_refused("sequence_gap")


def test_a_report_does_not_end_a_log_with_a_segment_of_a_number_that_is_stored() -> None:
    """Another gateway may have stored other lines under it; those of the report would be lost."""
    (event,) = given(*RUNNING).when(segments(1)).then_types(e.LogSegmentStored)
    late = report("failure", segments=(c.Segment(1, 1, 12, 120, "b" * 64),))
    given(*RUNNING, event).when(late).then_refused("sequence_gap")
    following = report("failure", segments=(c.Segment(2, 11, 2, 20, "b" * 64),))
    given(*RUNNING, event).when(following).then_types(e.LogSegmentStored, e.AttemptFailed, e.JobFailed)


def segments(*numbers: int) -> c.StoreLogSegments:
    """Ten lines each."""
    found = tuple(c.Segment(number, 10 * number - 9, 10, 100, "a" * 64) for number in numbers)
    return c.StoreLogSegments(JOB, RUNNER, 1, 1, lease(), found)


def test_the_backoff_doubles_with_a_jitter_of_its_own() -> None:
    """1 s, 2 s, 4 s, ... at most 60 s, each up to 20 % more, and always the same for the same job."""
    policy = RetryPolicy()
    for index, base in ((1, 1), (2, 2), (3, 4), (10, 60)):
        pause = backoff(policy, JOB, index)
        assert timedelta(seconds=base) <= pause <= timedelta(seconds=base * 1.2)
        assert pause == backoff(policy, JOB, index)


def test_heartbeats_do_not_change_what_follows() -> None:
    """Folded state is the same when all but the last heartbeat of a lease are dropped."""
    beats = [e.HeartbeatRecorded(1, 1, after(30 + n)) for n in range(1, 5)]
    assert given(*RUNNING, *beats).state == given(*RUNNING, beats[-1]).state
    assert given(*RUNNING, *beats).when(c.Expire(JOB, "lease"), at=33).answer == Decision()
