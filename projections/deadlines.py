"""The deadlines view: the clocks that run for each job and run that is not done, and which of them strikes first.

The reconciler reads it and sends a command at the earliest instant. Nothing is expired here: the job's own state decides
again, so a row that lags behind leads to a tick without effect.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from domain.envelope import Recorded
from domain.job import events as job
from domain.run import events as run
from projections.positions import Connections
from projections.queue import ENDS
from projections.table import Key, Rule, Table, View, by_stream


class DeadlineRow(msgspec.Struct, gc=False):
    """The deadlines that are set, and the earliest of them in due_at. steps: those of the open steps, the earliest in step_at."""

    job_id: UUID
    run_id: UUID | None
    lease_at: datetime | None = None
    accept_at: datetime | None = None
    step_at: datetime | None = None
    job_at: datetime | None = None
    queue_at: datetime | None = None
    retry_at: datetime | None = None
    cancel_at: datetime | None = None
    due_at: datetime | None = None
    steps: dict[int, datetime] = {}


def _earliest(row: DeadlineRow) -> DeadlineRow:
    due = row.step_at = min(row.steps.values()) if row.steps else None
    for at in (row.lease_at, row.accept_at, row.job_at, row.queue_at, row.retry_at, row.cancel_at):
        if at is not None and (due is None or at < due):
            due = at
    row.due_at = due
    return row


def _queued(_row: DeadlineRow | None, event: Recorded, key: Key) -> DeadlineRow:
    return _earliest(DeadlineRow(key, event.meta.correlation, queue_at=event.data.expires_at))


def _acquired(_row: DeadlineRow | None, event: Recorded, key: Key) -> DeadlineRow:
    data: job.JobAcquired = event.data
    return _earliest(DeadlineRow(key, event.meta.correlation, lease_at=data.expires_at, accept_at=data.accept_by))


def _started(row: DeadlineRow | None, event: Recorded, _key: Key) -> DeadlineRow | None:
    if row is None:
        return None
    row.accept_at, row.job_at = None, event.data.deadline
    return _earliest(row)


def _renewed(row: DeadlineRow | None, event: Recorded, _key: Key) -> DeadlineRow | None:
    if row is None:
        return None
    row.lease_at = event.data.expires_at
    return _earliest(row)


def _limited(event: Recorded) -> Sequence[Key]:
    """The row, where the step has a limit of its own: most have none, and cost nothing here."""
    return (event.stream,) if event.data.deadline is not None else ()


def _step_started(row: DeadlineRow | None, event: Recorded, _key: Key) -> DeadlineRow | None:
    if row is None:
        return None
    row.steps = {**row.steps, event.data.index: event.data.deadline}
    return _earliest(row)


def _step_completed(row: DeadlineRow | None, event: Recorded, _key: Key) -> DeadlineRow | None:
    if row is None:
        return None
    row.steps = {index: at for index, at in row.steps.items() if index != event.data.index}
    return _earliest(row)


def _cancelling(row: DeadlineRow | None, event: Recorded, _key: Key) -> DeadlineRow | None:
    if row is None:
        return None
    row.cancel_at = event.data.deadline
    return _earliest(row)


def _attempt_ended(_row: DeadlineRow | None, event: Recorded, key: Key) -> DeadlineRow:
    """Only the backoff runs; where none does, the job's end follows in the same append."""
    return _earliest(DeadlineRow(key, event.meta.correlation, retry_at=event.data.retry_at))


def _ended(_row: DeadlineRow | None, _event: Recorded, _key: Key) -> None:
    return None


DEADLINE_TABLE = Table(
    "deadlines",
    DeadlineRow,
    ("job_id",),
    {
        job.JobQueued: Rule(_queued, by_stream, opens=True),
        job.JobRetried: Rule(_queued, by_stream, opens=True),
        job.JobAcquired: Rule(_acquired, by_stream, opens=True),
        job.JobStarted: Rule(_started, by_stream),
        job.StepStarted: Rule(_step_started, _limited),
        job.StepCompleted: Rule(_step_completed, _limited),
        job.HeartbeatRecorded: Rule(_renewed, by_stream),
        job.LeaseExtended: Rule(_renewed, by_stream),
        job.JobCancellationRequested: Rule(_cancelling, by_stream),
        job.AttemptLost: Rule(_attempt_ended, by_stream, opens=True),
        job.AttemptFailed: Rule(_attempt_ended, by_stream, opens=True),
        job.AttemptTimedOut: Rule(_attempt_ended, by_stream, opens=True),
        **{end: Rule(_ended, by_stream, opens=True) for end in ENDS},
    },
    scope="run_id",
    indexes=("(due_at)", "(run_id)"),
)


class RunDeadlineRow(msgspec.Struct, gc=False):
    """When a run attempt that is under way is cancelled: neither over nor waiting as a whole."""

    run_id: UUID
    due_at: datetime


def _under_way(_row: RunDeadlineRow | None, event: Recorded, key: Key) -> RunDeadlineRow | None:
    data: run.RunPlanned | run.RunAdmitted | run.RunClockResumed = event.data
    return RunDeadlineRow(key, data.expires_at) if data.expires_at is not None else None


RUN_DEADLINE_TABLE = Table(
    "run_deadlines",
    RunDeadlineRow,
    ("run_id",),
    {
        run.RunPlanned: Rule(_under_way, by_stream, opens=True),
        run.RunHeld: Rule(_ended, by_stream, opens=True),
        run.RunAdmitted: Rule(_under_way, by_stream, opens=True),
        run.RunClockStopped: Rule(_ended, by_stream, opens=True),
        run.RunClockResumed: Rule(_under_way, by_stream, opens=True),
        run.RunCancellationRequested: Rule(_ended, by_stream, opens=True),
        run.RunCompleted: Rule(_ended, by_stream, opens=True),
    },
    scope="run_id",
    indexes=("(due_at)",),
)

DEADLINES = View("deadlines", (DEADLINE_TABLE, RUN_DEADLINE_TABLE))

_DUE = """
(SELECT d.job_id, k.kind FROM (SELECT * FROM views.deadlines WHERE due_at <= %(now)s ORDER BY due_at LIMIT %(limit)s) d
CROSS JOIN LATERAL (VALUES ('lease', d.lease_at), ('accept', d.accept_at), ('step', d.step_at), ('job', d.job_at),
    ('queue', d.queue_at), ('retry', d.retry_at), ('cancel', d.cancel_at)) AS k(kind, at)
WHERE k.at <= %(now)s ORDER BY k.at LIMIT %(limit)s)
UNION ALL (SELECT run_id, 'run' FROM views.run_deadlines WHERE due_at <= %(now)s ORDER BY due_at LIMIT %(limit)s)
LIMIT %(limit)s
"""
_NEXT = "SELECT least((SELECT min(due_at) FROM views.deadlines), (SELECT min(due_at) FROM views.run_deadlines))"


class PostgresDeadlines:
    """The port `Deadlines` on the view."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def due(self, now: datetime, limit: int = 100) -> list[tuple[UUID, str]]:
        """See the port."""
        async with self._connections() as connection:
            cursor = await connection.execute(_DUE, {"now": now, "limit": limit}, prepare=True)
            return [(row[0], row[1]) for row in await cursor.fetchall()]

    async def next_at(self) -> datetime | None:
        """See the port."""
        async with self._connections() as connection:
            found = await (await connection.execute(_NEXT, prepare=True)).fetchone()
        return found[0] if found else None
