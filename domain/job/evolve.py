"""How each event changes a job's state. Total and without judgement: what is in the log has happened."""

from collections.abc import Callable
from datetime import datetime
from typing import Any
from uuid import UUID

from msgspec.structs import replace

from domain.envelope import Meta
from domain.job import events as e
from domain.job.state import (
    Acquired,
    BackingOff,
    CancelOrder,
    Done,
    JobState,
    Life,
    LiveLease,
    Queued,
    Running,
    Waiting,
)


class ImpossibleHistoryError(Exception):
    """The log holds an event that cannot follow the state before it: the log is damaged or the code is wrong."""


def evolve(stream: UUID, state: JobState | None, event: e.JobEvent, meta: Meta) -> JobState:
    """The state after `event`. Raises ImpossibleHistoryError when no history of this code leads there."""
    if isinstance(event, e.JobCreated):
        return Waiting(Life(job=stream, spec=event, tenant=meta.tenant))
    if state is None:
        raise ImpossibleHistoryError(f"{type(event).__name__} is the first event of job {stream}")
    if isinstance(event, e.StaleWriteRejected):
        return state
    if isinstance(state, (Acquired, Running)):
        return _held(state, event, meta.at)
    if isinstance(state, Done):
        raise ImpossibleHistoryError(f"{type(event).__name__} after the end of job {stream}")
    return _free(state, event, meta)


def _free(state: Waiting | Queued | BackingOff, event: e.JobEvent, meta: Meta) -> JobState:
    life = state.life
    match event:
        case e.JobQueued():
            queued = replace(
                life,
                first_queued_at=meta.at,
                queue_time=event.expires_at - meta.at,
                tenant=event.tenant,
                lane=event.lane,
                fair_key=event.fair_key,
            )
            return Queued(queued, expires_at=event.expires_at)
        case e.JobAcquired():
            lease = LiveLease(event.attempt, event.epoch, event.lease, event.runner, event.expires_at)
            return Acquired(replace(life, attempt=event.attempt, epoch=event.epoch), lease, event.accept_by)
        case e.JobRetried():
            return Queued(life, expires_at=event.expires_at, avoid=event.avoid)
        case e.JobSkipped():
            return Done(life, "skipped")
        case e.JobFailed():
            return Done(life, "failure", event.outputs)
        case e.JobTimedOut():
            return Done(life, "timed_out")
        case e.JobCancelled():
            return Done(life, "cancelled", event.outputs)
        case _:
            raise ImpossibleHistoryError(f"{type(event).__name__} while job {life.job} is {type(state).__name__}")


def _held(state: Acquired | Running, event: e.JobEvent, at: datetime) -> JobState:
    change = _CHANGES.get(type(event))
    if change is None or (type(event) in _WITHIN and not isinstance(state, Running)):
        raise ImpossibleHistoryError(f"{type(event).__name__} while job {state.life.job} is {type(state).__name__}")
    return change(state, event, at)


def _step_started(state: Running, event: e.StepStarted, _at: datetime) -> Running:
    return replace(state, open_steps={**state.open_steps, event.index: event.deadline}, transitions=state.transitions + 1)


def _step_completed(state: Running, event: e.StepCompleted, _at: datetime) -> Running:
    left = dict(state.open_steps)
    left.pop(event.index, None)
    return replace(
        state,
        open_steps=left,
        done_steps={**state.done_steps, event.index: event.conclusion},
        transitions=state.transitions + 1,
        subjects=state.subjects + len(event.subjects),
    )


def _renewed(state: Acquired | Running, event: e.HeartbeatRecorded | e.LeaseExtended, _at: datetime) -> JobState:
    return replace(state, lease=replace(state.lease, expires_at=event.expires_at))


def _stored(state: Acquired | Running, _event: e.LogSegmentStored, _at: datetime) -> JobState:
    return replace(state, segments=state.segments + 1)


def _started(state: Acquired | Running, event: e.JobStarted, at: datetime) -> JobState:
    return Running(replace(state.life, not_started=0), state.lease, at, event.deadline, segments=state.segments, cancel=state.cancel)


def _cancelling(state: Acquired | Running, event: e.JobCancellationRequested, _at: datetime) -> JobState:
    return replace(state, cancel=CancelOrder(event.order, event.reason, event.deadline))


def _succeeded(state: Acquired | Running, event: e.JobSucceeded, _at: datetime) -> JobState:
    return Done(_reported(state.life, event.result), "success", event.outputs)


def _cancelled(state: Acquired | Running, event: e.JobCancelled, _at: datetime) -> JobState:
    return Done(_reported(state.life, event.result), "cancelled", event.outputs)


def _between(state: Acquired | Running, event: e.AttemptLost | e.AttemptFailed | e.AttemptTimedOut, _at: datetime) -> BackingOff:
    """After the end of an attempt. Where there is no retry, JobFailed or JobTimedOut follows in the same append."""
    life = _reported(state.life, event.result)
    if isinstance(event, e.AttemptLost) and event.reason == "not_started":
        life = replace(life, not_started=life.not_started + 1)
    else:
        life = replace(life, counted=life.counted + 1, not_started=0)
    avoid = event.runner if isinstance(event, e.AttemptLost) else None
    # No retry: the state lasts for no time, and the instant is never read.
    return BackingOff(life, event.retry_at or state.lease.expires_at, avoid)


def _reported(life: Life, result: str) -> Life:
    return replace(life, last_epoch=life.epoch, last_result=result) if result else life


_CHANGES: dict[type[e.JobEvent], Callable[[Any, Any, datetime], JobState]] = {
    e.StepStarted: _step_started,
    e.StepCompleted: _step_completed,
    e.HeartbeatRecorded: _renewed,
    e.LeaseExtended: _renewed,
    e.LogSegmentStored: _stored,
    e.JobStarted: _started,
    e.JobCancellationRequested: _cancelling,
    e.AttemptLost: _between,
    e.AttemptFailed: _between,
    e.AttemptTimedOut: _between,
    e.JobSucceeded: _succeeded,
    e.JobCancelled: _cancelled,
}
"""What each event does to a job that a runner holds: these are the most, so they are found and not tried one after the other."""
_WITHIN = frozenset({e.StepStarted, e.StepCompleted})
"""Only where the job has begun."""
