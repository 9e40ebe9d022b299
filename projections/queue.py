"""The queue view: what waits for a runner, since when and under which labels.

Display, refill and restart source of the scheduler; who gets a job is decided by the job's stream, never here. A row
stays while the job lives, since a retry brings it back with the same labels; `queued` tells whether it waits now.
"""

from datetime import datetime
from uuid import UUID

import msgspec

from domain.envelope import Recorded
from domain.job import events as job
from projections.table import Key, Rule, Table, View, by_stream


class QueueRow(msgspec.Struct, gc=False):
    """A job that waits or may wait again. since: when it was last queued; position: of that event; avoid: a runner."""

    job_id: UUID
    run_id: UUID | None
    queued: bool
    tenant: str
    lane: str
    labels: tuple[str, ...]
    fair_key: str
    since: datetime
    expires_at: datetime
    avoid: UUID | None
    position: int


def _queued(_row: QueueRow | None, event: Recorded, key: Key) -> QueueRow:
    data: job.JobQueued = event.data
    return QueueRow(
        job_id=key,
        run_id=event.meta.correlation,
        queued=True,
        tenant=data.tenant,
        lane=data.lane,
        labels=data.labels,
        fair_key=data.fair_key,
        since=event.meta.at,
        expires_at=data.expires_at,
        avoid=None,
        position=event.position,
    )


def _retried(row: QueueRow | None, event: Recorded, _key: Key) -> QueueRow | None:
    if row is not None:
        data: job.JobRetried = event.data
        row.queued, row.since, row.position = True, event.meta.at, event.position
        row.avoid, row.expires_at = data.avoid, data.expires_at
    return row


def _acquired(row: QueueRow | None, _event: Recorded, _key: Key) -> QueueRow | None:
    if row is not None:
        row.queued = False
    return row


def _ended(_row: QueueRow | None, _event: Recorded, _key: Key) -> None:
    return None


ENDS = (job.JobSucceeded, job.JobFailed, job.JobTimedOut, job.JobSkipped, job.JobCancelled)

WAITING = Table(
    "queue",
    QueueRow,
    ("job_id",),
    {
        job.JobQueued: Rule(_queued, by_stream, opens=True),
        job.JobRetried: Rule(_retried, by_stream),
        job.JobAcquired: Rule(_acquired, by_stream),
        **{end: Rule(_ended, by_stream, opens=True) for end in ENDS},
    },
    scope="run_id",
    indexes=("(since, position) WHERE queued", "(run_id)"),
)

QUEUE = View("queue", (WAITING,))
