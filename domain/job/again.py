"""Recorded decisions of jobs, taken again by today's rules: where would a job have answered otherwise?

Commands are not recorded; what a command led to is, with its inputs. So each decision of a job's stream is turned back into
the command that it answers, `decide` is asked again in the state before it, and the answers are compared. A refused write
that was kept as evidence (StaleWriteRejected) says too little of its command, and is passed over.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec

from domain.envelope import Recorded, Unreadable
from domain.job import commands as c
from domain.job import events as e
from domain.job.decide import decide
from domain.job.evolve import ImpossibleHistoryError, evolve
from domain.job.state import Acquired, JobState, Running
from domain.refusals import Refusal

ATTEMPT_ENDS = (e.AttemptLost, e.AttemptFailed, e.AttemptTimedOut)


class Otherwise(msgspec.Struct, frozen=True):
    """A decision that today's rules would have taken otherwise. position, stream: of its first event; command: what was asked.

    recorded: the events of then; now: those of today, or the refusal. Each as (type, fields).
    """

    position: int
    stream: UUID
    command: str
    recorded: tuple[tuple[str, Any], ...]
    now: tuple[tuple[str, Any], ...]


class Again(msgspec.Struct, frozen=True):
    """What came of it. decisions: how many were taken again; passed: events that tell too little of their command."""

    decisions: int
    passed: int
    differences: tuple[Otherwise, ...]


def together(*parts: Again) -> Again:
    """The same of several parts of a log."""
    differences = sorted((each for part in parts for each in part.differences), key=lambda each: each.position)
    return Again(sum(part.decisions for part in parts), sum(part.passed for part in parts), tuple(differences))


def again(events: Iterable[Recorded]) -> Again:
    """Take every decision of the jobs in a log again. events: in order; those of other streams are left aside."""
    streams: dict[UUID, list[Recorded]] = {}
    for event in events:
        if isinstance(event.data, e.JobEvent | Unreadable):
            streams.setdefault(event.stream, []).append(event)
    decisions = passed = 0
    differences: list[Otherwise] = []
    for stream, recorded in streams.items():
        if not isinstance(recorded[0].data, e.JobCreated):
            passed += len(recorded)
            continue
        for taken in _decisions(stream, recorded):
            if isinstance(taken, Otherwise):
                differences.append(taken)
            decisions += taken is not None
            passed += taken is None
    return Again(decisions, passed, tuple(sorted(differences, key=lambda each: each.position)))


def _decisions(stream: UUID, recorded: Sequence[Recorded]) -> Iterator[Otherwise | bool | None]:
    """For each decision: how it differs, True where it does not, None where its command cannot be told."""
    state: JobState | None = None
    at = 0
    while at < len(recorded):
        events = recorded[at : at + _length(recorded, at)]
        at += len(events)
        if isinstance(events[0].data, Unreadable):
            yield None
            return
        command = command_of(stream, state, events)
        if command is None:
            yield None
        else:
            answer = decide(state, command, events[0].meta.at)
            said = (answer,) if isinstance(answer, Refusal) else answer.events
            was = tuple(event.data for event in events)
            name = type(command).__name__
            yield True if said == was else Otherwise(events[0].position, stream, name, told(was), told(said))
        try:
            for event in events:
                state = evolve(stream, state, event.data, event.meta)
        except ImpossibleHistoryError as error:
            then = told(event.data for event in events)
            yield Otherwise(events[0].position, stream, "evolve", then, (("ImpossibleHistory", str(error)),))
            return


def _length(recorded: Sequence[Recorded], at: int) -> int:
    """How many events the decision led to that begins here: one, or the beginning or the end of a job with its own."""
    first = recorded[at]
    if at + 1 == len(recorded) or recorded[at + 1].meta.at != first.meta.at:
        return 1
    second = recorded[at + 1].data
    if isinstance(first.data, e.JobCreated):
        return 2 if isinstance(second, e.JobQueued | e.JobSkipped) or (isinstance(second, e.JobFailed) and second.attempt == 0) else 1
    ended = isinstance(first.data, ATTEMPT_ENDS) and first.data.retry_at is None
    return 2 if ended and isinstance(second, e.JobFailed | e.JobTimedOut) else 1


def command_of(stream: UUID, state: JobState | None, events: Sequence[Recorded]) -> c.AnyJobCommand | None:
    """The command that these events of one decision answer; None where they tell too little of it."""
    first, at = events[0].data, events[0].meta.at
    second = events[1].data if len(events) > 1 else None
    if isinstance(first, e.JobCreated):
        return _create(stream, first, second, at, tenant=events[0].meta.tenant)
    match first:
        case e.JobQueued():
            return c.QueueJob(stream, first.lane, first.tenant, first.fair_key, _seconds(first.expires_at, at))
        case e.JobAcquired():
            labels = state.life.spec.labels if state is not None else ()
            windows = _seconds(first.expires_at, at), _seconds(first.accept_by, at)
            return c.AcquireJob(stream, first.runner, first.runner_name, labels, *windows)
        case e.JobRetried():
            return c.Expire(stream, "retry")
        case e.JobTimedOut():
            return c.Expire(stream, "queue")
        case e.JobCancellationRequested():
            return c.CancelJob(stream, first.reason, first.force)
        case e.LeaseExtended():
            return c.ExtendLease(stream, first.epoch, _seconds(first.expires_at, at), first.reason)
        case e.JobCancelled() if not isinstance(state, Acquired | Running):
            return c.CancelJob(stream, first.reason)
        case _ if isinstance(state, Acquired | Running):
            return _held(stream, state, first, second, at)
        case _:
            return None


def _create(stream: UUID, spec: e.JobCreated, second: Any, at: datetime, *, tenant: str) -> c.CreateJob:
    match second:
        case e.JobQueued():
            seconds = _seconds(second.expires_at, at)
            return c.CreateJob(stream, spec, second.lane, second.tenant, second.fair_key, seconds)
        case e.JobSkipped():
            return c.CreateJob(stream, spec, skip=second.reason, condition=second.condition, trace=second.trace)
        case e.JobFailed():
            return c.CreateJob(stream, spec, fail=second.reason)
        case _:
            return c.CreateJob(stream, spec, tenant=tenant, hold=True)


def _held(stream: UUID, state: Acquired | Running, first: Any, second: Any, at: datetime) -> c.AnyJobCommand | None:
    """What the runner, or a deadline, asked of a job that a runner holds."""
    lease = state.lease
    fence = stream, lease.runner, lease.attempt, lease.epoch, lease.lease
    transitions = state.transitions if isinstance(state, Running) else 0
    match first:
        case e.JobStarted():
            return c.StartJob(*fence)
        case e.HeartbeatRecorded():
            return c.RecordHeartbeat(*fence, _seconds(first.expires_at, at))
        case e.StepStarted():
            return c.ReportSteps(*fence, transitions + 1, (c.StepTransition(first.index, first.started_at),))
        case e.StepCompleted():
            facts = first.outcome, first.conclusion, first.exit_code, first.effect, first.ended_at, first.outputs, first.message
            ended = c.StepTransition(first.index, first.started_at, *facts, subjects=first.subjects)
            return c.ReportSteps(*fence, transitions + 1, (ended,))
        case e.LogSegmentStored():
            stored = c.Segment(first.segment, first.first_line, first.lines, first.bytes, first.sha256, first.text_bytes)
            return c.StoreLogSegments(*fence, (stored,))
        case e.JobSucceeded():
            return c.ReportAttempt(*fence, "success", "", first.result, first.outputs)
        case e.AttemptFailed():
            outputs = second.outputs if isinstance(second, e.JobFailed) else {}
            return c.ReportAttempt(*fence, "failure", first.reason, first.result, outputs, first.failed_step, first.message)
        case e.AttemptTimedOut() if first.result:
            return c.ReportAttempt(*fence, "timed_out", first.reason, first.result)
        case e.AttemptTimedOut():
            return c.Expire(stream, "step" if first.reason == "step_timeout" else "job")
        case e.AttemptLost(reason="lease_expired"):
            return c.Expire(stream, "lease")
        case e.AttemptLost(reason="not_started"):
            return c.Expire(stream, "accept")
        case e.AttemptLost() if first.result:
            outputs = second.outputs if isinstance(second, e.JobFailed) else {}
            return c.ReportAttempt(*fence, "cancelled", "", first.result, outputs)
        case e.AttemptLost():
            return c.ReportLost(stream, first.epoch, first.reason)
        case e.JobCancelled():
            return _cancelled(fence, state, first)
        case _:
            return None


def _cancelled(fence: tuple[Any, ...], state: Acquired | Running, event: e.JobCancelled) -> c.AnyJobCommand:
    """The runner obeyed, never answered, was lost meanwhile, or was not waited for."""
    stream, runner, attempt, epoch, lease = fence
    if state.cancel is None:
        return c.CancelJob(stream, event.reason, force=True)
    if event.reason == f"{state.cancel.reason}; the runner did not answer":
        return c.Expire(stream, "cancel")
    if event.reason == f"{state.cancel.reason}; the runner was lost":
        return c.ReportLost(stream, epoch, "lease_expired")
    if event.result:
        return c.ReportAttempt(stream, runner, attempt, epoch, lease, "cancelled", "", event.result, event.outputs)
    return c.CancelJob(stream, event.reason, force=True)


def _seconds(end: datetime, at: datetime) -> float:
    return (end - at) / timedelta(seconds=1)


def told(events: Iterable[Any]) -> tuple[tuple[str, Any], ...]:
    """Events, or a refusal, as (type, fields)."""
    return tuple((type(event).__name__, msgspec.to_builtins(event)) for event in events)
