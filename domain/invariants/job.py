"""Invariants 2, 3 and 4: leases and epochs, the ends of attempts and jobs, retries."""

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import ClassVar
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
CARRIES_EPOCH = frozenset(
    {
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
    }
)


class Account(msgspec.Struct):
    """One job as the checker sees it. live: (attempt, epoch) of the lease; ended: the attempt that ended last.

    steps: by index what became of them, "running" while they do; running: how many do.
    """

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
    running: int = 0
    outputs: dict[str, str] = {}


class JobLedger:
    """All jobs of a log, by the number of their stream's id: an integer is found in a fifth of the time of an id."""

    def __init__(self) -> None:
        self._jobs: dict[int, Account] = {}

    def get(self, job: UUID) -> Account | None:
        """The account of a job that was created before."""
        return self._jobs.get(job.int)

    def see(self, event: Recorded) -> Iterable[Finding]:
        """The findings about one event of a job."""
        data = event.data
        kind: type = type(data)
        job = self._jobs.get(event.stream.int)
        if kind is e.JobCreated:
            self._jobs[event.stream.int] = Account(data)
            return () if job is None else ((3, "the job was created twice"),)
        if job is None:
            return ((3, f"{event.type} is an event of a job that was never created"),)
        if kind is e.StaleWriteRejected:
            return ()
        rule = self.RULES.get(kind)
        if job.conclusion or (kind in CARRIES_EPOCH and job.live != (data.attempt, data.epoch)):
            return (*_misplaced(job, event), *(rule(self, job, event) if rule is not None else ()))
        return rule(self, job, event) if rule is not None else ()

    def _queued(self, job: Account, _event: Recorded) -> Iterator[Finding]:
        if job.ever_queued:
            yield 3, "the job was queued twice; only JobRetried returns it to the queue"
        job.queued = job.ever_queued = True

    def _attempt_ended(self, job: Account, event: Recorded) -> Iterable[Finding]:
        data: e.AttemptLost | e.AttemptFailed | e.AttemptTimedOut = event.data
        job.counted += not (isinstance(data, e.AttemptLost) and data.reason == "not_started")
        job.ended, job.ended_version, job.ended_as = data.attempt, event.version, ATTEMPT_ENDS[type(data)]
        job.retry_at, job.live = data.retry_at, None
        return ()

    def _acquired(self, job: Account, event: Recorded) -> Iterator[Finding]:
        data: e.JobAcquired = event.data
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
        job.steps, job.running = {}, 0

    def _step_started(self, job: Account, event: Recorded) -> Iterable[Finding]:
        index: int = event.data.index
        before = job.steps.get(index)
        beside = job.running
        job.steps[index] = "running"
        job.running += before != "running"
        return _badly_begun(job, index, before or "pending") if before is not None or beside else ()

    def _step_completed(self, job: Account, event: Recorded) -> Iterable[Finding]:
        data: e.StepCompleted = event.data
        before = job.steps.get(data.index, "pending")
        job.steps[data.index] = data.conclusion
        job.running -= before == "running"
        if before == "running" and (data.index >= len(job.spec.steps) or not job.spec.steps[data.index].targets):
            return ()
        return _badly_ended(job, data, before)

    def _retried(self, job: Account, event: Recorded) -> Iterator[Finding]:
        data: e.JobRetried = event.data
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

    RULES: ClassVar[dict[type, Callable[["JobLedger", Account, Recorded], Iterable[Finding]]]] = {
        e.JobQueued: _queued,
        e.JobAcquired: _acquired,
        e.StepStarted: _step_started,
        e.StepCompleted: _step_completed,
        **dict.fromkeys(ATTEMPT_ENDS, _attempt_ended),
        e.JobRetried: _retried,
        **dict.fromkeys(CONCLUSIONS, _end),
    }
    """What each event changes and has to keep; the others have to keep their place alone."""


def _misplaced(job: Account, event: Recorded) -> Iterator[Finding]:
    """What stands behind the end of the job, or carries another lease than the live one."""
    data = event.data
    if job.conclusion:
        yield 3, f"{event.type} after the job ended {job.conclusion}"
    if type(data) in CARRIES_EPOCH and job.live != (data.attempt, data.epoch):
        yield 2, f"{event.type} carries attempt {data.attempt}, epoch {data.epoch}; the live lease is {job.live or 'none'}"


def _badly_begun(job: Account, index: int, before: str) -> Iterator[Finding]:
    """A step that was not pending, or began beside one in the foreground."""
    running = [each for each in job.spec.steps[:index] if job.steps.get(each.index) == "running" and not each.background]
    if running:
        yield 3, f"step {index} began beside step {running[0].index}, which is no background step"
    if before != "pending":
        yield 3, f"step {index} began although it is {before}"


def _badly_ended(job: Account, data: e.StepCompleted, before: str) -> Iterator[Finding]:
    """A step that ended twice, without having begun, or before those that it waits for."""
    planned = job.spec.steps
    if before not in ("pending", "running"):
        yield 3, f"step {data.index} ended twice in one attempt"
    if before == "pending" and data.outcome not in ("skipped", "cancelled"):
        yield 3, f"step {data.index} ended {data.outcome} without having begun"
    waits_for = planned[data.index].targets if data.index < len(planned) else ()
    missing = [target for target in waits_for if job.steps.get(target, "pending") in ("pending", "running")]
    if missing and data.outcome not in ("skipped", "cancelled"):
        yield 3, f"step {data.index} ended before step {missing[0]}, which it waits for"
