"""The tables of the stored tree, in a schema of their own. It is a view of the log: it can be dropped, and grows anew.

Entries are rows of up to 256 (see domain.transparency.growth); the last row is also the projector's position, so tree and
position can never disagree. Whoever owns the database can change all of this: what is outside proves what it was.
"""

from collections.abc import AsyncIterator
from datetime import datetime

import msgspec

from domain.transparency import entry
from domain.transparency.checkpoints import Signed
from domain.transparency.entry import ENTRY_BYTES
from domain.transparency.growth import BLOCK, Change, Piece
from projections.rows import Connection

_SETUP = """
CREATE SCHEMA IF NOT EXISTS transparency;
CREATE TABLE IF NOT EXISTS transparency.log (
    shard int PRIMARY KEY, origin text NOT NULL DEFAULT 'ledgermill/' || gen_random_uuid() || '/0');
CREATE TABLE IF NOT EXISTS transparency.entries (
    shard int NOT NULL, first bigint NOT NULL, position bigint NOT NULL, entries bytea STORAGE EXTERNAL NOT NULL,
    PRIMARY KEY (shard, first));
CREATE INDEX IF NOT EXISTS entries_position ON transparency.entries (shard, position);
CREATE TABLE IF NOT EXISTS transparency.nodes (
    shard int NOT NULL, level int NOT NULL, index bigint NOT NULL, hash bytea NOT NULL, PRIMARY KEY (shard, level, index));
CREATE TABLE IF NOT EXISTS transparency.checkpoints (
    shard int NOT NULL, size bigint NOT NULL, position bigint NOT NULL, note text NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(), PRIMARY KEY (shard, size));
CREATE TABLE IF NOT EXISTS transparency.keys (
    shard int NOT NULL, key text NOT NULL, since timestamptz NOT NULL DEFAULT clock_timestamp(), PRIMARY KEY (shard, key));
INSERT INTO transparency.log (shard) VALUES (0) ON CONFLICT DO NOTHING;
"""

_GROW = """
WITH gone AS (DELETE FROM transparency.entries WHERE shard = 0 AND first = ANY(%b::bigint[])),
    over AS (INSERT INTO transparency.nodes (shard, level, index, hash)
        SELECT 0, n.* FROM unnest(%b::int[], %b::bigint[], %b::bytea[]) AS n)
INSERT INTO transparency.entries (shard, first, position, entries)
    SELECT 0, e.* FROM unnest(%b::bigint[], %b::bigint[], %b::bytea[]) AS e
    ON CONFLICT (shard, first) DO UPDATE SET position = excluded.position, entries = excluded.entries
"""

_NEW = """
SELECT coalesce(string_agg(e.entry, ''::bytea ORDER BY e.notification_id), ''::bytea) FROM (
    SELECT notification_id, int8send(notification_id) || uuid_send(originator_id) || int8send(originator_version)
        || sha256(convert_to(topic, 'UTF8') || '\\x00'::bytea || state) AS entry
    FROM public.events_0 WHERE notification_id > %b ORDER BY notification_id LIMIT %b) AS e
"""
"""domain.transparency.entry, computed where the rows are: they need not travel, and the event loop is left alone."""

_PIECES = "SELECT first, position, entries FROM transparency.entries WHERE shard = 0 AND first >= %s AND first < %s ORDER BY first"
_BLOCKS_READ = 64


class Kept(msgspec.Struct, frozen=True):
    """A checkpoint as the database keeps it. at: when it was signed, by the database's clock."""

    size: int
    position: int
    note: str
    at: datetime


class Key(msgspec.Struct, frozen=True):
    """A key that signs checkpoints. key: as it is published (name+id+key); since: when it was first used."""

    key: str
    since: datetime


async def prepare(connection: Connection) -> None:
    """Make the tables where they are not there yet, and give the log its name. Safe to call from many processes."""
    # Not to_regclass: it would leave in this session's cache that there is no such schema, and CREATE SCHEMA believes that,
    # although the process that held the lock before has made it.
    there = "SELECT EXISTS (SELECT FROM pg_tables WHERE schemaname = 'transparency' AND tablename = 'keys')"
    cursor = await connection.execute(there)
    found = await cursor.fetchone()
    if found and found[0]:
        return
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended('ledgermill.transparency.prepare', 0))")
        await connection.execute(_SETUP)


async def origin(connection: Connection) -> str:
    """The name of the log, drawn when its tree was made."""
    cursor = await connection.execute("SELECT origin FROM transparency.log WHERE shard = 0")
    found = await cursor.fetchone()
    return str(found[0]) if found else ""


async def rename(connection: Connection, origin: str) -> None:
    """Give the log this name."""
    await connection.execute("UPDATE transparency.log SET origin = %s WHERE shard = 0 AND origin <> %s", (origin, origin))


async def new_entries(connection: Connection, after: int, limit: int) -> bytes:
    """The entries of the next rows of the log with position > after, at most `limit`, in order."""
    cursor = await connection.execute(_NEW, (after, limit), prepare=True, binary=True)
    found = await cursor.fetchone()
    return bytes(found[0]) if found else b""


async def grow(connection: Connection, change: Change) -> None:
    """Write what a page of the log adds; the position moves with it."""
    pieces, nodes = change.pieces, change.nodes
    kept = {piece.first for piece in pieces}
    parameters = (
        [first for first in change.replaced if first not in kept],
        [node.level for node in nodes],
        [node.index for node in nodes],
        [node.hash for node in nodes],
        [piece.first for piece in pieces],
        [piece.position for piece in pieces],
        [piece.entries for piece in pieces],
    )
    await connection.execute(_GROW, parameters, prepare=True)


async def pieces(connection: Connection, begin: int, end: int) -> list[Piece]:
    """The stored pieces that begin with an entry begin .. end - 1, in order."""
    cursor = await connection.execute(_PIECES, (begin, end))
    return [Piece(*row) for row in await cursor.fetchall()]


async def size(connection: Connection) -> int:
    """How many events the stored tree holds."""
    last = await last_piece(connection)
    return last.first + len(last.entries) // ENTRY_BYTES if last else 0


async def position(connection: Connection) -> int:
    """Of the last event that the stored tree holds, 0 for none."""
    last = await last_piece(connection)
    return entry.decode(last.entries[-ENTRY_BYTES:]).position if last else 0


async def last_piece(connection: Connection) -> Piece | None:
    """The piece with the last event, None for an empty tree."""
    cursor = await connection.execute(
        "SELECT first, position, entries FROM transparency.entries WHERE shard = 0 ORDER BY first DESC LIMIT 1"
    )
    found = await cursor.fetchone()
    return Piece(*found) if found else None


async def piece_of(connection: Connection, position: int) -> Piece | None:
    """The piece that would hold the event at this position."""
    cursor = await connection.execute(
        "SELECT first, position, entries FROM transparency.entries WHERE shard = 0 AND position <= %s ORDER BY position DESC LIMIT 1",
        (position,),
    )
    found = await cursor.fetchone()
    return Piece(*found) if found else None


async def nodes(connection: Connection, level: int, begin: int, end: int) -> list[bytes]:
    """The stored hashes begin .. end - 1 of a level."""
    cursor = await connection.execute(
        "SELECT hash FROM transparency.nodes WHERE shard = 0 AND level = %s AND index >= %s AND index < %s ORDER BY index",
        (level, begin, end),
    )
    return [row[0] for row in await cursor.fetchall()]


async def entries(connection: Connection, first: int, end: int | None = None) -> AsyncIterator[tuple[int, bytes]]:
    """(index, entries) from `first` on, many at a time, up to the end or entry `end`."""
    last = await size(connection) if end is None else end
    while first < last:
        begin = first // BLOCK * BLOCK
        found = await pieces(connection, begin, begin + BLOCK * _BLOCKS_READ)
        content = b"".join([piece.entries for piece in found])[(first - begin) * ENTRY_BYTES : (last - begin) * ENTRY_BYTES]
        if not content:
            return
        yield first, content
        first += len(content) // ENTRY_BYTES


async def keep(connection: Connection, checkpoint: Signed, key: str) -> None:
    """Keep a checkpoint and the key that it was signed with."""
    await connection.execute(
        "WITH published AS (INSERT INTO transparency.keys (shard, key) VALUES (0, %s) ON CONFLICT DO NOTHING)"
        " INSERT INTO transparency.checkpoints (shard, size, position, note) VALUES (0, %s, %s, %s) ON CONFLICT DO NOTHING",
        (key, checkpoint.size, checkpoint.position, checkpoint.note),
        prepare=True,
    )


async def checkpoints(connection: Connection, before: int | None, limit: int) -> list[Kept]:
    """The newest checkpoints, of sizes below `before`, the newest first."""
    cursor = await connection.execute(
        "SELECT size, position, note, at FROM transparency.checkpoints WHERE shard = 0 AND size < %s ORDER BY size DESC LIMIT %s",
        (2**62 if before is None else before, limit),
    )
    return [Kept(*row) for row in await cursor.fetchall()]


async def keys(connection: Connection) -> list[Key]:
    """All keys that have signed checkpoints, the first one first."""
    cursor = await connection.execute("SELECT key, since FROM transparency.keys WHERE shard = 0 ORDER BY since, key")
    return [Key(*row) for row in await cursor.fetchall()]
