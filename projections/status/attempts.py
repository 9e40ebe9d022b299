"""The tables `attempts` and `steps`: what each acquisition of a job came to. An attempt that ended leaves its open steps as they were."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from domain.envelope import Recorded
from domain.job import events as job
from projections.table import Key, Rule, Table


class AttemptRow(msgspec.Struct, gc=False):
    """One acquisition of a job. started_at: when the runner reported the start."""

    job_id: UUID
    attempt: int
    run_id: UUID | None
    epoch: int
    runner: UUID
    runner_name: str
    lease: UUID
    status: str
    conclusion: str | None
    reason: str
    message: str
    failed_step: int | None
    acquired_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    retry_at: datetime | None


class StepRow(msgspec.Struct, gc=False):
    """A step of an attempt that began. outputs: name to sha256 of the value. Steps that did not begin have no row."""

    job_id: UUID
    attempt: int
    index: int
    run_id: UUID | None
    status: str
    outcome: str | None
    conclusion: str | None
    exit_code: int | None
    effect: str
    message: str
    outputs: dict[str, str]
    started_at: datetime
    completed_at: datetime | None


def _by_attempt(event: Recorded) -> Sequence[Key]:
    return ((event.stream, event.data.attempt),)


def _by_step(event: Recorded) -> Sequence[Key]:
    return ((event.stream, event.data.attempt, event.data.index),)


def _attempt_acquired(_row: AttemptRow | None, event: Recorded, key: Key) -> AttemptRow:
    data: job.JobAcquired = event.data
    return AttemptRow(
        job_id=key[0],
        attempt=data.attempt,
        run_id=event.meta.correlation,
        epoch=data.epoch,
        runner=data.runner,
        runner_name=data.runner_name,
        lease=data.lease,
        status="in_progress",
        conclusion=None,
        reason="",
        message="",
        failed_step=None,
        acquired_at=event.meta.at,
        started_at=None,
        completed_at=None,
        retry_at=None,
    )


def _attempt_started(row: AttemptRow | None, event: Recorded, _key: Key) -> AttemptRow | None:
    if row is not None:
        row.started_at = event.meta.at
    return row


_ATTEMPT_CONCLUSIONS: dict[type, str] = {
    job.JobSucceeded: "success",
    job.JobCancelled: "cancelled",
    job.AttemptLost: "lost",
    job.AttemptFailed: "failure",
    job.AttemptTimedOut: "timed_out",
}


def _attempt_ended(row: AttemptRow | None, event: Recorded, _key: Key) -> AttemptRow | None:
    if row is not None and row.status != "completed":
        data = event.data
        row.status, row.conclusion, row.completed_at = "completed", _ATTEMPT_CONCLUSIONS[type(data)], event.meta.at
        row.reason = getattr(data, "reason", "")
        row.message = getattr(data, "message", "")
        row.failed_step = getattr(data, "failed_step", None)
        row.retry_at = getattr(data, "retry_at", None)
    return row


ATTEMPTS = Table(
    "attempts",
    AttemptRow,
    ("job_id", "attempt"),
    {
        job.JobAcquired: Rule(_attempt_acquired, _by_attempt, opens=True),
        job.JobStarted: Rule(_attempt_started, _by_attempt),
        **{ended: Rule(_attempt_ended, _by_attempt) for ended in _ATTEMPT_CONCLUSIONS},
    },
    scope="run_id",
    indexes=("(run_id)",),
)


def _step_started(_row: StepRow | None, event: Recorded, key: Key) -> StepRow:
    data: job.StepStarted = event.data
    return StepRow(
        key[0], data.attempt, data.index, event.meta.correlation, "in_progress", None, None, None, "", "", {}, data.started_at, None
    )


def _step_completed(_row: StepRow | None, event: Recorded, key: Key) -> StepRow:
    data: job.StepCompleted = event.data
    return StepRow(
        key[0],
        data.attempt,
        data.index,
        event.meta.correlation,
        "completed",
        data.outcome,
        data.conclusion,
        data.exit_code,
        data.effect,
        data.message,
        data.outputs,
        data.started_at,
        data.ended_at,
    )


STEPS = Table(
    "steps",
    StepRow,
    ("job_id", "attempt", "index"),
    {job.StepStarted: Rule(_step_started, _by_step, opens=True), job.StepCompleted: Rule(_step_completed, _by_step, opens=True)},
    scope="run_id",
    indexes=("(run_id)",),
)
