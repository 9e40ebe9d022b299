"""How far a job has come, as far as its log is concerned: which attempts there are, and to which nothing can come any more."""

from collections.abc import Sequence
from uuid import UUID

from domain.envelope import Recorded
from domain.job import events as e
from gateway.problems import problem
from gateway.tenant_log import TenantLog

TERMINAL = (e.JobSucceeded, e.JobFailed, e.JobTimedOut, e.JobCancelled, e.JobSkipped)
ATTEMPT_ENDS = (e.AttemptLost, e.AttemptFailed, e.AttemptTimedOut)
TOLD_BY = (e.JobCreated, e.JobAcquired, *ATTEMPT_ENDS, *TERMINAL)
"""The few events of a job that say so; those of its heartbeats, steps and log may be tens of thousands."""


class Attempts:
    """How far a job has come, as far as its log is concerned. last: the newest attempt; over: the last one that ended."""

    def __init__(self) -> None:
        self.exists = False
        self.last = 0
        self.over = 0
        self.done = False

    def apply(self, events: Sequence[Recorded]) -> None:
        """Take in events of the job, in order; doubled ones do no harm."""
        for event in events:
            self.exists = True
            match event.data:
                case e.JobAcquired(attempt=attempt):
                    self.last = max(self.last, attempt)
                case data if isinstance(data, ATTEMPT_ENDS):
                    self.over = max(self.over, data.attempt)
                case data if isinstance(data, TERMINAL):
                    self.done = True
                case _:
                    pass

    def is_over(self, attempt: int) -> bool:
        """Whether nothing more can come to this attempt's log."""
        return self.done or attempt <= self.over or attempt < self.last


async def attempts_of(log: TenantLog, job: UUID) -> Attempts:
    """The attempts of a job; 404 where there is no such job."""
    attempts = Attempts()
    await catch_up(attempts, log, job)
    if not attempts.exists:
        raise problem(404, "job_not_found", f"there is no job {job}", hint="GET /api/v1/runs/{id}/jobs lists a run's jobs")
    return attempts


async def catch_up(attempts: Attempts, log: TenantLog, job: UUID) -> None:
    """Take in what the job's stream says now."""
    attempts.apply(await log.load_only(job, TOLD_BY))
