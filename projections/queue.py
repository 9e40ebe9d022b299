"""The queue view: what waits for a runner, since when and under which labels.

Display, refill and restart source of the scheduler; who gets a job is decided by the job's stream, never here. A row
stays while the job lives, since a retry brings it back with the same labels; `queued` tells whether it waits now.

The scheduler reads it line by line from a position on. So it passes over the rows that were taken before, which an old
snapshot may keep in the index for hours, and no tenant's jobs stand before another's.
"""

from datetime import datetime
from itertools import groupby
from typing import Any
from uuid import UUID

import msgspec
from psycopg.types.json import Jsonb

from domain.envelope import Recorded
from domain.job import events as job
from domain.scheduling import lanes
from domain.scheduling.fair_share import Shares
from domain.scheduling.line import Line, ReadyJob
from domain.scheduling.matching import order
from domain.scheduling.window import Short
from projections.rows import Connection
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
    indexes=("(tenant, fair_key, lane, labels, position) WHERE queued", "(run_id)"),
)

QUEUE = View("queue", (WAITING,))


# Hops from line to line in the index: as many steps as there are lines, however many jobs wait.
_FRONTS = """
WITH RECURSIVE line AS (
    (SELECT tenant, fair_key, lane, labels FROM views.queue WHERE queued ORDER BY tenant, fair_key, lane, labels LIMIT 1)
    UNION ALL
    SELECT next.* FROM line CROSS JOIN LATERAL (
        SELECT tenant, fair_key, lane, labels FROM views.queue
        WHERE queued AND (tenant, fair_key, lane, labels) > (line.tenant, line.fair_key, line.lane, line.labels)
        ORDER BY tenant, fair_key, lane, labels LIMIT 1) next)
SELECT line.tenant, line.fair_key, line.lane, line.labels, job.job_id, job.position, job.since, job.avoid
FROM line CROSS JOIN LATERAL (
    SELECT job_id, position, since, avoid FROM views.queue q
    WHERE queued AND (q.tenant, q.fair_key, q.lane, q.labels) = (line.tenant, line.fair_key, line.lane, line.labels)
    ORDER BY position LIMIT %s) job
"""

BEYOND = """
SELECT tenant, fair_key, lane, labels, job_id, position, since, avoid FROM views.queue
WHERE queued AND tenant = %s AND fair_key = %s AND lane = %s AND labels = %s AND position >= %s ORDER BY position LIMIT %s
"""

_RUNNING = "SELECT a.job_id, q.tenant, q.fair_key FROM views.attempts a JOIN views.queue q USING (job_id) WHERE a.status <> 'completed'"


async def fronts(connection: Connection, line_jobs: int) -> list[list[ReadyJob]]:
    """At most line_jobs of each line, oldest first."""
    jobs = [_ready(row) for row in await (await connection.execute(_FRONTS, (line_jobs,))).fetchall()]
    return [list(line) for _, line in groupby(jobs, key=lambda job: job.line)]


async def beyond(connection: Connection, short: Short) -> list[ReadyJob]:
    """The next jobs of a line."""
    line = short.line
    parameters = (line.tenant, line.fair_key, line.lane, Jsonb(line.labels), short.start, short.limit)
    return [_ready(row) for row in await (await connection.execute(BEYOND, parameters)).fetchall()]


LINE_JOBS = 20
"""How much of each line is looked at to tell whose turn it is."""

_BUSY = """
SELECT q.tenant, q.fair_key, count(*) FROM views.jobs j JOIN views.queue q ON q.job_id = j.id
WHERE j.status = 'in_progress' AND j.runner IS NOT NULL GROUP BY q.tenant, q.fair_key
"""


async def turns(connection: Connection, line_jobs: int, labels: tuple[str, ...] | None = None) -> dict[Line, int]:
    """Of each line, when its first job would be served: 1 is next. line_jobs: how much of each line is looked at.

    labels: look at lines with these labels only, as if no runner could take any other.

    For display: where two shares have as many jobs running, a gateway also knows which was served longest ago.
    """
    shares = Shares()
    for tenant, fair_key, count in await (await connection.execute(_BUSY, prepare=True)).fetchall():
        for _ in range(count):
            shares.begin(tenant, fair_key)
    found = [(front[0].line, front) for front in await fronts(connection, line_jobs) if labels in (None, front[0].line.labels)]
    served: dict[Line, int] = {}
    for number, each in enumerate(order(found, shares), 1):
        served.setdefault(each.line, number)
    return served


async def running(connection: Connection) -> list[tuple[UUID, str, str]]:
    """(job, tenant, fair-share key) of what runners hold."""
    return await (await connection.execute(_RUNNING)).fetchall()


def _ready(row: tuple[Any, ...]) -> ReadyJob:
    tenant, fair_key, lane, labels, job_id, position, since, avoid = row
    return ReadyJob(job_id, Line(tenant, fair_key, lane, tuple(labels)), position, lanes.place(lane, since), avoid)


_BEFORE = """
SELECT count(*) FROM (SELECT 1 FROM views.queue WHERE queued AND (tenant, fair_key, lane, labels) = (%s, %s, %s, %s) AND position < %s
    ORDER BY position LIMIT 1000) before
"""


async def ahead(connection: Connection, line: Line, position: int) -> int:
    """How many turns come before that of a line's job at this position: those before the line's first, and the line's own, up to 1,000."""
    parameters = (line.tenant, line.fair_key, line.lane, Jsonb(line.labels), position)
    found = await (await connection.execute(_BEFORE, parameters, prepare=True)).fetchone()
    first = (await turns(connection, LINE_JOBS, line.labels)).get(line, 1)
    return first - 1 + (int(found[0]) if found else 0)
