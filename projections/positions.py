"""How far each view has got: one row per view and shard, moved in the same transaction as the rows it speaks for.

generation counts rebuilds: a projector that folds onto rows which a rebuild has replaced finds another generation and
starts afresh. Readers wait here for a position; they must never wait for longer than they were asked to.

A row that is updated hundreds of times a second leaves as many dead versions, and while somebody's old snapshot is open
none of them can be removed: whoever looks for the row by its view passes over all of them. So the key goes on with the
position (`span`): each span of the log has a row of its own, the newest is found first, and only its versions are passed.
What else the planner may think of, with statistics of another moment, reads all of them; so the functions leave it no choice.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager

import msgspec
import psycopg

from projections import rows
from projections.rows import Connection, sql
from projections.table import LIVE, View

Connections = Callable[[], AbstractAsyncContextManager[Connection]]
"""Lends a connection, e.g. `pool.connection`."""

_FIRST_PAUSE_SECONDS = 0.002
_PAUSE_SECONDS_MAX = 0.05

_SETUP = """
CREATE SCHEMA IF NOT EXISTS views;
CREATE SCHEMA IF NOT EXISTS views_rebuild;
CREATE TABLE IF NOT EXISTS views.view_positions (
    view text NOT NULL, shard int NOT NULL, position bigint NOT NULL, digest text NOT NULL, generation int NOT NULL,
    moved_at timestamptz NOT NULL DEFAULT clock_timestamp(), span bigint GENERATED ALWAYS AS (position / 512) STORED,
    PRIMARY KEY (view, shard, span));
DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'views.view_positions'::regclass AND attname = 'span') THEN
        ALTER TABLE views.view_positions ADD COLUMN span bigint GENERATED ALWAYS AS (position / 512) STORED,
            DROP CONSTRAINT view_positions_pkey, ADD PRIMARY KEY (view, shard, span);
    END IF;
END $$;
CREATE OR REPLACE FUNCTION views.place(of text) RETURNS bigint LANGUAGE sql STABLE
    SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS $$
    SELECT position FROM views.view_positions WHERE view = of AND shard = 0 ORDER BY span DESC LIMIT 1
$$;
CREATE TABLE IF NOT EXISTS views.parked (
    view text NOT NULL, shard int NOT NULL, stream uuid NOT NULL, version bigint NOT NULL, position bigint NOT NULL,
    type text NOT NULL, schema int NOT NULL, error text NOT NULL, run_id uuid, last_version bigint NOT NULL,
    parked_at timestamptz NOT NULL DEFAULT clock_timestamp(), PRIMARY KEY (view, shard, stream));
CREATE OR REPLACE FUNCTION views.move(after bigint, places json) RETURNS void LANGUAGE plpgsql
    SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
    wanted constant bigint := json_array_length(places);
    within bigint;
    beyond bigint := 0;
BEGIN
    UPDATE views.view_positions p SET position = after, moved_at = clock_timestamp()
        FROM json_to_recordset(places) AS q(view text, position bigint, generation int)
        WHERE p.view = q.view AND p.shard = 0 AND p.span = q.position / 512 AND p.span = after / 512
            AND p.position = q.position AND p.generation = q.generation;
    GET DIAGNOSTICS within = ROW_COUNT;
    IF within < wanted THEN
        WITH gone AS (
            DELETE FROM views.view_positions p
            USING json_to_recordset(places) AS q(view text, position bigint, generation int)
            WHERE p.view = q.view AND p.shard = 0 AND p.span = q.position / 512 AND p.span <> after / 512
                AND p.position = q.position AND p.generation = q.generation
            RETURNING p.view, p.digest, p.generation)
        INSERT INTO views.view_positions (view, shard, position, digest, generation) SELECT view, 0, after, digest, generation FROM gone;
        GET DIAGNOSTICS beyond = ROW_COUNT;
    END IF;
    IF within + beyond <> wanted THEN
        RAISE EXCEPTION 'a view is not where this projector left it' USING ERRCODE = 'LM004';
    END IF;
END $$
"""

_MOVE = "SELECT views.move(%s, %s::json)"
_MOVED = "LM004"


class Moved(Exception):  # noqa: N818 - an outcome with a name of its own
    """The position of a view is not where this projector left it: another one, or a rebuild, was here."""


class Place(msgspec.Struct, frozen=True):
    """Where a view stands. digest: of the definition that its tables were made from."""

    view: str
    position: int
    digest: str
    generation: int


async def prepare(connection: Connection, views: Sequence[View]) -> None:
    """Make the tables and positions of views that the database does not know yet. Safe to call from many processes."""
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended('ledgermill.views.prepare', 0))")
        await connection.execute(_SETUP)
        known = {place.view for place in await places(connection)}
        for view in views:
            if view.name not in known:
                for table in view.tables:
                    await connection.execute(sql(f"{table.create(LIVE)}; {table.index(LIVE)}"))
                await connection.execute(
                    "INSERT INTO views.view_positions (view, shard, position, digest, generation) VALUES (%s, 0, 0, %s, 1)",
                    (view.name, view.digest),
                )


async def places(connection: Connection) -> list[Place]:
    """Where all views stand."""
    cursor = await connection.execute("SELECT view, position, digest, generation FROM views.view_positions WHERE shard = 0")
    return [Place(*row) for row in await cursor.fetchall()]


async def lacking(connection: Connection, views: Sequence[View]) -> list[str]:
    """The columns ("runs.status") that this code reads and the tables have not, as they are of an earlier version."""
    cursor = await connection.execute(
        "SELECT c.relname || '.' || a.attname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid"
        " WHERE c.relnamespace = 'views'::regnamespace AND a.attnum > 0 AND NOT a.attisdropped"
    )
    there = {row[0] for row in await cursor.fetchall()}
    read = [f"{table.name}.{column.name}" for view in views for table in view.tables for column in table.columns]
    return [column for column in read if column not in there]


async def place(connection: Connection, view: str) -> int | None:
    """The position of a view; None for one that the database does not know."""
    found = await (await connection.execute("SELECT views.place(%s)", (view,), prepare=True)).fetchone()
    return found[0] if found else None


async def shown(connections: Connections, views: Sequence[str]) -> int:
    """The position that all of these views have reached; 0 where the database does not know one of them."""
    async with connections() as connection:
        cursor = await connection.execute("SELECT coalesce(views.place(v), 0) FROM unnest(%s::text[]) v", (list(views),), prepare=True)
        return min([row[0] for row in await cursor.fetchall()], default=0)


async def hold(connection: Connection, view: str) -> Place | None:
    """Where a view stands, held there until the transaction ends; None for one that the database does not know."""
    while True:
        cursor = await connection.execute(
            "SELECT view, position, digest, generation FROM views.view_positions WHERE view = %s AND shard = 0 FOR UPDATE", (view,)
        )
        found = await cursor.fetchone()
        if found is not None or await place(connection, view) is None:
            return Place(*found) if found else None
        # The row that was waited for has given way to that of the next span: there it is held.


async def renew(connection: Connection, view: str, digest: str | None = None) -> None:
    """The rows are others now: whoever folds onto those of before finds another generation and starts afresh."""
    await connection.execute(
        "UPDATE views.view_positions SET digest = coalesce(%s, digest), generation = generation + 1, moved_at = clock_timestamp()"
        " WHERE view = %s AND shard = 0",
        (digest, view),
    )


async def move(connection: Connection, before: Sequence[Place], after: int, changes: Sequence[rows.Part]) -> None:
    """Move these views to `after` and change their rows, in one statement. Raises Moved where `before` does not fit."""
    try:
        await rows.execute(connection, [*changes, (_MOVE, (after, rows.encode(before)))])
    except psycopg.Error as error:
        if error.sqlstate == _MOVED:
            raise Moved from error
        raise


async def wait(connections: Connections, view: str, position: int, seconds: float) -> bool:
    """Whether the view has reached `position` within `seconds`. Asks the database, in growing pauses up to 50 ms."""
    ends = time.monotonic() + seconds
    pause = _FIRST_PAUSE_SECONDS
    while True:
        async with connections() as connection:
            found = await place(connection, view)
        if found is not None and found >= position:
            return True
        left = ends - time.monotonic()
        if left <= 0:
            return False
        await asyncio.sleep(min(pause, left))
        pause = min(2 * pause, _PAUSE_SECONDS_MAX)
