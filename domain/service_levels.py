"""What a log says about how well it went: how often things happened and how long they took.

A fold over all events in order, from any position on: what began before that is counted when it ends, not timed. Times
are differences of times that stand in events. Nothing here may be named by what users choose: see domain.pools.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from domain.delivery import WebhookAnswered, WebhookFailed, WebhookIgnored, WebhookReceived
from domain.envelope import Recorded
from domain.histogram import Histogram, Labels
from domain.job import events as job
from domain.pools import Pool, pool_of
from domain.run import events as run

OPEN_MAX = 50_000
"""So many jobs, runs and deliveries each are timed at once; those that begin beyond are only counted. About 15 MB."""

RECENT_JOBS = 1_000
"""The mean duration of a pool's jobs is that of about so many."""

WAIT_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 14400)
WORK_SECONDS = (1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 21600)

CONCLUSIONS: dict[type, str] = {
    job.JobSucceeded: "success",
    job.JobFailed: "failure",
    job.JobTimedOut: "timed_out",
    job.JobCancelled: "cancelled",
    job.JobSkipped: "skipped",
}
ATTEMPT_RESULTS: dict[type, str] = {
    job.JobSucceeded: "success",
    job.AttemptFailed: "failure",
    job.AttemptTimedOut: "timed_out",
    job.JobCancelled: "cancelled",
    job.AttemptLost: "lost",
}
LOSSES = ("lease_expired", "not_started", "runner_restarted", "runner_stopped")
STEP_FAILURES = ("exit", "signal", "error")
"""exit: a code that the step chose; signal: it was killed; error: there was no exit code."""

RUN_RESULTS = {
    "success": "success",
    "failure": "failure",
    "timed_out": "timeout",
    "cancelled": "cancellation",
    "skipped": "skip",
    "startup_failure": "error",
}
"""A run's conclusion, in GitHub's word and in OpenTelemetry's."""

SIGNALLED = 128
"""A shell's exit code for a command that a signal ended is this and the signal's number."""


class _OpenJob(msgspec.Struct, gc=False):
    """A job that is not over. started_at: of the attempt that a runner works on."""

    pool: Pool
    queued_at: datetime | None
    started_at: datetime | None = None


class _OpenRun(msgspec.Struct, gc=False):
    """A run attempt that is not over. stepped: whether a step of it has begun, or is no longer waited for."""

    asked_at: datetime
    stepped: bool = False


class ServiceLevels:
    """The figures of the events that it has heard. Counters by the tuple of their labels' values, times in seconds."""

    def __init__(self) -> None:
        self.events: Counter[type] = Counter()
        self.queued: Counter[Labels] = Counter()
        self.lost: Counter[Labels] = Counter()
        self.jobs: Counter[Labels] = Counter()
        self.step_failures: Counter[Labels] = Counter()
        self.untimed = 0
        self.queue_wait: dict[Labels, Histogram] = defaultdict(lambda: Histogram(WAIT_SECONDS))
        self.first_step = Histogram(WAIT_SECONDS)
        self.job_run: dict[Labels, Histogram] = defaultdict(lambda: Histogram(WORK_SECONDS))
        self.runs: dict[Labels, Histogram] = defaultdict(lambda: Histogram(WORK_SECONDS))
        self.job_seconds: dict[Pool, tuple[int, float]] = {}
        """By pool: how many of its last jobs (at most RECENT_JOBS), and their mean duration."""
        self._jobs: dict[UUID, _OpenJob] = {}
        self._runs: dict[UUID, _OpenRun] = {}
        self._deliveries: dict[UUID, datetime] = {}
        self._pushed: dict[UUID, datetime] = {}
        self._rules: dict[type, Callable[[Recorded, Any], None]] = {
            job.JobQueued: self._queued,
            job.JobRetried: self._retried,
            job.JobAcquired: self._acquired,
            job.JobStarted: self._started,
            job.StepStarted: self._step_started,
            job.StepCompleted: self._step_completed,
            run.RunTriggered: self._triggered,
            run.RunRerunRequested: self._rerun,
            run.RunCompleted: self._run_completed,
            WebhookReceived: self._received,
            WebhookAnswered: self._answered,
            WebhookIgnored: self._unanswered,
            WebhookFailed: self._unanswered,
            **dict.fromkeys(CONCLUSIONS, self._job_ended),
            **dict.fromkeys(ATTEMPT_RESULTS.keys() - CONCLUSIONS.keys(), self._attempt_ended),
        }

    def hear(self, events: Iterable[Recorded]) -> None:
        """What happened next."""
        counts, rules = self.events, self._rules
        for event in events:
            kind = type(event.data)
            counts[kind] += 1
            rule = rules.get(kind)
            if rule is not None:
                rule(event, event.data)

    def _queued(self, event: Recorded, data: job.JobQueued) -> None:
        pool = pool_of(data.labels)
        self.queued[pool,] += 1
        if self._room(self._jobs):
            self._jobs[event.stream] = _OpenJob(pool, event.meta.at)

    def _retried(self, event: Recorded, _data: Any) -> None:
        known = self._jobs.get(event.stream)
        if known is not None:
            known.queued_at = event.meta.at
            self.queued[known.pool,] += 1

    def _acquired(self, event: Recorded, _data: Any) -> None:
        known = self._jobs.get(event.stream)
        if known is not None and known.queued_at is not None:
            self.queue_wait[known.pool,].observe((event.meta.at - known.queued_at).total_seconds())
            known.queued_at = None

    def _started(self, event: Recorded, _data: Any) -> None:
        known = self._jobs.get(event.stream)
        if known is not None:
            known.started_at = event.meta.at

    def _attempt_ended(self, event: Recorded, data: Any) -> None:
        result = ATTEMPT_RESULTS[type(data)]
        if isinstance(data, job.AttemptLost):
            self.lost[data.reason,] += 1
        known = self._jobs.get(event.stream)
        if known is None or known.started_at is None:
            return
        seconds = (event.meta.at - known.started_at).total_seconds()
        known.started_at = None
        self.job_run[known.pool, result].observe(seconds)
        if result != "lost":
            count, mean = self.job_seconds.get(known.pool, (0, 0.0))
            count = min(count + 1, RECENT_JOBS)
            self.job_seconds[known.pool] = count, mean + (seconds - mean) / count

    def _job_ended(self, event: Recorded, data: Any) -> None:
        if type(data) in ATTEMPT_RESULTS:
            self._attempt_ended(event, data)
        self.jobs[CONCLUSIONS[type(data)], "yes" if getattr(data, "attempt", 0) > 1 else "no"] += 1
        self._jobs.pop(event.stream, None)

    def _step_started(self, event: Recorded, data: job.StepStarted) -> None:
        known = self._runs.get(event.meta.correlation) if event.meta.correlation is not None else None
        if known is not None and not known.stepped:
            known.stepped = True
            self.first_step.observe((data.started_at - known.asked_at).total_seconds())

    def _step_completed(self, _event: Recorded, data: job.StepCompleted) -> None:
        if data.outcome == "failure":
            code = data.exit_code
            self.step_failures["error" if code is None else "signal" if code < 0 or code > SIGNALLED else "exit",] += 1

    def _received(self, event: Recorded, _data: Any) -> None:
        if self._room(self._deliveries):
            self._deliveries[event.stream] = event.meta.at

    def _answered(self, event: Recorded, data: WebhookAnswered) -> None:
        """The push is what the forge delivered, not what came of it. The runs begin in the same commit, before this or after."""
        received_at = self._deliveries.pop(event.stream, None)
        self._pushed = {} if received_at is None else {started.run: received_at for started in data.runs}
        for started in self._pushed.keys() & self._runs.keys():
            self._runs[started].asked_at = self._pushed[started]

    def _unanswered(self, event: Recorded, _data: Any) -> None:
        self._deliveries.pop(event.stream, None)

    def _triggered(self, event: Recorded, _data: Any) -> None:
        if event.stream not in self._runs and self._room(self._runs):
            self._runs[event.stream] = _OpenRun(self._pushed.get(event.stream, event.meta.at))

    def _rerun(self, event: Recorded, _data: Any) -> None:
        if self._room(self._runs):
            self._runs[event.stream] = _OpenRun(event.meta.at, stepped=True)

    def _run_completed(self, event: Recorded, data: run.RunCompleted) -> None:
        known = self._runs.pop(event.stream, None)
        if known is not None:
            self.runs[RUN_RESULTS.get(data.conclusion, "error"),].observe((event.meta.at - known.asked_at).total_seconds())

    def _room(self, known: dict[UUID, Any]) -> bool:
        """Whether one more can be timed."""
        if len(known) < OPEN_MAX:
            return True
        self.untimed += 1
        return False
