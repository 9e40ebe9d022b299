"""Invariants 2 to 4, seen from a lease: when it may end, that it only grows, whose it is; and what else an attempt leaves.

The clock of these rules is the log's own: the store's time of each event.
"""

from collections.abc import Iterator
from datetime import datetime
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

    kinds = e.JobEvent

    def __init__(self) -> None:
        self._jobs: dict[UUID, Lease] = {}

    def see(self, event: Recorded) -> Iterator[Finding]:
        """The findings about one event of a job."""
        data, at = event.data, event.meta.at
        if isinstance(data, e.JobCreated):
            if event.stream != ids.job_id(data.run, data.run_attempt, data.key, data.instance):
                yield 3, f"the stream is not that of job {data.key} {data.instance} in run attempt {data.run_attempt}"
            self._jobs[event.stream] = Lease(data)
            return
        job = self._jobs.get(event.stream)
        if job is None:
            return
        match data:
            case e.HeartbeatRecorded() | e.LeaseExtended():
                if job.expires_at is not None and data.expires_at <= job.expires_at:
                    yield 2, f"{event.type} does not extend the lease, which ends at {job.expires_at}"
                job.expires_at = data.expires_at
            case e.StepStarted() | e.StepCompleted():
                yield from self._step(job, data)
            case e.LogSegmentStored():
                yield from self._segment(job, data)
            case e.JobQueued() | e.JobRetried():
                yield from self._queued(job, data, at)
            case e.JobAcquired():
                yield from self._acquired(job, event)
            case e.AttemptLost():
                yield from self._lost(job, data, at)
            case e.AttemptFailed() | e.AttemptTimedOut():
                yield from self._ended(job, data)
            case e.JobCancellationRequested():
                job.cancelling = True
            case e.JobSucceeded():
                missing = [step.index for step in job.spec.steps if step.index not in job.steps]
                if missing:
                    yield 3, f"the job succeeded although no end was recorded of the steps {missing}"
            case e.JobTimedOut(reason="queue_timeout") if job.queued_until is not None and at < job.queued_until:
                yield 3, f"the job left the queue at {at}; it may wait until {job.queued_until}"
            case _:
                pass

    def _queued(self, job: Lease, data: e.JobQueued | e.JobRetried, at: datetime) -> Iterator[Finding]:
        if job.cancelling:
            yield 3, "the job is in the queue again although its cancellation was asked for"
        if isinstance(data, e.JobQueued) and data.labels != job.spec.labels:
            yield 5, f"the job was queued for the labels {data.labels}; it was created with {job.spec.labels}"
        if data.expires_at <= at:
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

    def _lost(self, job: Lease, data: e.AttemptLost, at: datetime) -> Iterator[Finding]:
        if data.reason not in LOST:
            yield 4, f"an attempt is not lost by {data.reason}"
        if data.reason == "lease_expired" and job.expires_at is not None and at < job.expires_at:
            yield 2, f"the lease was ended at {at}; it holds until {job.expires_at}"
        # `not_started` may come before the accept window ends: a gateway knows when a hand-out did not arrive.
        yield from self._ended(job, data)

    def _ended(self, job: Lease, data: e.AttemptLost | e.AttemptFailed | e.AttemptTimedOut) -> Iterator[Finding]:
        if data.runner != job.runner:
            yield 2, f"the attempt ended at runner {data.runner}; the lease is that of {job.runner}"
        if data.retry_index != data.attempt:
            yield 4, f"attempt {data.attempt} counts as retry {data.retry_index}"
        if data.retry_at is not None and job.cancelling:
            yield 3, "another attempt was planned although the cancellation was asked for"

    def _step(self, job: Lease, data: e.StepStarted | e.StepCompleted) -> Iterator[Finding]:
        if data.index >= len(job.spec.steps):
            yield 3, f"step {data.index} is none of the job's {len(job.spec.steps)} steps"
        if isinstance(data, e.StepStarted):
            return
        job.steps.add(data.index)
        if data.ended_at < data.started_at:
            yield 3, f"step {data.index} ended before it began"
        if data.conclusion != data.outcome and (data.outcome, data.conclusion) != ("failure", "success"):
            yield 3, f"step {data.index} ended {data.outcome} and counts as {data.conclusion}"

    def _segment(self, job: Lease, data: e.LogSegmentStored) -> Iterator[Finding]:
        if data.segment != job.segments + 1:
            yield 3, f"log segment {data.segment} does not follow segment {job.segments}"
        job.segments, job.lines = data.segment, data.first_line + data.lines - 1
