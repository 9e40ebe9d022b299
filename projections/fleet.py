"""Queries over the queue and the runners: what waits, in which order, who is there, and why the one does not take the other."""

from collections import Counter
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from msgspec.structs import replace

from domain import why
from domain.registration import DEFAULT_GROUP
from domain.scheduling.line import Line
from domain.why.runners import no_runner
from projections import queue
from projections.rows import Connection
from projections.runners import FLEET, GROUPS, GroupRow, RunnerRow
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
    held = await _held(connection)
    return [_runner(row, held.get(row.id, ())) for row in rows]


async def runner(connection: Connection, tenant: str, identity: UUID) -> list[tuple[Runner, int]]:
    """The tenant's runner of this id, with the version of its stream; none where there is no such runner, or no more."""
    conditions: list[Any] = [("tenant = %s", tenant), ("id = %s", identity), ("retired = %s", False)]
    rows: list[RunnerRow] = await select(connection, FLEET, conditions, Order(("name", "id")), 1)
    held = await _held(connection)
    return [(_runner(row, held.get(row.id, ())), row.stream_version) for row in rows]


async def _held(connection: Connection) -> dict[UUID, tuple[UUID, ...]]:
    """The jobs at work by runner."""
    return {runner: tuple(jobs) for runner, jobs in await (await connection.execute(_HELD, prepare=True)).fetchall()}


async def waiting(connection: Connection, tenant: str) -> list[Waiting]:
    """What waits, line by line in the order of their turns, and why."""
    found = await (await connection.execute(_LINES, (tenant,), prepare=True)).fetchone()
    lines = msgspec.json.decode(found[0] if found else "[]", type=list[Waiting])
    if not lines:
        return []
    fleet = await runners(connection, tenant)
    turns = await queue.turns(connection, queue.LINE_JOBS)
    lasted = await durations(connection, tenant)
    depths: Counter[tuple[str, ...]] = Counter()
    for line in lines:
        depths[line.labels] += line.depth
    runners_now = told(fleet, await groups(connection, tenant))
    shown = [
        replace(
            line,
            position=turns.get(Line(line.tenant, line.fair_key, line.lane, line.labels), 0),
            reason=no_runner(line.labels, line.fair_key, runners_now).text,
            drain_seconds=drain_seconds(line.labels, depths[line.labels], lasted.get(line.labels), fleet),
        )
        for line in lines
    ]
    return sorted(shown, key=lambda line: (line.position, line.oldest_at))


async def durations(connection: Connection, tenant: str) -> dict[tuple[str, ...], float]:
    """How long the jobs with the same labels took on average, in the tenant's last 1,000 runs."""
    return {tuple(labels): seconds for labels, seconds in await (await connection.execute(_DURATIONS, (tenant,))).fetchall()}


def drain_seconds(labels: tuple[str, ...], depth: int, seconds: float | None, fleet: list[Runner]) -> float | None:
    """How long `depth` jobs of `seconds` each keep the runners busy that take jobs with these labels."""
    slots = sum(runner.slots for runner in fleet if set(labels) <= set(runner.labels) and runner.state in TAKES_JOBS)
    return None if seconds is None or not slots else round(depth * seconds / slots, 1)


async def groups(connection: Connection, tenant: str) -> dict[str, frozenset[str] | None]:
    """By name the groups of runners whose access was set: the ids of the repositories that each serves, None for all."""
    rows: list[GroupRow] = await select(connection, GROUPS, [("tenant = %s", tenant)], Order(("name", "id")), 10_000)
    return {row.name: None if row.repositories is None else frozenset(map(str, row.repositories)) for row in rows}


def told(fleet: list[Runner], access: dict[str, frozenset[str] | None]) -> tuple[why.Runner, ...]:
    """The runners as the why engine looks at them. access: see `groups`."""
    return tuple(
        why.Runner(
            runner.id,
            runner.name,
            runner.labels,
            runner.slots,
            online=runner.state not in ("offline", "retired"),
            duty=runner.state if runner.state in ("paused", "draining") else "active",
            held=runner.jobs,
            group=runner.group or DEFAULT_GROUP,
            repositories=access.get(runner.group or DEFAULT_GROUP),
        )
        for runner in fleet
    )


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
