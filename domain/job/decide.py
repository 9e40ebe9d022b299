"""What a job answers to each command: events, a repeat (no event), or a refusal. Pure; time comes in as `now`."""

from datetime import datetime, timedelta
from typing import assert_never

from domain import ids
from domain.job import commands as c
from domain.job import events as e
from domain.job.attempt import ended, reported
from domain.job.fence import stale
from domain.job.state import Acquired, BackingOff, Done, JobState, Queued, Running, Waiting, name
from domain.job.steps import report_steps
from domain.refusals import REPEAT, Decision, Refusal

JOB_GRACE_SECONDS = 10
"""How long after `timeout-minutes` the server waits for the runner's own report before it ends the attempt itself."""

LADDER_SECONDS = 10
"""How long a runner may take from INT to KILL (7.5 s + 2.5 s)."""


def decide(state: JobState | None, command: c.AnyJobCommand, now: datetime) -> Decision | Refusal:
    """The answer of a job in `state` to `command` at the store's time `now`."""
    if isinstance(command, c.CreateJob):
        return _create(state, command, now)
    if state is None:
        return Refusal("job_not_found", f"there is no job {command.job}", state="absent")
    match command:
        case c.QueueJob():
            return Decision((_queued(command, state.life.spec, now),)) if isinstance(state, Waiting) else REPEAT
        case c.AcquireJob():
            return _acquire(state, command, now)
        case c.FencedCommand():
            return _fenced(state, command, now)
        case c.ExtendLease():
            return _extend(state, command, now)
        case c.ReportLost():
            return _lost(state, command, now)
        case c.Expire():
            return _expire(state, command, now)
        case c.CancelJob():
            return _cancel(state, command, now)
        case _:
            assert_never(command)


def _create(state: JobState | None, command: c.CreateJob, now: datetime) -> Decision | Refusal:
    if state is not None:
        return REPEAT
    if command.skip:
        return Decision((command.spec, e.JobSkipped(command.skip, command.condition, command.trace)))
    if command.fail:
        return Decision((command.spec, e.JobFailed(attempt=0, reason=command.fail)))
    return Decision((command.spec,) if command.hold else (command.spec, _queued(command, command.spec, now)))


def _queued(command: c.CreateJob | c.QueueJob, spec: e.JobCreated, now: datetime) -> e.JobQueued:
    return e.JobQueued(command.lane, command.tenant, spec.labels, command.fair_key, now + timedelta(seconds=command.queue_seconds))


def _acquire(state: JobState, command: c.AcquireJob, now: datetime) -> Decision | Refusal:
    if not isinstance(state, Queued):
        return Refusal("not_queued", f"job {command.job} is {name(state)}, so no runner can take it", state=name(state))
    missing = [label for label in state.life.spec.labels if label not in command.labels]
    if missing:
        message = f"runner {command.runner_name} lacks the labels {', '.join(missing)}"
        return Refusal("labels_do_not_match", message, state=name(state))
    epoch = state.life.epoch + 1
    return Decision(
        (
            e.JobAcquired(
                attempt=state.life.attempt + 1,
                epoch=epoch,
                runner=command.runner,
                runner_name=command.runner_name,
                lease=ids.lease_id(command.job, epoch),
                expires_at=now + timedelta(seconds=command.lease_seconds),
                accept_by=now + timedelta(seconds=command.accept_seconds),
            ),
        )
    )


def _fenced(state: JobState, command: c.FencedCommand, now: datetime) -> Decision | Refusal:
    """What a runner sends. First the fence, then what is asked."""
    if isinstance(command, c.ReportAttempt) and _is_repeat(state, command):
        return REPEAT
    refused = stale(state, command)
    if refused is not None:
        return refused
    assert isinstance(state, Acquired | Running), "the fence lets only the live lease pass"  # noqa: S101 - a fact, not a check
    match command:
        case c.StartJob():
            return _start(state, now)
        case c.RecordHeartbeat():
            expires_at = now + timedelta(seconds=command.lease_seconds)
            if expires_at <= state.lease.expires_at:
                return REPEAT
            return Decision((e.HeartbeatRecorded(command.attempt, command.epoch, expires_at),))
        case c.ReportSteps():
            return report_steps(state, command, now)
        case c.StoreLogSegments():
            return _segments(state, command, command.segments)
        case c.ReportAttempt():
            stored = _segments(state, command, command.segments, known=False)
            if isinstance(stored, Refusal):
                return stored
            outcome = reported(state, command, now)
            return outcome if isinstance(outcome, Refusal) else Decision((*stored.events, *outcome))
        case _:
            raise TypeError(type(command).__name__)


def _is_repeat(state: JobState, command: c.ReportAttempt) -> bool:
    return bool(command.result) and state.life.last_epoch == command.epoch and state.life.last_result == command.result


def _start(state: Acquired | Running, now: datetime) -> Decision:
    if isinstance(state, Running):
        return REPEAT
    deadline = now + timedelta(seconds=state.life.spec.timeout_seconds + JOB_GRACE_SECONDS)
    return Decision((e.JobStarted(state.lease.attempt, state.lease.epoch, deadline),))


def _segments(
    state: Acquired | Running, command: c.FencedCommand, segments: tuple[c.Segment, ...], *, known: bool = True
) -> Decision | Refusal:
    """known: whether a segment of a number that is stored is a repeat. At the end of an attempt it may be another gateway's."""
    fresh = [segment for segment in segments if segment.segment > state.segments or not known]
    expected = range(state.segments + 1, state.segments + 1 + len(fresh))
    if [segment.segment for segment in fresh] != list(expected):
        message = f"log segment {fresh[0].segment} does not follow segment {state.segments}"
        return Refusal("sequence_gap", message, state=name(state))
    return Decision(
        tuple(
            e.LogSegmentStored(command.attempt, command.epoch, s.segment, s.first_line, s.lines, s.bytes, s.sha256, s.text_bytes)
            for s in fresh
        )
    )


def _extend(state: JobState, command: c.ExtendLease, now: datetime) -> Decision:
    if not isinstance(state, Acquired | Running) or state.lease.epoch != command.epoch:
        return REPEAT
    expires_at = now + timedelta(seconds=command.lease_seconds)
    if expires_at <= state.lease.expires_at:
        return REPEAT
    return Decision((e.LeaseExtended(state.lease.attempt, state.lease.epoch, expires_at, command.reason),))


def _lost(state: JobState, command: c.ReportLost, now: datetime) -> Decision:
    if not isinstance(state, Acquired | Running) or state.lease.epoch != command.epoch:
        return REPEAT
    return Decision(ended(state, "lost", command.reason, now))


def _expire(state: JobState, command: c.Expire, now: datetime) -> Decision:
    """Re-check the deadline: a tick that comes late, early or twice does no harm."""
    match state, command.kind:
        case (Acquired() | Running(), "lease") if now >= state.lease.expires_at:
            return Decision(ended(state, "lost", "lease_expired", now))
        case (Acquired(), "accept") if now >= state.accept_by:
            return Decision(ended(state, "lost", "not_started", now))
        case (Running(), "job") if now >= state.deadline:
            return Decision(ended(state, "timed_out", "job_timeout", now))
        case (Running(), "step") if any(at is not None and now >= at for at in state.open_steps.values()):
            return Decision(ended(state, "timed_out", "step_timeout", now))
        case (Acquired() | Running(), "cancel") if state.cancel is not None and now >= state.cancel.deadline:
            reason = f"{state.cancel.reason}; the runner did not answer"
            return Decision((e.JobCancelled(state.lease.attempt, state.lease.epoch, reason),))
        case (Queued(), "queue") if now >= state.expires_at:
            return Decision((e.JobTimedOut(state.life.attempt, "queue_timeout"),))
        case (BackingOff(), "retry") if now >= state.retry_at:
            life = state.life
            return Decision((e.JobRetried(life.attempt + 1, life.attempt, now + life.queue_time, state.avoid),))
        case _:
            return REPEAT


def _cancel(state: JobState, command: c.CancelJob, now: datetime) -> Decision | Refusal:
    match state:
        case Done():
            message = f"job {command.job} is {name(state)}; it cannot be cancelled"
            return Refusal("already_done", message, state=name(state))
        case Waiting() | Queued() | BackingOff():
            return Decision((e.JobCancelled(state.life.attempt, state.life.epoch, command.reason),))
        case Acquired() | Running():
            if command.force:
                return Decision((e.JobCancelled(state.lease.attempt, state.lease.epoch, command.reason),))
            if state.cancel is not None:
                return REPEAT
            seconds = state.life.spec.cancel_timeout_seconds + LADDER_SECONDS
            order = ids.derive("order", command.job, state.lease.epoch, "cancel")
            return Decision((e.JobCancellationRequested(order, command.reason, False, now + timedelta(seconds=seconds)),))
        case _:
            assert_never(state)
