"""What the views say of the whole server, for monitoring: figures over all tenants, with nobody's name in them.

Each statement has a time limit of its own, so that looking at a flooded server does not add to the flood.
"""

from contextlib import suppress
from datetime import datetime
from typing import LiteralString

import msgspec
import psycopg

from projections import positions
from projections.positions import Place
from projections.rows import Connection

STATEMENT_MILLISECONDS_MAX = 1_000

_LIMIT: LiteralString = f"SET LOCAL statement_timeout = {STATEMENT_MILLISECONDS_MAX}"
_QUEUED = "SELECT labels, count(*), min(since) FROM views.queue WHERE queued GROUP BY labels"
_RUNNING = "SELECT labels, count(*) FROM views.jobs WHERE status = 'in_progress' AND runner IS NOT NULL GROUP BY labels"
_RUNNERS = """
SELECT CASE WHEN NOT r.online THEN 'offline' WHEN r.draining THEN 'draining' WHEN r.paused THEN 'paused'
    WHEN h.runner IS NOT NULL THEN 'busy' ELSE 'idle' END AS state, r.os, r.labels, count(*), sum(r.slots)::bigint
FROM views.runners r
LEFT JOIN (SELECT DISTINCT runner FROM views.jobs WHERE status = 'in_progress' AND runner IS NOT NULL) h ON h.runner = r.id
WHERE NOT r.retired GROUP BY 1, 2, 3
"""
_PARKED = "SELECT view, count(*) FROM views.parked GROUP BY view"

RUNNER_STATES = ("idle", "busy", "draining", "paused", "offline")
"""See projections.fleet.Runner."""


class Queued(msgspec.Struct, frozen=True):
    """Jobs that wait with the same labels. since: when the first of them began to."""

    labels: tuple[str, ...]
    count: int
    since: datetime


class Runners(msgspec.Struct, frozen=True):
    """Runners that are alike. slots: of all of them."""

    state: str
    os: str
    labels: tuple[str, ...]
    count: int
    slots: int


class Figures(msgspec.Struct, frozen=True):
    """How it stands. queued: None where counting took too long; running: (labels, how many jobs runners hold).

    parked: streams that wait, by view; places: of the views.
    """

    queued: tuple[Queued, ...] | None
    running: tuple[tuple[tuple[str, ...], int], ...]
    runners: tuple[Runners, ...]
    parked: dict[str, int]
    places: tuple[Place, ...]


async def figures(connection: Connection) -> Figures:
    """Ask the views. Raises psycopg.OperationalError where a statement takes too long, but the one that grows with the queue."""
    async with connection.transaction():
        await connection.execute(_LIMIT)
        running = await (await connection.execute(_RUNNING)).fetchall()
        runners = await (await connection.execute(_RUNNERS)).fetchall()
        parked = await (await connection.execute(_PARKED)).fetchall()
        places = await positions.places(connection)
    queued = None
    with suppress(psycopg.errors.QueryCanceled):
        async with connection.transaction():
            await connection.execute(_LIMIT)
            queued = await (await connection.execute(_QUEUED)).fetchall()
    return Figures(
        queued=None if queued is None else tuple(Queued(tuple(labels), count, since) for labels, count, since in queued),
        running=tuple((tuple(labels), count) for labels, count in running),
        runners=tuple(Runners(state, os, tuple(labels), count, slots) for state, os, labels, count, slots in runners),
        parked=dict(parked),
        places=tuple(places),
    )
