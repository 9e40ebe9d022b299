"""The table `runs`: one row a run, as its last run attempt stands."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from domain.envelope import Recorded
from domain.job.events import JobAcquired
from domain.run import events as run
from projections.table import Key, Rule, Table, by_stream


class RunRow(msgspec.Struct, gc=False):
    """A run. started_at: when its first job was acquired in this run attempt. position: of the last event that changed it."""

    id: UUID
    tenant: str
    number: int
    repository: UUID
    repository_name: str
    workflow: UUID
    workflow_path: str
    workflow_name: str
    title: str
    event: str
    ref: str
    sha: str
    head_ref: str
    base_ref: str
    actor: str
    source: str
    payload: str
    plan: str | None
    run_attempt: int
    status: str
    conclusion: str | None
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    cancel_requested_at: datetime | None
    position: int


def _by_run(event: Recorded) -> Sequence[Key]:
    """The run that a job's event belongs to."""
    return () if event.meta.correlation is None else (event.meta.correlation,)


def _run_triggered(_row: RunRow | None, event: Recorded, key: Key) -> RunRow:
    data: run.RunTriggered = event.data
    return RunRow(
        id=key,
        tenant=event.meta.tenant,
        number=data.number,
        repository=data.repository,
        repository_name=data.repository_name,
        workflow=data.workflow,
        workflow_path=data.workflow_path,
        workflow_name=data.name,
        title=data.title,
        event=data.event,
        ref=data.ref,
        sha=data.sha,
        head_ref=data.head_ref,
        base_ref=data.base_ref,
        actor=event.meta.actor,
        source=data.source,
        payload=data.payload,
        plan=None,
        run_attempt=1,
        status="queued",
        conclusion=None,
        created_at=event.meta.at,
        started_at=None,
        completed_at=None,
        cancel_requested_at=None,
        position=event.position,
    )


def _run_planned(row: RunRow | None, event: Recorded, _key: Key) -> RunRow | None:
    if row is not None:
        row.plan, row.run_attempt, row.position = event.data.plan, event.data.run_attempt, event.position
    return row


def _run_held(row: RunRow | None, event: Recorded, _key: Key) -> RunRow | None:
    """Held by its concurrency group: "pending", as on GitHub; then queued like any other."""
    if row is not None:
        row.status, row.position = "pending" if isinstance(event.data, run.RunHeld) else "queued", event.position
    return row


def _run_started(row: RunRow | None, event: Recorded, _key: Key) -> RunRow | None:
    if row is not None and row.status == "queued":
        row.status, row.started_at, row.position = "in_progress", event.meta.at, event.position
    return row


def _run_cancellation(row: RunRow | None, event: Recorded, _key: Key) -> RunRow | None:
    if row is not None:
        row.cancel_requested_at, row.position = event.meta.at, event.position
    return row


def _run_completed(row: RunRow | None, event: Recorded, _key: Key) -> RunRow | None:
    if row is not None:
        row.status, row.conclusion = "completed", event.data.conclusion
        row.completed_at, row.position = event.meta.at, event.position
    return row


def _run_again(row: RunRow | None, event: Recorded, _key: Key) -> RunRow | None:
    if row is not None:
        row.status, row.run_attempt, row.position = "queued", event.data.run_attempt, event.position
        row.conclusion = row.started_at = row.completed_at = row.cancel_requested_at = None
    return row


RUNS = Table(
    "runs",
    RunRow,
    ("id",),
    {
        run.RunTriggered: Rule(_run_triggered, by_stream, opens=True),
        run.RunPlanned: Rule(_run_planned, by_stream),
        run.RunCancellationRequested: Rule(_run_cancellation, by_stream),
        run.RunCompleted: Rule(_run_completed, by_stream),
        run.RunRerunRequested: Rule(_run_again, by_stream),
        run.RunHeld: Rule(_run_held, by_stream),
        run.RunAdmitted: Rule(_run_held, by_stream),
        JobAcquired: Rule(_run_started, _by_run),
    },
    scope="id",
    indexes=("(tenant, created_at DESC, id)", "(workflow, number)"),
)
