"""The audit view: who did what, to what, when, by which command; refusals and stale writes too.

One row for each event that a command from outside caused, and one for each run's beginning, which follows from its number
in the same commit. Events that follow from other events are found through their cause; heartbeats are no deeds. The row
repeats the log and adds nothing, so it can be proved against it.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from domain import audit
from domain.envelope import Recorded
from domain.events import NAMES
from domain.job import events as job
from domain.run.events import RunTriggered
from projections.table import Key, Rule, Table, View


class AuditRow(msgspec.Struct, gc=False):
    """One deed. type: of the event; outcome: "done", "refused" or "stale". target: a stream's id, or a name where it was refused.

    action: the refused command or the stale write, "" otherwise. code, message: of the refusal. count: repeats summed up.
    """

    position: int
    stream: UUID
    version: int
    run_id: UUID | None
    at: datetime
    tenant: str
    actor: str
    token: str | None
    command: UUID | None
    cause: UUID | None
    type: str
    outcome: str
    target: str
    action: str
    code: str
    message: str
    count: int


def _row(event: Recorded) -> AuditRow:
    meta = event.meta
    return AuditRow(
        position=event.position,
        stream=event.stream,
        version=event.version,
        run_id=meta.correlation,
        at=meta.at,
        tenant=meta.tenant,
        actor=meta.actor,
        token=meta.token,
        command=meta.command,
        cause=meta.cause,
        type=event.type,
        outcome="done",
        target=str(event.stream),
        action="",
        code="",
        message="",
        count=1,
    )


def _done(_row_before: AuditRow | None, event: Recorded, _key: Key) -> AuditRow:
    return _row(event)


def _refused(_row_before: AuditRow | None, event: Recorded, _key: Key) -> AuditRow:
    data: audit.CommandRefused = event.data
    row = _row(event)
    row.outcome, row.target, row.action = "refused", data.target, data.command
    row.code, row.message, row.count = data.code, data.message, data.count
    return row


def _stale(_row_before: AuditRow | None, event: Recorded, _key: Key) -> AuditRow:
    data: job.StaleWriteRejected = event.data
    row = _row(event)
    row.outcome, row.action, row.code = "stale", data.write, data.reason
    return row


def _by_position(event: Recorded) -> Sequence[Key]:
    return (event.position,)


def _from_outside(event: Recorded) -> Sequence[Key]:
    return () if event.meta.command is None else (event.position,)


_SILENT = (job.HeartbeatRecorded, job.LeaseExtended)

AUDIT_TABLE = Table(
    "audit",
    AuditRow,
    ("position",),
    {
        **{kind: Rule(_done, _from_outside, opens=True) for kind in NAMES if kind not in _SILENT},
        RunTriggered: Rule(_done, _by_position, opens=True),
        audit.CommandRefused: Rule(_refused, _by_position, opens=True),
        job.StaleWriteRejected: Rule(_stale, _by_position, opens=True),
    },
    scope="run_id",
    indexes=("(tenant, position DESC)", "(run_id)"),
)

AUDIT = View("audit", (AUDIT_TABLE,))
