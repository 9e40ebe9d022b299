"""The schedules view: for each repository what its workflow files say about times, and when the next one comes.

Who fires reads only the rows that are due and decides on the stream, so a row that lags behind leads to a look without
effect.
"""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

import msgspec

from domain import schedule
from domain.envelope import Recorded
from projections.positions import Connections
from projections.table import Key, Rule, Table, View, by_stream


class ScheduleRow(msgspec.Struct, gc=False):
    """The schedule of a repository, as its last event says it. due_at: also the moment at which its files are to be read."""

    id: UUID
    tenant: str
    repository_id: UUID
    entries: tuple[schedule.Entry, ...]
    sha: str
    until: datetime
    due_at: datetime | None


def _requested(row: ScheduleRow | None, event: Recorded, key: Key) -> ScheduleRow:
    at = event.meta.at
    if row is None:
        return ScheduleRow(key, event.meta.tenant, event.data.repository, (), "", at, at)
    row.due_at = min(row.due_at or at, at)
    return row


def _advanced(row: ScheduleRow | None, event: Recorded, _key: Key) -> ScheduleRow | None:
    if row is None:
        return None
    data: schedule.ScheduleAdvanced = event.data
    row.entries, row.sha, row.until, row.due_at = data.entries, data.sha, data.until, data.due_at
    return row


SCHEDULE_TABLE = Table(
    "schedules",
    ScheduleRow,
    ("id",),
    {schedule.ScheduleReadRequested: Rule(_requested, by_stream), schedule.ScheduleAdvanced: Rule(_advanced, by_stream)},
    indexes=("(due_at)", "(tenant, repository_id)"),
)

SCHEDULES = View("schedules", (SCHEDULE_TABLE,))

_DUE = "SELECT id FROM views.schedules WHERE due_at <= %s AND id <> ALL (%s) ORDER BY due_at LIMIT %s"


class PostgresSchedules:
    """The port `DueSchedules` on the view."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def due(self, now: datetime, besides: Collection[UUID], limit: int) -> list[UUID]:
        """See the port."""
        async with self._connections() as connection:
            cursor = await connection.execute(_DUE, (now, list(besides), limit), prepare=True)
            return [row[0] for row in await cursor.fetchall()]
