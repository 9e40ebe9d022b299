"""What can be asked of a job. Each command names its job; `now` comes beside it."""

from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec

from domain.job.events import JobCreated, Subject, Trace


class JobCommand(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """The base of all commands to a job."""

    job: UUID


class CreateJob(JobCommand, frozen=True):
    """A node of the plan became this job: create it, and queue it or record why it never will be.

    hold: it waits until the run queues it (QueueJob). skip: "" or why it is skipped ("condition", "needs", "cancelled").
    fail: "" or why it could not be planned.
    """

    spec: JobCreated
    lane: str = "default"
    tenant: str = "default"
    fair_key: str = ""
    queue_seconds: float = 86400
    skip: str = ""
    fail: str = ""
    condition: str = ""
    trace: tuple[Trace, ...] = ()
    hold: bool = False


class QueueJob(JobCommand, frozen=True):
    """The run lets in a job that it had held back."""

    lane: str = "default"
    tenant: str = "default"
    fair_key: str = ""
    queue_seconds: float = 86400


class AcquireJob(JobCommand, frozen=True):
    """A runner takes the job. labels: the runner's, checked here against the job's."""

    runner: UUID
    runner_name: str
    labels: tuple[str, ...]
    lease_seconds: float
    accept_seconds: float


class FencedCommand(JobCommand, frozen=True):
    """The base of what a runner sends: refused and recorded unless attempt, epoch, lease and runner are the live ones."""

    runner: UUID
    attempt: int
    epoch: int
    lease: UUID


class StartJob(FencedCommand, frozen=True):
    """The runner begins."""


class RecordHeartbeat(FencedCommand, frozen=True):
    """The runner renews its lease."""

    lease_seconds: float


class StepTransition(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One step began (outcome None) or ended."""

    index: int
    started_at: datetime
    outcome: str | None = None
    conclusion: str | None = None
    exit_code: int | None = None
    effect: str = ""
    ended_at: datetime | None = None
    outputs: dict[str, str] = {}
    message: str = ""
    subjects: tuple[Subject, ...] = ()


class ReportSteps(FencedCommand, frozen=True):
    """Step transitions in order. seq: the number of the first within the attempt, from 1; known ones are dropped."""

    seq: int
    transitions: tuple[StepTransition, ...]


class Segment(msgspec.Struct, frozen=True, gc=False):
    """A stored log segment; see LogSegmentStored."""

    segment: int
    first_line: int
    lines: int
    bytes: int
    sha256: str
    text_bytes: int | None = None


class StoreLogSegments(FencedCommand, frozen=True):
    """The gateway stored log lines of the live attempt as blobs."""

    segments: tuple[Segment, ...]


class ReportAttempt(FencedCommand, frozen=True):
    """The runner reports how the attempt ended. result: digest of the report; segments: the last of the log."""

    conclusion: Literal["success", "failure", "cancelled", "timed_out"]
    reason: str
    result: str
    outputs: dict[str, str] = {}
    failed_step: int | None = None
    message: str = ""
    segments: tuple[Segment, ...] = ()


class ExtendLease(JobCommand, frozen=True):
    """The server could hear no heartbeat for a while: the lease gets one more TTL. reason: "outage"."""

    epoch: int
    lease_seconds: float
    reason: str


class ReportLost(JobCommand, frozen=True):
    """The runner itself says, or the server knows, that the attempt is gone (restarted runner). epoch: of the attempt."""

    epoch: int
    reason: str


class Expire(JobCommand, frozen=True):
    """A deadline of this kind may have passed: the job looks at its own clock facts and decides."""

    kind: Literal["lease", "accept", "step", "job", "queue", "retry", "cancel"]


class CancelJob(JobCommand, frozen=True):
    """Someone asks for the end of the job."""

    reason: str
    force: bool = False


AnyJobCommand = (
    CreateJob
    | QueueJob
    | AcquireJob
    | StartJob
    | RecordHeartbeat
    | ReportSteps
    | StoreLogSegments
    | ReportAttempt
    | ExtendLease
    | ReportLost
    | Expire
    | CancelJob
)
"""Every command that `domain.job.decide` knows."""
