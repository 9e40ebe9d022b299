"""The JSON that scripts read: runs, jobs, steps, runners, events. Fields may be added here; none is renamed or removed."""

from collections import defaultdict
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from domain.envelope import Recorded, Unreadable
from domain.job.events import PlannedStep
from projections.status import AttemptRow, JobRow, RunAttemptRow, RunRow, StepRow

_json = msgspec.json.Encoder()


class EventShape(msgspec.Struct, frozen=True):
    """An event of the log with its envelope."""

    id: UUID
    position: int
    stream: UUID
    version: int
    type: str
    schema: int
    at: datetime
    tenant: str
    actor: str
    token: str | None
    command_id: UUID | None
    causation_id: UUID | None
    correlation_id: UUID | None
    data: Any


class RunShape(msgspec.Struct, frozen=True):
    """A run. workflow: its name; url: where the API shows it; reason: what it waits for, while it is pending."""

    id: UUID
    number: int
    workflow: str
    workflow_id: UUID
    workflow_path: str
    title: str
    repository: str
    status: str
    conclusion: str | None
    event: str
    ref: str
    sha: str
    actor: str
    run_attempt: int
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    cancel_requested_at: datetime | None
    position: int
    url: str
    reason: str = ""


class RunAttemptShape(RunShape, frozen=True, kw_only=True):
    """A run as it stands, or stood at its end, in one run attempt. scope: "" for the first, else "all", "failed" or "job"."""

    scope: str
    triggering_actor: str
    requested_at: datetime


class StepShape(msgspec.Struct, frozen=True):
    """A step of the job's last attempt; "pending" until it begins. background: it runs beside the steps after it."""

    index: int
    id: str
    name: str
    status: str
    conclusion: str | None = None
    outcome: str | None = None
    exit_code: int | None = None
    message: str = ""
    started_at: datetime | None = None
    completed_at: datetime | None = None
    background: bool = False


class AttemptShape(AttemptRow, kw_only=True):
    """An acquisition of a job. steps: as in the job's own shape, but of this attempt."""

    steps: tuple[StepShape, ...]


class JobShape(msgspec.Struct, frozen=True):
    """A job, or a node of the plan that waits for its needs. runner: the name; attempt: the last one (0: none).

    run_attempt: the one in which it ran; run_attempts: all in which it counts, as re-runs carry jobs over.
    """

    id: UUID
    run_id: UUID
    run_attempt: int
    run_attempts: tuple[int, ...]
    name: str
    key: str
    status: str
    conclusion: str | None
    reason: str
    runner: str | None
    runner_id: UUID | None
    attempt: int
    matrix: dict[str, Any]
    needs: tuple[str, ...]
    condition: str
    labels: tuple[str, ...]
    created_at: datetime
    queued_at: datetime | None
    started_at: datetime | None
    completed_at: datetime | None
    retry_at: datetime | None
    cancel_requested_at: datetime | None
    position: int
    steps: tuple[StepShape, ...]


def event_shape(event: Recorded) -> EventShape:
    """An event as scripts read it; one that this version cannot read keeps its bytes as text."""
    meta = event.meta
    data = event.data
    if isinstance(data, Unreadable):
        data = {"unreadable": data.reason, "content": data.content.decode(errors="replace")}
    return EventShape(
        event.id,
        event.position,
        event.stream,
        event.version,
        event.type,
        event.schema,
        meta.at,
        meta.tenant,
        meta.actor,
        meta.token,
        meta.command,
        meta.cause,
        meta.correlation,
        data,
    )


def event_json(event: Recorded) -> bytes:
    """An event as one line of JSON."""
    return _json.encode(event_shape(event))


def run_shape(row: RunRow, base_url: str, reason: str = "") -> RunShape:
    """A run as scripts read it. base_url: of this server, without a slash at the end."""
    return RunShape(
        id=row.id,
        number=row.number,
        workflow=row.workflow_name,
        workflow_id=row.workflow,
        workflow_path=row.workflow_path,
        title=row.title,
        repository=row.repository_name,
        status=row.status,
        conclusion=row.conclusion,
        event=row.event,
        ref=row.ref,
        sha=row.sha,
        actor=row.actor,
        run_attempt=row.run_attempt,
        created_at=row.created_at,
        started_at=row.started_at,
        completed_at=row.completed_at,
        cancel_requested_at=row.cancel_requested_at,
        position=row.position,
        url=f"{base_url}/api/v1/runs/{row.id}",
        reason=reason,
    )


def run_attempt_shape(row: RunRow, attempt: RunAttemptRow, base_url: str) -> RunAttemptShape:
    """A run attempt. row: the run as it was in it; see run_shape."""
    shape = msgspec.structs.asdict(run_shape(row, base_url))
    shape["url"] += f"/attempts/{attempt.run_attempt}"
    return RunAttemptShape(**shape, scope=attempt.scope, triggering_actor=attempt.triggering_actor, requested_at=attempt.requested_at)


def job_shape(row: JobRow, attempts: list[AttemptRow], steps: list[StepRow], held: str = "") -> JobShape:
    """A job with the steps of its last attempt: those that began as they are, the others as planned.

    attempts, steps: the rows of this job. held: why it may not enter the queue. A step that its attempt did not end (a
    lost runner) counts as cancelled.
    """
    last = next((attempt for attempt in attempts if attempt.attempt == row.attempt), None)
    over = last is not None and last.status == "completed"
    begun = {step.index: step for step in steps if step.attempt == row.attempt}
    return JobShape(
        id=row.id,
        run_id=row.run_id,
        run_attempt=row.run_attempt,
        run_attempts=row.run_attempts,
        name=row.name,
        key=row.key,
        status=row.status,
        conclusion=row.conclusion,
        reason=held or row.reason,
        runner=row.runner_name,
        runner_id=row.runner,
        attempt=row.attempt,
        matrix=row.matrix,
        needs=row.needs,
        condition=row.condition,
        labels=row.labels,
        created_at=row.created_at,
        queued_at=row.queued_at,
        started_at=row.started_at,
        completed_at=row.completed_at,
        retry_at=row.retry_at,
        cancel_requested_at=row.cancel_requested_at,
        position=row.position,
        steps=tuple(_step(planned, begun.get(planned.index), over=over) for planned in row.steps),
    )


def grouped(attempts: list[AttemptRow], steps: list[StepRow]) -> defaultdict[UUID, tuple[list[AttemptRow], list[StepRow]]]:
    """The attempts and steps of each job."""
    found: defaultdict[UUID, tuple[list[AttemptRow], list[StepRow]]] = defaultdict(lambda: ([], []))
    for attempt in attempts:
        found[attempt.job_id][0].append(attempt)
    for step in steps:
        found[step.job_id][1].append(step)
    return found


def _step(planned: PlannedStep, row: StepRow | None, *, over: bool) -> StepShape:
    known: dict[str, Any] = {"index": planned.index, "id": planned.id, "name": planned.name, "background": planned.background}
    if row is None:
        return StepShape(**known, status="completed" if over else "pending", conclusion="skipped" if over else None)
    if row.status != "completed" and over:
        return StepShape(**known, status="completed", conclusion="cancelled", started_at=row.started_at)
    return StepShape(
        **known,
        status=row.status,
        conclusion=row.conclusion,
        outcome=row.outcome,
        exit_code=row.exit_code,
        message=row.message,
        started_at=row.started_at,
        completed_at=row.completed_at,
    )
