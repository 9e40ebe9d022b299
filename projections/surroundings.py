"""What stands around a run, read from the views for the why engine: runners, holders of groups, places in line, the time."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from msgspec.structs import replace

from domain.runner_pool import RunnerDrained, RunnerPaused
from domain.scheduling.line import Line
from domain.why import Holder, Runner, Surroundings
from projections import fleet
from projections.queue import ahead as before
from projections.rows import Connection
from projections.run_history import Log

SHOWN_MAX = 20
"""So many queued jobs of a run, and paused runners, are looked at one by one."""

_HOLDERS = """
SELECT g.id, g.holder, g.run_id, g.number, g.workflow_path, g.since, g.job, g.node,
    coalesce((SELECT array_agg(h.id ORDER BY h.since, h.id) FROM views.holds h WHERE h.group_id = g.id AND h.reason = 'concurrency'), '{}')
FROM views.concurrency_groups g WHERE g.id IN (SELECT group_id FROM views.holds WHERE run_id = %s)
"""
_QUEUED = "SELECT job_id, tenant, fair_key, lane, labels, position FROM views.queue WHERE run_id = %s AND queued ORDER BY position LIMIT %s"


async def surroundings(connection: Connection, log: Log, tenant: str, run: UUID) -> Surroundings:
    """What stands around a run now. A run of which nothing waits costs two look-ups in an index."""
    now = await _now(connection)
    holders = await (await connection.execute(_HOLDERS, (run,), prepare=True)).fetchall()
    groups = {row[0]: Holder(*row[1:]) for row in holders}
    queued = await (await connection.execute(_QUEUED, (run, SHOWN_MAX), prepare=True)).fetchall()
    if not queued:
        return Surroundings(now, groups=groups)
    runners = await fleet.runners(connection, tenant)
    lasted = await fleet.durations(connection, tenant)
    ahead: dict[UUID, int] = {}
    drains: dict[UUID, float] = {}
    for job, owner, fair_key, lane, labels, position in queued:
        line = Line(owner, fair_key, lane, tuple(labels))
        ahead[job] = await before(connection, line, position)
        drain = fleet.drain_seconds(line.labels, ahead[job] + 1, lasted.get(line.labels), runners)
        if drain is not None:
            drains[job] = drain
    return Surroundings(now, await _with_who(log, fleet.told(runners, await fleet.groups(connection, tenant))), groups, ahead, drains)


async def _now(connection: Connection) -> datetime:
    """The store's time."""
    found = await (await connection.execute("SELECT clock_timestamp()", prepare=True)).fetchone()
    assert found is not None, "a SELECT of one value answers one row"  # noqa: S101 - a fact, not a check
    now: datetime = found[0]
    return now


async def _with_who(log: Log, runners: Sequence[Runner]) -> tuple[Runner, ...]:
    """Paused and draining runners with the actor of that: the view does not keep it."""
    found = []
    looked = 0
    for runner in runners:
        looked += runner.duty != "active"
        if runner.duty == "active" or looked > SHOWN_MAX:
            found.append(runner)
            continue
        said = [event for event in await log.load(runner.id) if isinstance(event.data, RunnerPaused | RunnerDrained)]
        found.append(replace(runner, changed_by=said[-1].meta.actor, changed_at=said[-1].meta.at) if said else runner)
    return tuple(found)
