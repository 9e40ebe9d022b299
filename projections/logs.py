"""The log index: which blob holds which lines of an attempt's log. The lines themselves are in the blob store."""

from datetime import datetime
from uuid import UUID

import msgspec

from domain.envelope import Recorded
from domain.job import events as job
from projections.table import Key, Rule, Table, View


class LogRow(msgspec.Struct, gc=False):
    """Lines first_line .. first_line + lines - 1. bytes: of the text before compression; sha256: the blob's name."""

    job_id: UUID
    attempt: int
    segment: int
    run_id: UUID | None
    first_line: int
    lines: int
    bytes: int
    sha256: str
    stored_at: datetime


def _stored(_row: LogRow | None, event: Recorded, key: Key) -> LogRow:
    data: job.LogSegmentStored = event.data
    return LogRow(
        key[0], data.attempt, data.segment, event.meta.correlation, data.first_line, data.lines, data.bytes, data.sha256, event.meta.at
    )


LOG_SEGMENTS = Table(
    "log_segments",
    LogRow,
    ("job_id", "attempt", "segment"),
    {job.LogSegmentStored: Rule(_stored, lambda event: ((event.stream, event.data.attempt, event.data.segment),), opens=True)},
    scope="run_id",
    indexes=("(run_id)",),
)

LOGS = View("logs", (LOG_SEGMENTS,))
