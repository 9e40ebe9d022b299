"""What can be asked of a run, a workflow, a repository and a runner."""

from typing import Any, Literal
from uuid import UUID

import msgspec

from domain.run.events import FollowersFixed
from domain.workflow.model import Workflow


class TriggerRun(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """Start a run of one workflow. It is addressed to the workflow, which numbers its runs.

    run: ids.run_id(tenant, trigger key); the key is an Idempotency-Key with its scope, or delivery id + workflow path,
    or schedule entry + time. workflow_ast: the parsed file (it passed validation and its trigger matched). followers: what
    listens to its runs. retry: the repository's policy.
    """

    run: UUID
    repository: UUID
    repository_name: str
    workflow: UUID
    workflow_path: str
    event: str
    ref: str
    sha: str
    source: str
    source_url: str
    plan: str
    payload: str
    payload_bytes: int
    request: str
    workflow_ast: Workflow
    payload_json: dict[str, Any] = {}
    retry: str = ""
    head_ref: str = ""
    base_ref: str = ""
    inputs: dict[str, Any] = {}
    title: str = ""
    trigger: str = ""
    jobs: tuple[str, ...] = ()
    matrix: dict[str, tuple[str, ...]] = {}
    followers: FollowersFixed | None = None


class StartRun(msgspec.Struct, frozen=True, gc=False):
    """The consequence of TriggerRun in the run's own stream: the workflow gave it a number."""

    run: UUID
    number: int
    trigger: TriggerRun


class ConcludeJob(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """A job of the run is done. The run decides which nodes are next, or that it is complete.

    workflow_ast and payload_json: the blobs that the run names, loaded by the command side; conditions are evaluated
    over them.
    """

    run: UUID
    run_attempt: int
    job: UUID
    node: str
    conclusion: str
    continue_on_error: bool = False
    outputs: dict[str, str] = {}
    workflow_ast: Workflow | None = None
    payload_json: dict[str, Any] = {}


class AdmitRun(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """The workflow's concurrency group lets the run in. workflow_ast and payload_json: see ConcludeJob."""

    run: UUID
    run_attempt: int
    workflow_ast: Workflow | None = None
    payload_json: dict[str, Any] = {}


class AdmitJob(msgspec.Struct, frozen=True, gc=False):
    """A job's concurrency group lets it in."""

    run: UUID
    run_attempt: int
    job: UUID


class AdmitCall(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """A concurrency group lets a call in. call: its prefix; holder: who it is in the group. The rest: see ConcludeJob."""

    run: UUID
    run_attempt: int
    call: str
    holder: UUID
    workflow_ast: Workflow | None = None
    payload_json: dict[str, Any] = {}


class CancelCall(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """A concurrency group asks for the end of a call; or what it is part of ends while it waits. The rest: see ConcludeJob."""

    run: UUID
    run_attempt: int
    call: str
    reason: str
    workflow_ast: Workflow | None = None
    payload_json: dict[str, Any] = {}


class NoteBackoff(msgspec.Struct, frozen=True, gc=False):
    """The consequence of an attempt's end: the job waits until its next attempt may begin. node: the job's key."""

    run: UUID
    run_attempt: int
    node: str
    job: UUID


class NoteWaiting(msgspec.Struct, frozen=True, gc=False):
    """The consequence of a claim: a job or call of the run has to wait for a concurrency group."""

    run: UUID


class CancelRun(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """Someone asks for the end of the run."""

    run: UUID
    reason: str
    force: bool = False


class RerunRun(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """Someone asks for another run attempt of a run that is over.

    scope: "all"; "failed": the jobs that failed or were cancelled, and all that depends on them; "job": the job that
    `key` and `instance` name, in whichever run attempt it ran last, and all that depends on it.
    """

    run: UUID
    scope: Literal["all", "failed", "job"]
    key: str = ""
    instance: str = ""


class PlanRerun(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """The consequence of RerunRun: the new run attempt is planned and its first nodes open. See ConcludeJob."""

    run: UUID
    workflow_ast: Workflow | None = None
    payload_json: dict[str, Any] = {}


class ExpireRun(msgspec.Struct, frozen=True, gc=False):
    """The run's deadline may have passed: the run looks at its own clock facts and decides."""

    run: UUID


class RegisterRunner(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """Make a runner known. key: its public key, hexadecimal, "" for one that has none of its own; group: of runners."""

    runner: UUID
    name: str
    labels: tuple[str, ...]
    slots: int
    os: str
    arch: str
    version: str
    ephemeral: bool = False
    pid: int | None = None
    group: str = ""
    key: str = ""


class NoteRunner(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """The runner's presence or duty changed. change: what to record; a repeat gives no event.

    versions: only where its stream is at one of these; None: wherever it is.
    """

    runner: UUID
    change: Literal["online", "offline", "pause", "resume", "drain", "retire"]
    reason: str = ""
    versions: tuple[int, ...] | None = None


class ClaimSlots(msgspec.Struct, frozen=True, gc=False):
    """The runner says how many jobs it can take and how many it holds; refused where it has not so many slots."""

    runner: UUID
    free: int
    held: int


class RecordRefusal(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """Keep a refusal in the audit stream of the day. count: how many of the same kind are summed in it."""

    audit: UUID
    command: str
    target: str
    code: str
    message: str
    count: int = 1
