"""Invariants 2 to 4, seen from a lease: when it may end, that it only grows, whose it is; and what else an attempt leaves.

The clock of these rules is the log's own: the store's time of each event.
"""

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import ClassVar
from uuid import UUID

import msgspec

from domain import ids
from domain.envelope import Recorded
from domain.invariants.job import Finding
from domain.job import events as e

LOST = frozenset({"lease_expired", "not_started", "runner_restarted", "runner_stopped"})


class Lease(msgspec.Struct):
    """What the log says of a job's lease and queue. segments, lines: of the attempt's log so far; steps: that are done."""

    spec: e.JobCreated
    runner: UUID | None = None
    expires_at: datetime | None = None
    accept_by: datetime | None = None
    queued_until: datetime | None = None
    cancelling: bool = False
    segments: int = 0
    lines: int = 0
    steps: set[int] = set()


class LeaseLedger:
    """The leases of all jobs."""

    def __init__(self) -> None:
        self._jobs: dict[int, Lease] = {}

    def see(self, event: Recorded) -> Iterable[Finding]:
        """The findings about one event of a job."""
        data = event.data
        rule = self.RULES.get(type(data))
        if rule is not None:
            job = self._jobs.get(event.stream.int)
            return rule(self, job, event) if job is not None else ()
        if isinstance(data, e.JobCreated):
            self._jobs[event.stream.int] = Lease(data)
            if event.stream != ids.job_id(data.run, data.run_attempt, data.key, data.instance):
                return ((3, f"the stream is not that of job {data.key} {data.instance} in run attempt {data.run_attempt}"),)
        return ()

    def _renewed(self, job: Lease, event: Recorded) -> Iterable[Finding]:
        before, job.expires_at = job.expires_at, event.data.expires_at
        if before is not None and event.data.expires_at <= before:
            return ((2, f"{event.type} does not extend the lease, which ends at {before}"),)
        return ()

    def _cancelling(self, job: Lease, _event: Recorded) -> Iterable[Finding]:
        job.cancelling = True
        return ()

    def _succeeded(self, job: Lease, _event: Recorded) -> Iterable[Finding]:
        missing = [step.index for step in job.spec.steps if step.index not in job.steps]
        return ((3, f"the job succeeded although no end was recorded of the steps {missing}"),) if missing else ()

    def _timed_out(self, job: Lease, event: Recorded) -> Iterator[Finding]:
        data: e.JobTimedOut = event.data
        if data.reason == "queue_timeout" and job.queued_until is not None and event.meta.at < job.queued_until:
            yield 3, f"the job left the queue at {event.meta.at}; it may wait until {job.queued_until}"

    def _queued(self, job: Lease, event: Recorded) -> Iterator[Finding]:
        data: e.JobQueued | e.JobRetried = event.data
        if job.cancelling:
            yield 3, "the job is in the queue again although its cancellation was asked for"
        if isinstance(data, e.JobQueued) and data.labels != job.spec.labels:
            yield 5, f"the job was queued for the labels {data.labels}; it was created with {job.spec.labels}"
        if data.expires_at <= event.meta.at:
            yield 3, f"the job was queued until {data.expires_at}, which had passed"
        job.queued_until = data.expires_at

    def _acquired(self, job: Lease, event: Recorded) -> Iterator[Finding]:
        data: e.JobAcquired = event.data
        if data.lease != ids.lease_id(event.stream, data.epoch):
            yield 2, f"lease {data.lease} is not that of epoch {data.epoch}"
        if min(data.expires_at, data.accept_by) <= event.meta.at:
            yield 2, f"the lease or the accept window of epoch {data.epoch} had ended when it began"
        job.runner, job.expires_at, job.accept_by = data.runner, data.expires_at, data.accept_by
        job.segments = job.lines = 0
        job.steps = set()

    def _lost(self, job: Lease, event: Recorded) -> Iterator[Finding]:
        data: e.AttemptLost = event.data
        at = event.meta.at
        if data.reason not in LOST:
            yield 4, f"an attempt is not lost by {data.reason}"
        if data.reason == "lease_expired" and job.expires_at is not None and at < job.expires_at:
            yield 2, f"the lease was ended at {at}; it holds until {job.expires_at}"
        # `not_started` may come before the accept window ends: a gateway knows when a hand-out did not arrive.
        yield from self._ended(job, event)

    def _ended(self, job: Lease, event: Recorded) -> Iterator[Finding]:
        data: e.AttemptLost | e.AttemptFailed | e.AttemptTimedOut = event.data
        if data.runner != job.runner:
            yield 2, f"the attempt ended at runner {data.runner}; the lease is that of {job.runner}"
        if data.retry_index != data.attempt:
            yield 4, f"attempt {data.attempt} counts as retry {data.retry_index}"
        if data.retry_at is not None and job.cancelling:
            yield 3, "another attempt was planned although the cancellation was asked for"

    def _step_started(self, job: Lease, event: Recorded) -> Iterable[Finding]:
        return _foreign(job, event.data) if event.data.index >= len(job.spec.steps) else ()

    def _step_completed(self, job: Lease, event: Recorded) -> Iterable[Finding]:
        data: e.StepCompleted = event.data
        job.steps.add(data.index)
        sound = data.index < len(job.spec.steps) and data.ended_at >= data.started_at and data.conclusion == data.outcome
        return () if sound else (*_foreign(job, data), *_ended_oddly(data))

    def _segment(self, job: Lease, event: Recorded) -> Iterable[Finding]:
        data: e.LogSegmentStored = event.data
        before, job.segments, job.lines = job.segments, data.segment, data.first_line + data.lines - 1
        return ((3, f"log segment {data.segment} does not follow segment {before}"),) if data.segment != before + 1 else ()

    RULES: ClassVar[dict[type, Callable[["LeaseLedger", Lease, Recorded], Iterable[Finding]]]] = {
        e.HeartbeatRecorded: _renewed,
        e.LeaseExtended: _renewed,
        e.StepStarted: _step_started,
        e.StepCompleted: _step_completed,
        e.LogSegmentStored: _segment,
        e.JobQueued: _queued,
        e.JobRetried: _queued,
        e.JobAcquired: _acquired,
        e.AttemptLost: _lost,
        e.AttemptFailed: _ended,
        e.AttemptTimedOut: _ended,
        e.JobCancellationRequested: _cancelling,
        e.JobSucceeded: _succeeded,
        e.JobTimedOut: _timed_out,
    }
    """What each event changes and has to keep; the others concern no lease."""


def _foreign(job: Lease, data: e.StepStarted | e.StepCompleted) -> Iterator[Finding]:
    if data.index >= len(job.spec.steps):
        yield 3, f"step {data.index} is none of the job's {len(job.spec.steps)} steps"


def _ended_oddly(data: e.StepCompleted) -> Iterator[Finding]:
    if data.ended_at < data.started_at:
        yield 3, f"step {data.index} ended before it began"
    if data.conclusion != data.outcome and (data.outcome, data.conclusion) != ("failure", "success"):
        yield 3, f"step {data.index} ended {data.outcome} and counts as {data.conclusion}"
