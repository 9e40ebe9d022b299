"""Queries over the queue and the runners: what waits, who is there, and why the one does not take the other."""

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from projections.rows import Connection
from projections.runners import FLEET, RunnerRow
from projections.select import Order, select

_LANES = """
SELECT coalesce(json_agg(l), '[]')::text FROM (
    SELECT lane, labels, count(*) AS depth, min(since) AS oldest_at, (array_agg(job_id ORDER BY since, position))[:100] AS jobs
    FROM views.queue WHERE queued AND tenant = %s GROUP BY lane, labels ORDER BY min(since)) l
"""
_HELD = "SELECT runner, array_agg(id ORDER BY id) FROM views.jobs WHERE status = 'in_progress' AND runner IS NOT NULL GROUP BY runner"


class Waiting(msgspec.Struct, frozen=True):
    """The jobs that wait in one lane for one set of labels. jobs: the first 100, oldest first."""

    lane: str
    labels: tuple[str, ...]
    depth: int
    oldest_at: datetime
    jobs: tuple[UUID, ...]


class Lane(msgspec.Struct, frozen=True):
    """The same with the reason why they wait."""

    lane: str
    labels: tuple[str, ...]
    depth: int
    oldest_at: datetime
    jobs: tuple[UUID, ...]
    reason: str


class Runner(msgspec.Struct, frozen=True):
    """A runner and what it works on. state: "idle", "busy", "draining", "paused", "offline" or "retired"."""

    id: UUID
    name: str
    labels: tuple[str, ...]
    state: str
    pid: int | None
    slots: int
    jobs: tuple[UUID, ...]
    os: str
    arch: str
    version: str
    ephemeral: bool
    registered_at: datetime
    changed_at: datetime


async def runners(connection: Connection, tenant: str) -> list[Runner]:
    """The tenant's runners that are not retired, by name."""
    rows: list[RunnerRow] = await select(
        connection, FLEET, [("tenant = %s", tenant), ("retired = %s", False)], Order(("name", "id")), 10_000
    )
    held: dict[UUID, Any] = dict(await (await connection.execute(_HELD, prepare=True)).fetchall())
    return [_runner(row, tuple(held.get(row.id, ()))) for row in rows]


async def lanes(connection: Connection, tenant: str) -> list[Lane]:
    """What waits, the oldest first, and why."""
    found = await (await connection.execute(_LANES, (tenant,), prepare=True)).fetchone()
    waiting = msgspec.json.decode(found[0] if found else "[]", type=list[Waiting])
    fleet = await runners(connection, tenant) if waiting else []
    return [Lane(each.lane, each.labels, each.depth, each.oldest_at, each.jobs, why(each.labels, fleet)) for each in waiting]


def why(labels: tuple[str, ...], fleet: list[Runner]) -> str:
    """Why jobs with these labels wait: no runner has them, none of those is there, or all of them are busy."""
    wanted = set(labels)
    able = [runner for runner in fleet if wanted <= set(runner.labels)]
    if not able:
        if not fleet:
            return "no runner is registered"
        nearest = min(fleet, key=lambda runner: len(wanted - set(runner.labels)))
        lacking = ", ".join(sorted(wanted - set(nearest.labels)))
        return f"no runner has the labels {', '.join(labels)}; the nearest, {nearest.name}, lacks {lacking}"
    ready = [runner for runner in able if runner.state in {"idle", "busy"}]
    if not ready:
        states = ", ".join(f"{runner.name} is {runner.state}" for runner in able[:3])
        return f"no runner with these labels takes jobs: {states}"
    if all(len(runner.jobs) >= runner.slots for runner in ready):
        return f"all {len(ready)} matching runners are busy"
    return "a matching runner is free and is about to take it"


def _runner(row: RunnerRow, jobs: tuple[UUID, ...]) -> Runner:
    state = "busy" if jobs else "idle"
    for flag, name in ((row.paused, "paused"), (row.draining, "draining"), (not row.online, "offline"), (row.retired, "retired")):
        state = name if flag else state
    return Runner(
        id=row.id,
        name=row.name,
        labels=row.labels,
        state=state,
        pid=row.pid,
        slots=row.slots,
        jobs=jobs,
        os=row.os,
        arch=row.arch,
        version=row.version,
        ephemeral=row.ephemeral,
        registered_at=row.registered_at,
        changed_at=row.changed_at,
    )
