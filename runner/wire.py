"""The runner protocol, version 1: what a runner and a gateway say to each other, as JSON over HTTP.

All paths are below `/runner/v1`, all requests are POST with `Authorization: Bearer TOKEN`, all instants are the store's
time. A runner aligns its clock by `now` of each answer. A write that names an old epoch or a foreign lease is answered
409 `lease_lost`: the runner stops that job. Batches carry a sequence number and may be sent again.
"""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec

from domain.job.events import Subject
from domain.workflow.model import Defaults, Job

Instant = Annotated[datetime, msgspec.Meta(tz=True)]
"""An instant without a time zone is none."""

Count = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
"""A number that every table has room for."""

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]


class Wire(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The base of all messages."""


class Register(Wire, frozen=True, kw_only=True):
    """`register`: `registration` is an id that the runner made for itself and keeps; a repeat gives the same runner."""

    registration: Name
    name: Name
    labels: tuple[Name, ...]
    slots: Count = 1
    os: str = "linux"
    arch: str = "x64"
    version: str = ""
    ephemeral: bool = False
    pid: Count | None = None


class Join(Wire, frozen=True, kw_only=True):
    """`join`, with a registration token: a runner with a key of its own becomes known. key: the public one, hexadecimal.

    labels, group: what it asks for; empty: whatever the registration grants.
    """

    key: str
    name: str
    labels: tuple[str, ...] = ()
    group: str = ""
    ephemeral: bool = False
    os: str = "linux"
    arch: str = "x64"
    version: str = ""


class Joined(Wire, frozen=True, kw_only=True):
    """The answer to `join`: what the runner is called by and what it was granted."""

    runner: UUID
    name: str
    labels: tuple[str, ...]
    group: str
    ephemeral: bool
    now: datetime


class Registered(Wire, frozen=True, kw_only=True):
    """The answer to `register`."""

    runner: UUID
    lease_seconds: float
    heartbeat_seconds: float
    poll_seconds: float
    offline_seconds: float
    now: datetime


class Source(Wire, frozen=True, kw_only=True):
    """Where the run's own commit is. url: the repository's own, or an absolute path on the server's machine.

    path: where the server itself serves it over git's HTTP, below its URL, to whoever shows `token`; "" where it does not.
    """

    url: str
    sha: str
    ref: str
    path: str = ""
    token: str = ""


class JobMessage(Wire, frozen=True, kw_only=True):
    """All that a runner needs to execute one attempt. Contexts are as GitHub names them; `needs` as in `needs.*`.

    key: the job's place in the plan, e.g. "build/test" for the job "test" of the workflow that "build" calls; "" where it
    is the definition's own key.
    """

    job: UUID
    run: UUID
    attempt: Count
    epoch: Count
    lease: UUID
    name: str
    key: str = ""
    definition: Job
    workflow_env: dict[str, Any] | str = {}
    workflow_defaults: Defaults = Defaults()
    github: dict[str, Any]
    matrix: dict[str, Any] = {}
    strategy: dict[str, Any] = {}
    needs: dict[str, Any] = {}
    inputs: dict[str, Any] = {}
    vars: dict[str, str] = {}
    secrets: dict[str, str] = {}
    source: Source
    timeout_seconds: float
    cancel_timeout_seconds: float


class Order(Wire, frozen=True, kw_only=True):
    """An order to a runner; repeated in every answer until its effect is reported."""

    kind: Literal["cancel", "force_cancel", "drain", "pause"]
    order: UUID
    job: UUID | None = None
    attempt: Count = 0
    epoch: Count = 0


class Lease(Wire, frozen=True, kw_only=True):
    """A job handed out. expires_in_seconds counts from when the server answered; be sure to count from before asking."""

    expires_in_seconds: float
    message: JobMessage


class Acquire(Wire, frozen=True, kw_only=True):
    """`acquire`: a long poll, open at all times. jobs: what the runner holds, so that the server sees what it lost."""

    runner: UUID
    free_slots: Count
    wait_seconds: Annotated[float, msgspec.Meta(ge=0, le=3600)] = 50
    jobs: tuple[UUID, ...] = ()


class Acquired(Wire, frozen=True, kw_only=True):
    """The answer to `acquire`; both lists may be empty when the wait ended."""

    leases: tuple[Lease, ...] = ()
    orders: tuple[Order, ...] = ()
    now: datetime


class Fence(Wire, frozen=True, kw_only=True):
    """What every write of an attempt carries."""

    runner: UUID
    attempt: Count
    epoch: Count
    lease: UUID


class Start(Fence, frozen=True, kw_only=True):
    """`jobs/{id}/start`: the workspace is there, the first step is next."""


class Renew(Fence, frozen=True, kw_only=True):
    """`jobs/{id}/renew`: a heartbeat."""


class Renewed(Wire, frozen=True, kw_only=True):
    """The answer to `renew`."""

    expires_in_seconds: float
    orders: tuple[Order, ...] = ()
    now: datetime


class StepStart(Wire, frozen=True, kw_only=True, tag="started", tag_field="kind"):
    """A step began."""

    index: Count
    started_at: Instant


class StepEnd(Wire, frozen=True, kw_only=True, tag="completed", tag_field="kind"):
    """A step ended; see domain.job.events.StepCompleted."""

    index: Count
    outcome: Literal["success", "failure", "cancelled", "skipped"]
    conclusion: Literal["success", "failure", "cancelled", "skipped"]
    exit_code: int | None = None
    effect: str = ""
    started_at: Instant
    ended_at: Instant
    outputs: dict[str, str] = {}
    message: str = ""
    subjects: tuple[Subject, ...] = ()


class Steps(Fence, frozen=True, kw_only=True):
    """`jobs/{id}/events`: step transitions in order. seq: number of the first transition in the attempt, from 1."""

    seq: Count
    transitions: tuple[StepStart | StepEnd, ...]


class JobSteps(Steps, frozen=True, kw_only=True):
    """One job's part of `jobs/events`."""

    job: UUID


class ManySteps(Wire, frozen=True, kw_only=True):
    """`jobs/events`: step transitions of several jobs, each what `jobs/{id}/events` would carry."""

    reports: tuple[JobSteps, ...]


class Accepted(Wire, frozen=True, kw_only=True):
    """The answer to a batch: everything up to this sequence number is committed."""

    through: int
    now: datetime


class JobAccepted(Wire, frozen=True, kw_only=True):
    """One job's part of the answer to `jobs/events`: `through`, or the problem that this report alone has."""

    through: int = 0
    problem: "Problem | None" = None


class ManyAccepted(Wire, frozen=True, kw_only=True):
    """The answer to `jobs/events`: one for each report, in their order, all committed."""

    answers: tuple[JobAccepted, ...]
    now: datetime


class Line(Wire, frozen=True, kw_only=True):
    """One masked log line. line: from 1 within the attempt through all steps; step: its index, -1 for set-up lines."""

    line: Count
    step: int
    at: Instant
    stream: Literal["stdout", "stderr", "system"]
    text: str


class Logs(Fence, frozen=True, kw_only=True):
    """`jobs/{id}/logs`: lines in order without a gap; lines that the gateway has already are dropped there."""

    lines: tuple[Line, ...]


class LogsAccepted(Wire, frozen=True, kw_only=True):
    """received_through: the next batch starts after it. stored_through: durable; the runner keeps all later lines."""

    received_through: int
    stored_through: int


class Complete(Fence, frozen=True, kw_only=True):
    """`jobs/{id}/complete`: the outcome. result: digest of this message's facts, so that a repeat is told apart.

    last_line: the number of log lines of the attempt; the gateway answers after they are stored.
    """

    conclusion: Literal["success", "failure", "cancelled", "timed_out"]
    reason: str = ""
    failed_step: Count | None = None
    message: str = ""
    outputs: dict[str, str] = {}
    last_line: Count = 0
    result: str


class Completed(Wire, frozen=True, kw_only=True):
    """The answer to `complete`."""

    conclusion: str


class Problem(Wire, frozen=True, kw_only=True):
    """An error answer (RFC 9457)."""

    code: str
    title: str
    status: int
    detail: str = ""
    hint: str = ""
