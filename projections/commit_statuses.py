"""The commit statuses view: what forges shall be told of commits, and whether they were."""

from datetime import datetime
from uuid import UUID

import msgspec

from domain import commit_status
from domain.envelope import Recorded
from projections.table import Key, Rule, Table, View, by_stream


class CommitStatusRow(msgspec.Struct, gc=False):
    """The newest status of a commit and context; the fields are those of its events.

    progress: "wanted", "deferred", "told" or "failed"; run_id: whose status it is.
    """

    id: UUID
    tenant: str
    repository_id: UUID
    repository_name: str
    sha: str
    context: str
    state: str
    description: str
    run_id: UUID
    run_attempt: int
    progress: str
    reason: str
    attempts: int
    retry_at: datetime | None
    wanted_at: datetime
    settled_at: datetime | None
    position: int


def _wanted(_row: CommitStatusRow | None, event: Recorded, key: Key) -> CommitStatusRow:
    data: commit_status.CommitStatusWanted = event.data
    return CommitStatusRow(
        id=key,
        tenant=event.meta.tenant,
        repository_id=data.repository,
        repository_name=data.repository_name,
        sha=data.sha,
        context=data.context,
        state=data.state,
        description=data.description,
        run_id=data.run,
        run_attempt=data.run_attempt,
        progress="wanted",
        reason="",
        attempts=0,
        retry_at=None,
        wanted_at=event.meta.at,
        settled_at=None,
        position=event.position,
    )


def _changed(row: CommitStatusRow | None, event: Recorded, _key: Key) -> CommitStatusRow | None:
    if row is None:
        return None
    row.attempts, row.reason, row.retry_at, row.settled_at = event.data.attempts, "", None, event.meta.at
    match event.data:
        case commit_status.CommitStatusTold():
            row.progress = "told"
        case commit_status.CommitStatusDeferred() as data:
            row.progress, row.reason, row.retry_at, row.settled_at = "deferred", data.reason, data.retry_at, None
        case commit_status.CommitStatusFailed() as data:
            row.progress, row.reason = "failed", data.reason
        case _:
            raise AssertionError(f"{event.type} is not a change of a commit status")
    return row


_CHANGES = (commit_status.CommitStatusTold, commit_status.CommitStatusDeferred, commit_status.CommitStatusFailed)

COMMIT_STATUS_TABLE = Table(
    "commit_statuses",
    CommitStatusRow,
    ("id",),
    {
        commit_status.CommitStatusWanted: Rule(_wanted, by_stream, opens=True),
        **{change: Rule(_changed, by_stream) for change in _CHANGES},
    },
    indexes=("(tenant, position DESC)", "(tenant, repository_id, position DESC)"),
)

COMMIT_STATUSES = View("commit_statuses", (COMMIT_STATUS_TABLE,))
