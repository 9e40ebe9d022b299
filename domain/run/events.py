"""What can happen to a run, its repository, its workflow and the runners. Frozen for ever once released."""

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from domain.job.events import Trace


class RunEvent(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """The base of all events of a run's stream."""


class RunTriggered(RunEvent, frozen=True):
    """The inputs of a run, fixed. request: digest of the whole request, so that a repeat is told from a conflict.

    payload: digest of the blob with the event's payload (`github.event`), payload_bytes its size. source: digest of the
    workflow file's text; source_url: where a runner fetches the commit. name: the workflow's name. title: what people
    see (commit subject or pull request title is user text, so it is the workflow's `run-name` or name only). retry: the
    repository's retry policy as text, "": the default.
    """

    repository: UUID
    repository_name: str
    workflow: UUID
    workflow_path: str
    name: str
    number: int
    event: str
    ref: str
    sha: str
    source: str
    source_url: str
    payload: str
    payload_bytes: int
    request: str
    head_ref: str = ""
    base_ref: str = ""
    inputs: dict[str, Any] = {}
    title: str = ""
    trigger: str = ""
    retry: str = ""


class Follower(msgspec.Struct, frozen=True, gc=False):
    """A workflow file that listens to other runs. source: digest of its text; plan: of the blob that holds it parsed."""

    path: str
    source: str
    plan: str


class FollowersFixed(RunEvent, frozen=True):
    """The files that listen to `workflow_run`. level: how many runs this one follows itself.

    ref and sha: the default branch and its commit, which the files are from and run at; "": those of the run itself.
    """

    level: int
    followers: tuple[Follower, ...]
    ref: str = ""
    sha: str = ""


class PlannedNode(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """A job of the file before expansion. condition: its `if:` as written, "" where it has none."""

    key: str
    name: str
    needs: tuple[str, ...] = ()
    condition: str = ""
    matrix: bool = False


class RunPlanned(RunEvent, frozen=True):
    """The DAG of one run attempt. plan: digest of the blob that holds the parsed workflow.

    matrix: only combinations with these values run (`run --matrix K:V`); empty: all. carried: the keys of nodes that a
    re-run takes over: those that are done, and callers whose calls are not made again. expires_at: when the run attempt is
    cancelled if it is not over.
    """

    run_attempt: int
    plan: str
    nodes: tuple[PlannedNode, ...]
    matrix: dict[str, tuple[str, ...]] = {}
    carried: tuple[str, ...] = ()
    expires_at: datetime | None = None


class NodeInstance(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One job that a node became."""

    job: UUID
    instance: str
    name: str


class NodeExpanded(RunEvent, frozen=True):
    """A node became ready and was expanded to its job instances. trace: the values of its condition."""

    run_attempt: int
    node: str
    instances: tuple[NodeInstance, ...]
    trace: tuple[Trace, ...] = ()
    fail_fast: bool = False


class CallGroup(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """A concurrency group that a call has to hold. of: "job" (the calling one's `concurrency`) or "workflow" (the called one's)."""

    of: str
    group: UUID
    name: str
    cancel_in_progress: bool = False
    queue: str = "single"


class PlannedCall(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One call of a workflow, and the nodes that join the plan for it. prefix: what their keys begin with.

    groups: the concurrency groups that the call has to hold, in the order in which it claims them.
    """

    prefix: str
    name: str
    nodes: tuple[PlannedNode, ...]
    matrix: dict[str, Any] = {}
    inputs: dict[str, Any] = {}
    groups: tuple[CallGroup, ...] = ()


class NodeCalled(RunEvent, frozen=True):
    """A node that calls a workflow became ready. max_parallel: how many calls may be under way at once, 0: all."""

    run_attempt: int
    node: str
    uses: str
    calls: tuple[PlannedCall, ...]
    trace: tuple[Trace, ...] = ()
    fail_fast: bool = False
    max_parallel: int = 0


class CallHeld(RunEvent, frozen=True):
    """None of a call's nodes is opened before this concurrency group lets the call in. holder: who the call is in the group."""

    run_attempt: int
    node: str
    call: str
    holder: UUID
    group: UUID
    name: str
    cancel_in_progress: bool = False
    queue: str = "single"


class CallAdmitted(RunEvent, frozen=True):
    """A concurrency group let a call in."""

    run_attempt: int
    node: str
    call: str
    holder: UUID


class CallCancellationRequested(RunEvent, frozen=True):
    """A concurrency group, or the end of what a waiting call is part of, asks for the end of a call."""

    run_attempt: int
    node: str
    call: str
    reason: str


class CallConcluded(RunEvent, frozen=True):
    """All jobs of a call are done. message: why its outputs could not be told, which counts as a failure."""

    run_attempt: int
    node: str
    call: str
    result: str
    outputs: dict[str, str] = {}
    message: str = ""


class JobHeld(RunEvent, frozen=True):
    """A job of an expanded node may not enter the queue yet.

    reason: "max_parallel" (limit: how many of the node may be under way), "concurrency" (the job waits for its group) or
    "backoff" (an attempt of it ended and the next one may not begin yet).
    group, name and what follows: the job's concurrency group, where it has one, as `concurrency` says once evaluated.
    """

    run_attempt: int
    node: str
    job: UUID
    reason: str
    limit: int = 0
    group: UUID | None = None
    name: str = ""
    cancel_in_progress: bool = False
    queue: str = "single"


class JobAdmitted(RunEvent, frozen=True):
    """A job that was held back enters the queue."""

    run_attempt: int
    node: str
    job: UUID


class RunHeld(RunEvent, frozen=True):
    """No node of this run attempt is opened before the workflow's concurrency group lets the run in."""

    run_attempt: int
    group: UUID
    name: str
    cancel_in_progress: bool = False
    queue: str = "single"


class RunAdmitted(RunEvent, frozen=True):
    """The concurrency group let the run in. expires_at: see RunPlanned; the time of waiting does not count."""

    run_attempt: int
    expires_at: datetime | None = None


class RunClockStopped(RunEvent, frozen=True):
    """All that is left of the run attempt waits (for a concurrency group, for the backoff of a retry): its limit does not count on."""

    run_attempt: int


class RunClockResumed(RunEvent, frozen=True):
    """Something of the run attempt is under way again. expires_at: the limit, later by as long as the clock stood still."""

    run_attempt: int
    expires_at: datetime


class NodeSkipped(RunEvent, frozen=True):
    """A node's condition was false. job: the stream that records the skip."""

    run_attempt: int
    node: str
    job: UUID
    reason: str
    trace: tuple[Trace, ...] = ()


class NodeFailed(RunEvent, frozen=True):
    """A node could not be expanded (bad matrix, bad expression): it counts as failed. message: a diagnostic's text."""

    run_attempt: int
    node: str
    job: UUID
    message: str


class JobConcluded(RunEvent, frozen=True):
    """A job of this run attempt is done. conclusion: as GitHub names it; result: after the job's continue-on-error."""

    run_attempt: int
    node: str
    job: UUID
    conclusion: str
    result: str
    outputs: dict[str, str] = {}


class RunCancellationRequested(RunEvent, frozen=True):
    """Someone asked for the end of the run."""

    run_attempt: int
    reason: str
    force: bool = False


class RunCompleted(RunEvent, frozen=True):
    """All jobs of the run attempt are done; conclusion is the function of theirs."""

    run_attempt: int
    conclusion: str


class RunRerunRequested(RunEvent, frozen=True):
    """A new run attempt was asked for. scope: "all", "failed" or "job".

    jobs: the keys of the nodes that run again, whole or in part, in plan order. carried: the jobs of earlier run attempts
    whose results and outputs count in this one.
    """

    run_attempt: int
    scope: str
    jobs: tuple[str, ...] = ()
    carried: tuple[UUID, ...] = ()
