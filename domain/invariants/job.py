"""Invariants 2, 3 and 4: leases and epochs, the ends of attempts and jobs, retries."""

from collections.abc import Iterator
from datetime import datetime
from uuid import UUID

import msgspec

from domain.envelope import Recorded
from domain.job import events as e

Finding = tuple[int, str]
"""(number of the invariant, what is wrong)."""

CONCLUSIONS: dict[type, str] = {
    e.JobSucceeded: "success",
    e.JobFailed: "failure",
    e.JobTimedOut: "timed_out",
    e.JobSkipped: "skipped",
    e.JobCancelled: "cancelled",
}
ATTEMPT_ENDS: dict[type, str] = {e.AttemptLost: "lost", e.AttemptFailed: "failed", e.AttemptTimedOut: "timed_out"}
CARRIES_EPOCH = (
    e.JobStarted,
    e.HeartbeatRecorded,
    e.LeaseExtended,
    e.StepStarted,
    e.StepCompleted,
    e.LogSegmentStored,
    e.JobSucceeded,
    e.AttemptLost,
    e.AttemptFailed,
    e.AttemptTimedOut,
)


class Account(msgspec.Struct):
    """One job as the checker sees it. live: (attempt, epoch) of the lease; ended: the attempt that ended last."""

    spec: e.JobCreated
    queued: bool = False
    ever_queued: bool = False
    live: tuple[int, int] | None = None
    epoch: int = 0
    attempt: int = 0
    counted: int = 0
    ended: int = 0
    ended_version: int = 0
    ended_as: str = ""
    retry_at: datetime | None = None
    conclusion: str = ""
    steps: dict[int, str] = {}
    outputs: dict[str, str] = {}


class JobLedger:
    """All jobs of a log."""

    def __init__(self) -> None:
        self._jobs: dict[UUID, Account] = {}

    def run_of(self, job: UUID) -> UUID | None:
        """The run of a job that was created before."""
        account = self._jobs.get(job)
        return account.spec.run if account else None

    def get(self, job: UUID) -> Account | None:
        """The account of a job."""
        return self._jobs.get(job)

    def see(self, event: Recorded) -> Iterator[Finding]:
        """The findings about one event of a job; events of other streams pass."""
        data = event.data
        if not isinstance(data, e.JobEvent):
            return
        if isinstance(data, e.JobCreated):
            if event.stream in self._jobs:
                yield 3, "the job was created twice"
            self._jobs[event.stream] = Account(data)
            return
        job = self._jobs.get(event.stream)
        if job is None:
            yield 3, f"{event.type} is an event of a job that was never created"
            return
        if isinstance(data, e.StaleWriteRejected):
            return
        if job.conclusion:
            yield 3, f"{event.type} after the job ended {job.conclusion}"
        if isinstance(data, CARRIES_EPOCH) and job.live != (data.attempt, data.epoch):
            yield 2, f"{event.type} carries attempt {data.attempt}, epoch {data.epoch}; the live lease is {job.live or 'none'}"
        yield from self._apply(job, event)

    def _apply(self, job: Account, event: Recorded) -> Iterator[Finding]:
        data = event.data
        match data:
            case e.JobQueued():
                if job.ever_queued:
                    yield 3, "the job was queued twice; only JobRetried returns it to the queue"
                job.queued = job.ever_queued = True
            case e.JobAcquired():
                yield from self._acquired(job, data)
            case e.StepStarted() | e.StepCompleted():
                yield from self._step(job, data)
            case e.AttemptLost() | e.AttemptFailed() | e.AttemptTimedOut():
                counts = not (isinstance(data, e.AttemptLost) and data.reason == "not_started")
                job.counted += counts
                job.ended, job.ended_version, job.ended_as = data.attempt, event.version, ATTEMPT_ENDS[type(data)]
                job.retry_at, job.live = data.retry_at, None
            case e.JobRetried():
                yield from self._retried(job, data, event)
            case e.JobSucceeded() | e.JobFailed() | e.JobTimedOut() | e.JobSkipped() | e.JobCancelled():
                yield from self._end(job, event)
            case _:
                pass

    def _acquired(self, job: Account, data: e.JobAcquired) -> Iterator[Finding]:
        if job.live is not None:
            yield 2, f"attempt {data.attempt} was acquired while attempt {job.live[0]} holds a live lease"
        if data.epoch <= job.epoch:
            yield 2, f"epoch {data.epoch} does not follow epoch {job.epoch}"
        if data.attempt != job.attempt + 1:
            yield 3, f"attempt {data.attempt} does not follow attempt {job.attempt}"
        if not job.queued:
            yield 5, "the job was acquired although it was not in the queue"
        if job.counted >= job.spec.retry.attempts_max:
            yield 4, f"attempt {data.attempt} begins although {job.counted} of at most {job.spec.retry.attempts_max} were used"
        job.live, job.epoch, job.attempt, job.queued = (data.attempt, data.epoch), data.epoch, data.attempt, False
        job.steps = {}

    def _step(self, job: Account, data: e.StepStarted | e.StepCompleted) -> Iterator[Finding]:
        before = job.steps.get(data.index, "pending")
        planned = job.spec.steps
        if isinstance(data, e.StepStarted):
            running = [each for each in planned[: data.index] if job.steps.get(each.index) == "running" and not each.background]
            if running:
                yield 3, f"step {data.index} began beside step {running[0].index}, which is no background step"
            if before != "pending":
                yield 3, f"step {data.index} began although it is {before}"
            job.steps[data.index] = "running"
            return
        if before not in ("pending", "running"):
            yield 3, f"step {data.index} ended twice in one attempt"
        if before == "pending" and data.outcome not in ("skipped", "cancelled"):
            yield 3, f"step {data.index} ended {data.outcome} without having begun"
        waits_for = planned[data.index].targets if data.index < len(planned) else ()
        missing = [target for target in waits_for if job.steps.get(target, "pending") in ("pending", "running")]
        if missing and data.outcome not in ("skipped", "cancelled"):
            yield 3, f"step {data.index} ended before step {missing[0]}, which it waits for"
        job.steps[data.index] = data.conclusion

    def _retried(self, job: Account, data: e.JobRetried, event: Recorded) -> Iterator[Finding]:
        if job.live is not None or data.follows != job.ended or data.attempt != job.ended + 1:
            yield 4, f"the retry names attempt {data.follows} as ended; the last that ended is {job.ended}"
        if job.retry_at is None:
            yield 4, "the job was retried although its last attempt was the last one"
        elif event.meta.at < job.retry_at:
            yield 4, f"the retry at {event.meta.at} is earlier than its backoff until {job.retry_at}"
        if job.ended_as and job.ended_as not in job.spec.retry.on:
            yield 4, f"an attempt that was {job.ended_as} was retried; the policy retries {', '.join(job.spec.retry.on)}"
        job.queued, job.retry_at = True, None

    def _end(self, job: Account, event: Recorded) -> Iterator[Finding]:
        data = event.data
        if isinstance(data, e.JobCancelled) and job.live is not None and job.live != (data.attempt, data.epoch):
            yield 2, f"JobCancelled ends epoch {data.epoch}; the live lease is {job.live}"
        if isinstance(data, e.JobFailed | e.JobTimedOut):
            yield from self._bad_end(job, data, event.version)
        if isinstance(data, e.JobSucceeded):
            bad = [index for index, conclusion in job.steps.items() if conclusion in ("failure", "running")]
            ended = [each for each in job.spec.steps if each.control == "cancel" and each.index in job.steps]
            meant = {target for each in ended for target in each.targets} | {each.index for each in job.spec.steps if each.control}
            bad += [index for index, conclusion in job.steps.items() if conclusion == "cancelled" and index not in meant]
            if bad:
                yield 3, f"the job succeeded although the steps {bad} did not"
        if isinstance(data, e.JobSkipped) and job.ever_queued:
            yield 5, "the job was skipped after it had been queued"
        job.conclusion, job.live, job.queued = CONCLUSIONS[type(data)], None, False
        job.outputs = getattr(data, "outputs", {})

    def _bad_end(self, job: Account, data: e.JobFailed | e.JobTimedOut, version: int) -> Iterator[Finding]:
        if job.live is not None:
            yield 3, f"the job ended while attempt {job.live[0]} had not"
        if job.attempt and not job.queued and (job.ended_version != version - 1 or job.retry_at is not None):
            yield 3, f"{type(data).__name__} does not stand directly behind the end of the last attempt"
