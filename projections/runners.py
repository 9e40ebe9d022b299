"""The runners view: who may take jobs, and whether they are there; whom each group serves. What they work on: the status view."""

from datetime import datetime
from uuid import UUID

import msgspec

from domain import runner_pool
from domain.envelope import Recorded
from domain.runner_group import RunnerGroupChanged
from projections.table import Key, Rule, Table, View, by_stream


class RunnerRow(msgspec.Struct, gc=False):
    """A runner. group: "" for the default one. changed_at, changed_by, reason: when, who (an actor) and why of the last change.

    version: of its program; stream_version: of its stream.
    """

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
    changed_by: str
    group: str
    stream_version: int


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
        changed_by=event.meta.actor,
        group=data.group,
        stream_version=event.version,
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
    row.changed_at, row.changed_by = event.meta.at, event.meta.actor
    row.stream_version = event.version
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


class GroupRow(msgspec.Struct, gc=False):
    """A group of runners whose access was set. repositories: the ids of those that it serves; None: all of its tenant."""

    id: UUID
    tenant: str
    name: str
    repositories: tuple[UUID, ...] | None
    changed_at: datetime
    changed_by: str


def _group(_row: GroupRow | None, event: Recorded, key: Key) -> GroupRow:
    data: RunnerGroupChanged = event.data
    return GroupRow(key, event.meta.tenant, data.name, data.repositories, event.meta.at, event.meta.actor)


GROUPS = Table("runner_groups", GroupRow, ("id",), {RunnerGroupChanged: Rule(_group, by_stream, opens=True)}, indexes=("(tenant, name)",))

RUNNERS = View("runners", (FLEET, GROUPS))
