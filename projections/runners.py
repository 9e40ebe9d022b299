"""The runners view: who may take jobs, and whether they are there. What a runner works on stands in the status view."""

from datetime import datetime
from uuid import UUID

import msgspec

from domain import runner_pool
from domain.envelope import Recorded
from projections.table import Key, Rule, Table, View, by_stream


class RunnerRow(msgspec.Struct, gc=False):
    """A runner. reason: of the last change that gave one. changed_at: of the last event."""

    id: UUID
    tenant: str
    name: str
    labels: tuple[str, ...]
    slots: int
    os: str
    arch: str
    version: str
    ephemeral: bool
    pid: int | None
    online: bool
    paused: bool
    draining: bool
    retired: bool
    reason: str
    registered_at: datetime
    changed_at: datetime


def _registered(row: RunnerRow | None, event: Recorded, key: Key) -> RunnerRow:
    """A registration that is repeated with other facts keeps the duty (paused, draining) of the runner."""
    data: runner_pool.RunnerRegistered = event.data
    return RunnerRow(
        id=key,
        tenant=event.meta.tenant,
        name=data.name,
        labels=data.labels,
        slots=data.slots,
        os=data.os,
        arch=data.arch,
        version=data.version,
        ephemeral=data.ephemeral,
        pid=data.pid,
        online=row.online if row else False,
        paused=row.paused if row else False,
        draining=row.draining if row else False,
        retired=False,
        reason="",
        registered_at=row.registered_at if row else event.meta.at,
        changed_at=event.meta.at,
    )


def _changed(row: RunnerRow | None, event: Recorded, _key: Key) -> RunnerRow | None:
    if row is None:
        return None
    match event.data:
        case runner_pool.RunnerOnline():
            row.online = True
        case runner_pool.RunnerOffline():
            row.online = False
        case runner_pool.RunnerPaused():
            row.paused = True
        case runner_pool.RunnerResumed():
            row.paused = False
        case runner_pool.RunnerDrained():
            row.draining = True
        case runner_pool.RunnerRetired():
            row.retired, row.online = True, False
        case _:
            raise AssertionError(f"{event.type} is not a change of a runner")
    row.reason = getattr(event.data, "reason", "")
    row.changed_at = event.meta.at
    return row


_CHANGES = (
    runner_pool.RunnerOnline,
    runner_pool.RunnerOffline,
    runner_pool.RunnerPaused,
    runner_pool.RunnerResumed,
    runner_pool.RunnerDrained,
    runner_pool.RunnerRetired,
)

FLEET = Table(
    "runners",
    RunnerRow,
    ("id",),
    {runner_pool.RunnerRegistered: Rule(_registered, by_stream), **{change: Rule(_changed, by_stream) for change in _CHANGES}},
)

RUNNERS = View("runners", (FLEET,))
