"""Queries over the queue and the runners: what waits, in which order, who is there, and why the one does not take the other."""

from collections import Counter
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from msgspec.structs import replace

from domain.scheduling.matching import Line
from projections import queue
from projections.rows import Connection
from projections.runners import FLEET, RunnerRow
from projections.select import Order, select

_LINES = """
SELECT coalesce(json_agg(l), '[]')::text FROM (
    SELECT q.tenant, q.fair_key, coalesce(min(r.full_name), '') AS repository, lane, labels, count(*) AS depth, min(since) AS oldest_at,
        (array_agg(job_id ORDER BY since, position))[:100] AS jobs
    FROM views.queue q LEFT JOIN views.repositories r ON r.id::text = q.fair_key
    WHERE queued AND q.tenant = %s GROUP BY q.tenant, q.fair_key, lane, labels) l
"""
_DURATIONS = """
SELECT j.labels, avg(extract(epoch FROM j.completed_at - j.started_at))::float8
FROM (SELECT id FROM views.runs WHERE tenant = %s ORDER BY created_at DESC, id DESC LIMIT 1000) r JOIN views.jobs j ON j.run_id = r.id
WHERE j.started_at IS NOT NULL AND j.completed_at IS NOT NULL GROUP BY j.labels
"""
LINE_JOBS = 20
"""How much of each line is looked at to tell whose turn it is."""
_HELD = "SELECT runner, array_agg(id ORDER BY id) FROM views.jobs WHERE status = 'in_progress' AND runner IS NOT NULL GROUP BY runner"


class Waiting(msgspec.Struct, frozen=True):
    """The jobs of one line. jobs: the first 100, oldest first. repository: its name, "" where that is not known.

    position: how many turns until the first of them is served, 1: next. reason: why they wait. drain_seconds: how long the
    tenant's jobs with these labels keep the runners busy that take them, as long as lately each; None: nobody can tell.
    """

    tenant: str
    fair_key: str
    repository: str
    lane: str
    labels: tuple[str, ...]
    depth: int
    oldest_at: datetime
    jobs: tuple[UUID, ...]
    position: int = 0
    reason: str = ""
    drain_seconds: float | None = None


TAKES_JOBS = frozenset({"idle", "busy"})
"""The states of runners that get jobs now or as soon as they have a free slot."""


class Runner(msgspec.Struct, frozen=True):
    """A runner and what it works on. state: "idle", "busy", "draining", "paused", "offline" or "retired".

    changed_at, changed_by, reason: since when, by whom (an actor) and why it is so. group: "" for the default one.
    """

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
    changed_by: str
    reason: str
    group: str


async def runners(connection: Connection, tenant: str) -> list[Runner]:
    """The tenant's runners that are not retired, by name."""
    rows: list[RunnerRow] = await select(
        connection, FLEET, [("tenant = %s", tenant), ("retired = %s", False)], Order(("name", "id")), 10_000
    )
    held: dict[UUID, Any] = dict(await (await connection.execute(_HELD, prepare=True)).fetchall())
    return [_runner(row, tuple(held.get(row.id, ()))) for row in rows]


async def waiting(connection: Connection, tenant: str) -> list[Waiting]:
    """What waits, line by line in the order of their turns, and why."""
    found = await (await connection.execute(_LINES, (tenant,), prepare=True)).fetchone()
    lines = msgspec.json.decode(found[0] if found else "[]", type=list[Waiting])
    if not lines:
        return []
    fleet = await runners(connection, tenant)
    turns = await queue.turns(connection, LINE_JOBS)
    lasted = {tuple(labels): seconds for labels, seconds in await (await connection.execute(_DURATIONS, (tenant,))).fetchall()}
    depths: Counter[tuple[str, ...]] = Counter()
    for line in lines:
        depths[line.labels] += line.depth
    told = [
        replace(
            line,
            position=turns.get(Line(line.tenant, line.fair_key, line.lane, line.labels), 0),
            reason=why(line.labels, fleet),
            drain_seconds=drain_seconds(line.labels, depths[line.labels], lasted.get(line.labels), fleet),
        )
        for line in lines
    ]
    return sorted(told, key=lambda line: (line.position, line.oldest_at))


def drain_seconds(labels: tuple[str, ...], depth: int, seconds: float | None, fleet: list[Runner]) -> float | None:
    """How long `depth` jobs of `seconds` each keep the runners busy that take jobs with these labels."""
    slots = sum(runner.slots for runner in fleet if set(labels) <= set(runner.labels) and runner.state in TAKES_JOBS)
    return None if seconds is None or not slots else round(depth * seconds / slots, 1)


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
    ready = [runner for runner in able if runner.state in TAKES_JOBS]
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
        changed_by=row.changed_by,
        reason=row.reason,
        group=row.group,
    )
