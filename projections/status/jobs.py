"""The table `jobs`: one row a job, and one for each node of a plan that is not expanded yet.

A pending node stands under the id that its job has when it gets no matrix; it gives way to the real rows.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from domain import ids
from domain.envelope import Recorded
from domain.job import events as job
from domain.run import events as run
from projections.table import Key, Rule, Table, by_stream


class JobRow(msgspec.Struct, gc=False):
    """A job, or a pending node of the plan. attempt: the last acquired one (0: none). reason: why it ended or waits so.

    run_attempts: those in which it counts, its own first; a re-run may carry it over to later ones.
    """

    id: UUID
    run_id: UUID
    run_attempt: int
    key: str
    instance: str
    name: str
    pending: bool
    matrix: dict[str, Any]
    needs: tuple[str, ...]
    condition: str
    labels: tuple[str, ...]
    steps: tuple[job.PlannedStep, ...]
    status: str
    conclusion: str | None
    reason: str
    attempt: int
    runner: UUID | None
    runner_name: str | None
    created_at: datetime
    queued_at: datetime | None
    started_at: datetime | None
    completed_at: datetime | None
    retry_at: datetime | None
    cancel_requested_at: datetime | None
    position: int
    run_attempts: tuple[int, ...]


def _nodes(event: Recorded) -> Sequence[Key]:
    """The pending rows of a plan: nodes that a re-run carries over have jobs already."""
    data: run.RunPlanned = event.data
    return [ids.job_id(event.stream, data.run_attempt, node.key, "") for node in data.nodes if node.key not in data.carried]


def _called(event: Recorded) -> Sequence[Key]:
    """The pending row of the calling node, which gives way to those of the called workflow's nodes."""
    data: run.NodeCalled = event.data
    return [ids.job_id(event.stream, data.run_attempt, key, "") for key in (data.node, *(node.key for node in _called_nodes(data)))]


def _called_nodes(data: run.NodeCalled) -> list[run.PlannedNode]:
    return [node for call in data.calls for node in call.nodes]


def _node(event: Recorded) -> Sequence[Key]:
    """The pending row of one node."""
    return (ids.job_id(event.stream, event.data.run_attempt, event.data.node, ""),)


def _job_row(event: Recorded, key: Key, run_id: UUID, run_attempt: int) -> JobRow:
    return JobRow(
        id=key,
        run_id=run_id,
        run_attempt=run_attempt,
        key="",
        instance="",
        name="",
        pending=False,
        matrix={},
        needs=(),
        condition="",
        labels=(),
        steps=(),
        status="waiting",
        conclusion=None,
        reason="",
        attempt=0,
        runner=None,
        runner_name=None,
        created_at=event.meta.at,
        queued_at=None,
        started_at=None,
        completed_at=None,
        retry_at=None,
        cancel_requested_at=None,
        position=event.position,
        run_attempts=(run_attempt,),
    )


def _node_planned(_row: JobRow | None, event: Recorded, key: Key) -> JobRow | None:
    """A pending row. A plan comes before its jobs, so there is no row yet."""
    data: run.RunPlanned | run.NodeCalled = event.data
    row = None
    for node in data.nodes if isinstance(data, run.RunPlanned) else _called_nodes(data):
        if row is None and ids.job_id(event.stream, data.run_attempt, node.key, "") == key:
            row = _job_row(event, key, event.stream, data.run_attempt)
            row.key, row.name, row.needs, row.condition, row.pending = node.key, node.name, node.needs, node.condition, True
    return row


def _node_resolved(row: JobRow | None, _event: Recorded, _key: Key) -> JobRow | None:
    """The jobs of the node have rows of their own now."""
    return None if row is not None and row.pending else row


def _carried(event: Recorded) -> Sequence[Key]:
    """The jobs that a re-run takes over."""
    data: run.RunRerunRequested = event.data
    return data.carried


def _carried_over(row: JobRow | None, event: Recorded, _key: Key) -> JobRow | None:
    if row is not None:
        row.run_attempts, row.position = (*row.run_attempts, event.data.run_attempt), event.position
    return row


def _job_created(_row: JobRow | None, event: Recorded, key: Key) -> JobRow:
    data: job.JobCreated = event.data
    row = _job_row(event, key, data.run, data.run_attempt)
    row.key, row.instance, row.name, row.matrix = data.key, data.instance, data.name, data.matrix
    row.needs, row.labels, row.steps = data.needs, data.labels, data.steps
    return row


def _job_queued(row: JobRow | None, event: Recorded, _key: Key) -> JobRow | None:
    if row is not None:
        row.status, row.reason, row.queued_at, row.position = "queued", "", event.meta.at, event.position
        row.runner = row.runner_name = row.retry_at = row.started_at = None
    return row


def _job_acquired(row: JobRow | None, event: Recorded, _key: Key) -> JobRow | None:
    if row is not None:
        data: job.JobAcquired = event.data
        row.status, row.attempt, row.position = "in_progress", data.attempt, event.position
        row.runner, row.runner_name = data.runner, data.runner_name
    return row


def _job_started(row: JobRow | None, event: Recorded, _key: Key) -> JobRow | None:
    if row is not None:
        row.started_at, row.position = event.meta.at, event.position
    return row


def _job_cancellation(row: JobRow | None, event: Recorded, _key: Key) -> JobRow | None:
    if row is not None:
        row.cancel_requested_at, row.position = event.meta.at, event.position
    return row


def _job_attempt_ended(row: JobRow | None, event: Recorded, _key: Key) -> JobRow | None:
    """Where no retry follows, the same append holds the job's end."""
    if row is not None:
        row.status, row.reason, row.retry_at, row.position = "waiting", event.data.reason, event.data.retry_at, event.position
    return row


_CONCLUSIONS: dict[type, str] = {
    job.JobSucceeded: "success",
    job.JobFailed: "failure",
    job.JobTimedOut: "timed_out",
    job.JobSkipped: "skipped",
    job.JobCancelled: "cancelled",
}


def _job_ended(row: JobRow | None, event: Recorded, _key: Key) -> JobRow | None:
    if row is not None:
        row.status, row.conclusion = "completed", _CONCLUSIONS[type(event.data)]
        row.reason = getattr(event.data, "reason", "")
        row.completed_at, row.retry_at, row.position = event.meta.at, None, event.position
    return row


JOBS = Table(
    "jobs",
    JobRow,
    ("id",),
    {
        run.RunPlanned: Rule(_node_planned, _nodes, opens=True),
        run.NodeCalled: Rule(_node_planned, _called, opens=True),
        run.NodeExpanded: Rule(_node_resolved, _node),
        run.NodeSkipped: Rule(_node_resolved, _node),
        run.NodeFailed: Rule(_node_resolved, _node),
        run.RunRerunRequested: Rule(_carried_over, _carried),
        job.JobCreated: Rule(_job_created, by_stream, opens=True),
        job.JobQueued: Rule(_job_queued, by_stream),
        job.JobRetried: Rule(_job_queued, by_stream),
        job.JobAcquired: Rule(_job_acquired, by_stream),
        job.JobStarted: Rule(_job_started, by_stream),
        job.JobCancellationRequested: Rule(_job_cancellation, by_stream),
        job.AttemptLost: Rule(_job_attempt_ended, by_stream),
        job.AttemptFailed: Rule(_job_attempt_ended, by_stream),
        job.AttemptTimedOut: Rule(_job_attempt_ended, by_stream),
        **{ended: Rule(_job_ended, by_stream) for ended in _CONCLUSIONS},
    },
    scope="run_id",
    indexes=("(run_id, run_attempt)", "(runner) WHERE status = 'in_progress'"),
)
