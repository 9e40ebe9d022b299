"""What can happen to a job. Frozen for ever once released: a changed shape is a new schema version with an upcaster."""

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from domain.retry import RetryPolicy


class JobEvent(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """The base of all events of a job's stream."""


class PlannedStep(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """A step as planned: its index (from 0), its id (given or generated) and its name as written.

    background: it runs beside the steps after it. control: "wait", "wait-all" or "cancel" for a step that only does this
    to background steps, which targets names by index. timeout_seconds: its `timeout-minutes`, 0 where it has none or where
    only the runner can evaluate it.
    """

    index: int
    id: str
    name: str
    background: bool = False
    control: str = ""
    targets: tuple[int, ...] = ()
    timeout_seconds: float = 0


class Trace(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One evaluated sub-expression of an `if:` and its value as JSON text, so that `why` can show it."""

    text: str
    value: str


class JobCreated(JobEvent, frozen=True):
    """A node of the plan became this job instance.

    instance: canonical JSON of the matrix values, "" without a matrix. labels: evaluated `runs-on`. plan: digest of the
    workflow blob that holds the definition.
    """

    run: UUID
    run_attempt: int
    run_number: int
    workflow_path: str
    repository: UUID
    key: str
    instance: str
    name: str
    labels: tuple[str, ...]
    steps: tuple[PlannedStep, ...]
    needs: tuple[str, ...]
    plan: str
    timeout_seconds: float
    cancel_timeout_seconds: float
    retry: RetryPolicy
    matrix: dict[str, Any] = {}
    continue_on_error: bool = False


class JobQueued(JobEvent, frozen=True):
    """All needs are met; runners with the labels may take it. expires_at: the queue deadline."""

    lane: str
    tenant: str
    labels: tuple[str, ...]
    fair_key: str
    expires_at: datetime


class JobAcquired(JobEvent, frozen=True):
    """A runner holds the lease. Every later write of this attempt must carry attempt, epoch and lease.

    accept_by: the runner has to report the start by then, or the attempt is lost (`not_started`).
    """

    attempt: int
    epoch: int
    runner: UUID
    runner_name: str
    lease: UUID
    expires_at: datetime
    accept_by: datetime


class JobStarted(JobEvent, frozen=True):
    """The runner set up its workspace and begins. deadline: the job's `timeout-minutes`, enforced by the server."""

    attempt: int
    epoch: int
    deadline: datetime


class HeartbeatRecorded(JobEvent, frozen=True):
    """The lease was renewed until expires_at."""

    attempt: int
    epoch: int
    expires_at: datetime


class LeaseExtended(JobEvent, frozen=True):
    """The server itself extended the lease, because it could not have heard a heartbeat. reason: "outage"."""

    attempt: int
    epoch: int
    expires_at: datetime
    reason: str


class StepStarted(JobEvent, frozen=True):
    """A step began. started_at: the runner's clock, aligned with the store's.

    deadline: the step's `timeout-minutes`, enforced by the server; None: it has none.
    """

    attempt: int
    epoch: int
    index: int
    started_at: datetime
    deadline: datetime | None = None


class Subject(msgspec.Struct, frozen=True, gc=False):
    """A file that a step attests as its outcome. name: its path in the workspace, or an image's name; sha256: of its bytes."""

    name: str
    sha256: str


class StepCompleted(JobEvent, frozen=True):
    """A step ended. outcome: before continue-on-error; conclusion: after it.

    outcome and conclusion: "success", "failure", "cancelled" or "skipped". outputs: name to sha256 of the value.
    effect: the effect key, the same in every attempt whose inputs are the same. deadline: the one that it met, see StepStarted.
    subjects: the files that it attests, as its runner read them.
    """

    attempt: int
    epoch: int
    index: int
    outcome: str
    conclusion: str
    exit_code: int | None
    effect: str
    started_at: datetime
    ended_at: datetime
    outputs: dict[str, str] = {}
    message: str = ""
    deadline: datetime | None = None
    subjects: tuple[Subject, ...] = ()


class LogSegmentStored(JobEvent, frozen=True):
    """Lines first_line .. first_line + lines - 1 of an attempt's log are stored as one compressed blob.

    bytes: of the records before compression. sha256: the blob's digest, which is its name. text_bytes: of the lines as text,
    None where an older version did not say.
    """

    attempt: int
    epoch: int
    segment: int
    first_line: int
    lines: int
    bytes: int
    sha256: str
    text_bytes: int | None = None


class JobCancellationRequested(JobEvent, frozen=True):
    """Someone asked for the end of a job that a runner holds. force: without the ladder. order: the runner's order id."""

    order: UUID
    reason: str
    force: bool
    deadline: datetime


class StaleWriteRejected(JobEvent, frozen=True):
    """A write with an old epoch, a foreign lease or after the end arrived, changed nothing, and is kept as evidence."""

    attempt: int
    epoch: int
    runner: UUID | None
    write: str
    reason: str


class AttemptLost(JobEvent, frozen=True):
    """The runner vanished. reason: "lease_expired", "not_started", "runner_restarted" or "runner_stopped".

    retry_index: the number of the attempt that ended, from which the backoff is computed. result: see ReportAttempt.
    """

    attempt: int
    epoch: int
    runner: UUID
    reason: str
    retry_index: int
    started_at: datetime | None = None
    retry_at: datetime | None = None
    result: str = ""


class AttemptFailed(JobEvent, frozen=True):
    """The job itself failed. reason: "step_failed", "setup_failed" or "output_too_large"; failed_step: its index."""

    attempt: int
    epoch: int
    runner: UUID
    reason: str
    retry_index: int
    failed_step: int | None = None
    message: str = ""
    started_at: datetime | None = None
    retry_at: datetime | None = None
    result: str = ""


class AttemptTimedOut(JobEvent, frozen=True):
    """A deadline of the attempt passed. reason: "job_timeout" or "step_timeout"."""

    attempt: int
    epoch: int
    runner: UUID
    reason: str
    retry_index: int
    started_at: datetime | None = None
    retry_at: datetime | None = None
    result: str = ""


class JobRetried(JobEvent, frozen=True):
    """The job is back in the queue. attempt: the next one; follows: the one that ended; avoid: prefer another runner.

    expires_at: the new queue deadline.
    """

    attempt: int
    follows: int
    expires_at: datetime
    avoid: UUID | None = None


class JobSucceeded(JobEvent, frozen=True):
    """The attempt ended well and the job with it. outputs: the job's outputs, which later conditions read."""

    attempt: int
    epoch: int
    outputs: dict[str, str] = {}
    result: str = ""


class JobFailed(JobEvent, frozen=True):
    """The job ended badly: in the same append as the Attempt event that has no retry_at."""

    attempt: int
    reason: str
    outputs: dict[str, str] = {}
    result: str = ""


class JobTimedOut(JobEvent, frozen=True):
    """A deadline ended the job. attempt 0: it never left the queue (reason "queue_timeout")."""

    attempt: int
    reason: str


class JobSkipped(JobEvent, frozen=True):
    """The job was never queued. reason: "condition" (with its trace) or "needs" (names the job that did not succeed)."""

    reason: str
    condition: str = ""
    trace: tuple[Trace, ...] = ()


class JobCancelled(JobEvent, frozen=True):
    """The job ended by cancellation. attempt 0: before a runner held it."""

    attempt: int
    epoch: int
    reason: str
    outputs: dict[str, str] = {}
    result: str = ""
