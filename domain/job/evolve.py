"""How each event changes a job's state. Total and without judgement: what is in the log has happened."""

from datetime import datetime
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
    match state:
        case Acquired() | Running():
            return _held(state, event, meta.at)
        case Waiting() | Queued() | BackingOff():
            return _free(state, event, meta)
        case Done():
            raise ImpossibleHistoryError(f"{type(event).__name__} after the end of job {stream}")


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
    match event:
        case e.StepStarted() if isinstance(state, Running):
            return replace(state, open_steps={**state.open_steps, event.index: event.deadline}, transitions=state.transitions + 1)
        case e.StepCompleted() if isinstance(state, Running):
            return replace(
                state,
                open_steps={index: at for index, at in state.open_steps.items() if index != event.index},
                done_steps={**state.done_steps, event.index: event.conclusion},
                transitions=state.transitions + 1,
            )
        case e.HeartbeatRecorded() | e.LeaseExtended():
            return replace(state, lease=replace(state.lease, expires_at=event.expires_at))
        case e.LogSegmentStored():
            return replace(state, segments=state.segments + 1)
        case e.JobStarted():
            return Running(
                replace(state.life, not_started=0), state.lease, at, event.deadline, segments=state.segments, cancel=state.cancel
            )
        case e.JobCancellationRequested():
            return replace(state, cancel=CancelOrder(event.order, event.reason, event.deadline))
        case e.AttemptLost() | e.AttemptFailed() | e.AttemptTimedOut():
            return _between(state, event)
        case e.JobSucceeded():
            return Done(_reported(state.life, event.result), "success", event.outputs)
        case e.JobCancelled():
            return Done(_reported(state.life, event.result), "cancelled", event.outputs)
        case _:
            raise ImpossibleHistoryError(f"{type(event).__name__} while job {state.life.job} is {type(state).__name__}")


def _between(state: Acquired | Running, event: e.AttemptLost | e.AttemptFailed | e.AttemptTimedOut) -> BackingOff:
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
