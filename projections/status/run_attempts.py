"""The table `run_attempts`: each run attempt as it stands or ended. A re-run leaves the rows of the earlier ones as they are."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from domain.envelope import Recorded
from domain.run import events as run
from projections.table import Key, Rule, Table


class RunAttemptRow(msgspec.Struct, gc=False):
    """A run attempt. scope: "" for the first one, else "all", "failed" or "job"; triggering_actor: who asked for it.

    conclusion: None until it is over; how far the last one has come stands in the run's own row.
    """

    run_id: UUID
    run_attempt: int
    scope: str
    triggering_actor: str
    conclusion: str | None
    requested_at: datetime
    completed_at: datetime | None
    cancel_requested_at: datetime | None
    position: int


def _first(event: Recorded) -> Sequence[Key]:
    return ((event.stream, 1),)


def _its(event: Recorded) -> Sequence[Key]:
    return ((event.stream, event.data.run_attempt),)


def _requested(_row: RunAttemptRow | None, event: Recorded, key: Key) -> RunAttemptRow:
    scope = event.data.scope if isinstance(event.data, run.RunRerunRequested) else ""
    return RunAttemptRow(key[0], key[1], scope, event.meta.actor, None, event.meta.at, None, None, event.position)


def _cancellation(row: RunAttemptRow | None, event: Recorded, _key: Key) -> RunAttemptRow | None:
    if row is not None:
        row.cancel_requested_at, row.position = event.meta.at, event.position
    return row


def _completed(row: RunAttemptRow | None, event: Recorded, _key: Key) -> RunAttemptRow | None:
    if row is not None:
        row.conclusion, row.completed_at, row.position = event.data.conclusion, event.meta.at, event.position
    return row


RUN_ATTEMPTS = Table(
    "run_attempts",
    RunAttemptRow,
    ("run_id", "run_attempt"),
    {
        run.RunTriggered: Rule(_requested, _first, opens=True),
        run.RunRerunRequested: Rule(_requested, _its, opens=True),
        run.RunCancellationRequested: Rule(_cancellation, _its),
        run.RunCompleted: Rule(_completed, _its),
    },
    scope="run_id",
)
