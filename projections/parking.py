"""The streams that wait in a view, as rows: moved in the same transaction as the view's position and rows.

What waits behind the first event is not copied: the log has it, in order. The row says from which version on.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from projections.fold import Folder, Parked
from projections.rows import Connection, Part, execute, printable

_COLUMNS = "stream, version, position, type, schema, error, run_id, last_version"

_READ = "SELECT stream, version, position, type, schema, error, run_id, last_version FROM views.parked WHERE view = %s AND shard = 0"

_LIST = """
SELECT view, stream, run_id, version, position, type, schema, error, last_version - version + 1, parked_at FROM views.parked
WHERE shard = 0 ORDER BY view, position
"""

_WRITE = """
INSERT INTO views.parked (view, shard, stream, version, position, type, schema, error, run_id, last_version)
SELECT %s, 0, * FROM unnest(%s::uuid[], %s::bigint[], %s::bigint[], %s::text[], %s::int[], %s::text[], %s::uuid[], %s::bigint[])
ON CONFLICT (view, shard, stream) DO UPDATE SET (version, position, type, schema, error, run_id, last_version)
    = ROW(excluded.version, excluded.position, excluded.type, excluded.schema, excluded.error, excluded.run_id, excluded.last_version)
"""

_ANY = "SELECT FROM views.parked WHERE shard = 0 AND view = ANY(%s) AND position <= %s LIMIT 1"

_CONCERNED = """
SELECT view, stream, run_id, version, position, type, schema, error, last_version - version + 1, parked_at FROM views.parked
WHERE shard = 0 AND view = ANY(%s) AND position <= %s AND (stream = ANY(%s) OR run_id = %s) ORDER BY position LIMIT 1
"""


class ParkedStream(msgspec.Struct, frozen=True):
    """A stream that waits, as people are told of it. waiting: how many of its events, the one that cannot be folded included."""

    view: str
    stream: UUID
    run_id: UUID | None
    version: int
    position: int
    type: str
    schema: int
    error: str
    waiting: int
    parked_at: datetime


async def parked_in(connection: Connection, view: str) -> list[Parked]:
    """What waits in a view."""
    cursor = await connection.execute(_READ, (view,))
    return [Parked(*row) for row in await cursor.fetchall()]


async def parked_streams(connection: Connection) -> list[ParkedStream]:
    """What waits in all views, by view and position."""
    return [ParkedStream(*row) for row in await (await connection.execute(_LIST)).fetchall()]


async def any_parked(connection: Connection, views: Sequence[str], at_least: int) -> bool:
    """Whether anything waits in one of `views` at or before a position."""
    cursor = await connection.execute(_ANY, (list(views), at_least), prepare=True)
    return await cursor.fetchone() is not None


async def concerned(
    connection: Connection, views: Sequence[str], at_least: int, streams: Sequence[UUID], run: UUID | None
) -> ParkedStream | None:
    """The first stream that waits in one of `views` at or before a position and is one of these, or of this run."""
    cursor = await connection.execute(_CONCERNED, (list(views), at_least, list(streams), run))
    found = await cursor.fetchone()
    return ParkedStream(*found) if found else None


def changes(view: str, folder: Folder) -> list[Part]:
    """What writes down what the folder has parked since it was last written."""
    return _written(view, [folder.parked[stream] for stream in folder.noted])


async def replace(connection: Connection, view: str, parked: Iterable[Parked]) -> None:
    """Exactly these streams wait in the view from now on."""
    await connection.execute("DELETE FROM views.parked WHERE view = %s AND shard = 0", (view,))
    await execute(connection, _written(view, list(parked)))


async def release(connection: Connection, view: str, streams: Iterable[UUID]) -> None:
    """These streams wait no more."""
    await connection.execute("DELETE FROM views.parked WHERE view = %s AND shard = 0 AND stream = ANY(%s)", (view, list(streams)))


def _written(view: str, parked: Sequence[Parked]) -> list[Part]:
    columns = [list(column) for column in zip(*map(msgspec.structs.astuple, parked), strict=True)]
    return [(_WRITE, (view, *printable(columns)))] if parked else []
