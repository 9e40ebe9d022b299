"""The Postgres event store: one shard's log behind the port `EventStore`.

Writing goes through the appender, reading through two connections of their own: one for streams (commands wait for
it), one for pages (large, may wait). Everything else that touches the event table lives in infra too and calls the
same append function; nothing updates or deletes an event.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import psycopg

from domain.envelope import Recorded
from domain.events import NAMES
from domain.ports import Page, StreamWrite, Tracking, VersionConflict
from infra import codec
from infra.append_call import Row
from infra.appender import Appender
from infra.connections import Connection, connect, session_name, unavailable
from infra.migrations import migrate

StoredRow = tuple[int, UUID, int, str, bytes]
"""(position, stream, version, topic, state)"""

COLUMNS = "notification_id, originator_id, originator_version, topic, state"


class PostgresEventStore:
    """See domain.ports.EventStore. Construct with `open`, end with `close`; belongs to one event loop."""

    def __init__(self, database_url: str, shard: int, appender: Appender) -> None:
        table = f"public.events_{int(shard)}"
        self.database_url = database_url
        self.shard = shard
        self._appender = appender
        self._streams = _Reader(database_url)
        self._log = _Reader(database_url)
        self._load = f"select {COLUMNS} from {table} where originator_id = %b and originator_version > %b order by originator_version"  # noqa: S608 - the shard is an integer
        self._read = (
            f"select {COLUMNS} from {table} where notification_id >= coalesce((select max(notification_id)"  # noqa: S608 - see above
            f" from {table} where notification_id <= %b), 0) order by notification_id limit %b"
        )
        self._head = f"select coalesce(max(notification_id), 0) from {table}"  # noqa: S608 - see above
        self._tracked = f"select position from public.tracking_{int(shard)} where agent = %b"  # noqa: S608 - see above

    @classmethod
    async def open(cls, database_url: str, shard: int = 0, patience_seconds: float = 10.0) -> "PostgresEventStore":
        """Bring the tables to the newest form and connect. Raises StoreUnavailable."""
        try:
            connection = await connect(database_url, session_name("migration"))
            try:
                await migrate(connection, shard)
            finally:
                await connection.close()
        except psycopg.Error as error:
            raise unavailable(error) from error
        appender = Appender(database_url, shard, patience_seconds)
        await appender.open()
        return cls(database_url, shard, appender)

    async def close(self) -> None:
        """Commit what waits, then disconnect."""
        await self._appender.close()
        await self._streams.close()
        await self._log.close()

    @property
    def committed(self) -> list[Callable[[int], None]]:
        """Listeners that are called with the last position after each commit of this process."""
        return self._appender.committed

    async def append(self, writes: Sequence[StreamWrite], tracking: Tracking | None = None) -> tuple[Recorded, ...]:
        """See the port. Raises KeyError for an event that is not registered."""
        expected: dict[UUID, int] = {}
        reached: dict[UUID, int] = {}
        rows: list[Row] = []
        for write in writes:
            version = reached.setdefault(write.stream, write.expected)
            if version != write.expected:
                raise VersionConflict([write.stream])
            expected.setdefault(write.stream, version)
            for event in write.events:
                version += 1
                rows.append((write.stream, version, *codec.to_row(event)))
            reached[write.stream] = version
        position = await self._appender.append(rows, expected, tracking)
        done = []
        index = 0
        for write in writes:
            for event in write.events:
                name, schema = NAMES[type(event.data)]
                done.append(Recorded(position + index, write.stream, rows[index][1], name, schema, event.meta, event.data))
                index += 1
        return tuple(done)

    async def load(self, stream: UUID, after: int = 0) -> tuple[Recorded, ...]:
        """See the port."""
        rows = await self._streams.fetch(self._load, (stream, after))
        return tuple([codec.recorded(*row) for row in rows])

    async def read(self, after: int, limit: int = 1000) -> Page | None:
        """See the port."""
        previous, rows = await self.rows(after, limit)
        if not rows:
            return None
        return Page(previous, rows[0][0], rows[-1][0], tuple([codec.recorded(*row) for row in rows]))

    async def rows(self, after: int, limit: int = 1000) -> tuple[int, list[StoredRow]]:
        """The stored rows with position > after, at most `limit`, and the position before the first of them."""
        rows = await self._log.fetch(self._read, (after, limit + 1))
        if rows and rows[0][0] <= after:
            return rows[0][0], rows[1:]
        return 0, rows[:limit]

    async def head(self) -> int:
        """See the port."""
        return int((await self._log.fetch(self._head, ()))[0][0])

    async def tracked(self, agent: str) -> int:
        """See the port."""
        rows = await self._streams.fetch(self._tracked, (agent,))
        return int(rows[0][0]) if rows else 0

    async def time(self) -> datetime:
        """The store's clock, now (UTC)."""
        now: datetime = (await self._streams.fetch("select clock_timestamp()", ()))[0][0]
        return now.astimezone(UTC)


class _Reader:
    """Prepared binary reads on one connection, opened on first use; a lost one is replaced once per read."""

    def __init__(self, database_url: str) -> None:
        self._url = database_url
        self._connection: Connection | None = None
        self._opening = asyncio.Lock()

    async def fetch(self, sql: str, parameters: tuple[Any, ...]) -> list[Any]:
        """All rows of a query. Raises StoreUnavailable."""
        try:
            return await self._fetch(sql, parameters)
        except psycopg.Error as error:
            if self._connection is not None and not self._connection.closed:
                raise unavailable(error) from error
        try:
            return await self._fetch(sql, parameters)
        except psycopg.Error as error:
            raise unavailable(error) from error

    async def _fetch(self, sql: str, parameters: tuple[Any, ...]) -> list[Any]:
        async with self._opening:
            if self._connection is None or self._connection.closed:
                self._connection = await connect(self._url, session_name("reader"))
        cursor = self._connection.cursor(binary=True)
        await cursor.execute(sql.encode(), parameters, prepare=True)
        return await cursor.fetchall()

    async def close(self) -> None:
        """Disconnect."""
        if self._connection is not None:
            await self._connection.close()
