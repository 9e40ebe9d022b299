"""The Postgres event store: one shard's log behind the port `EventStore`.

Writing goes through the appender, reading through connections of their own: one for streams (commands wait for it), one
for pages (large, may wait), and, once somebody asks for them, one for the stories of runs (large too). Everything else
that touches the event table lives in infra too and calls the same append function; nothing updates or deletes an event.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from uuid import UUID

import psycopg

from domain.envelope import Recorded
from domain.events import NAMES
from domain.histogram import Histogram
from domain.ports import Page, StreamWrite, Tracking, VersionConflict
from infra import codec
from infra.append_call import Row, StoredRow
from infra.appender import Appender
from infra.arrays import Uuids
from infra.connections import connect, session_name, unavailable
from infra.direct import BIGINT_OID, TEXT_OID, UUID_OID, Statement, bigint
from infra.migrations import migrate
from infra.reader import Reader

CLOCK = Statement(b"clock", b"select clock_timestamp()")
COLUMNS = "notification_id, originator_id, originator_version, topic, state"


class PostgresEventStore:
    """See domain.ports.EventStore. Construct with `open`, end with `close`; belongs to one event loop."""

    def __init__(self, database_url: str, shard: int, appender: Appender) -> None:
        table = f"public.events_{int(shard)}"
        self.database_url = database_url
        self.shard = shard
        self._appender = appender
        self._streams = Reader(database_url)
        self._stories = Reader(database_url)
        self._log = Reader(database_url)
        self._next: tuple[tuple[int, int], asyncio.Task[list[StoredRow]]] | None = None
        self._load = _statement(
            "load",
            f"select {COLUMNS} from {table} where originator_id = $1 and originator_version > $2 order by originator_version",  # noqa: S608 - the shard is an integer
            UUID_OID,
            BIGINT_OID,
        )
        self._load_only = _statement(
            "load_only",
            f"select {COLUMNS} from {table} where originator_id = $1 and originator_version > $2"  # noqa: S608 - see above
            " and split_part(topic, '.v', 1) = any(string_to_array($3, ' ')) order by originator_version",
            UUID_OID,
            BIGINT_OID,
            TEXT_OID,
        )
        # Each stream by the primary key, whatever the planner thinks of the table's size: `offset` keeps it from becoming a join.
        self._load_streams = _statement(
            "load_streams",
            f"select {COLUMNS} from unnest($1) as w(stream), lateral (select {COLUMNS} from {table}"  # noqa: S608 - see above
            " where originator_id = w.stream and originator_version > 0 and notification_id <= $2"
            " and topic <> all(string_to_array($3, ' ')) order by originator_version offset 0) as e order by notification_id",
            Uuids.oid,
            BIGINT_OID,
            TEXT_OID,
        )
        self._read = _statement(
            "read",
            f"select {COLUMNS} from {table} where notification_id >= coalesce((select max(notification_id)"  # noqa: S608 - see above
            f" from {table} where notification_id <= $1), 0) order by notification_id limit $2",
            BIGINT_OID,
            BIGINT_OID,
        )
        self._head = _statement("head", f"select coalesce(max(notification_id), 0) from {table}")  # noqa: S608 - see above
        self._tracked = _statement("tracked", f"select position from public.tracking_{int(shard)} where agent = $1", TEXT_OID)  # noqa: S608 - see above

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

    async def connect(self) -> None:
        """Open the connections for reading now instead of at their first use. Raises StoreUnavailable."""
        for reader in (self._streams, self._stories, self._log):
            await reader.fetch(CLOCK)

    async def close(self) -> None:
        """Commit what waits, then disconnect."""
        await self._appender.close()
        if self._next is not None:
            self._next[1].cancel()
            await asyncio.wait({self._next[1]})
        await self._streams.close()
        await self._stories.close()
        await self._log.close()

    @property
    def committed(self) -> list[Callable[[Sequence[StoredRow]], None]]:
        """Listeners that are called with the rows of each commit of this process, after it."""
        return self._appender.committed

    @property
    def commits(self) -> Histogram:
        """How long each commit of this process took, in seconds."""
        return self._appender.commits

    @property
    def appended(self) -> int:
        """How many events this process committed."""
        return self._appender.appended

    @property
    def writer(self) -> int:
        """The server's process id for the session that appends; another one after a lost connection."""
        return self._appender.pid

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
        rows = await self._streams.fetch(self._load, (stream.bytes, bigint(after)))
        return tuple(codec.events(rows))

    async def load_only(self, stream: UUID, types: Sequence[type], after: int = 0) -> tuple[Recorded, ...]:
        """See the port."""
        names = " ".join([NAMES[each][0] for each in types])
        rows = await self._streams.fetch(self._load_only, (stream.bytes, bigint(after), names.encode()))
        return tuple(codec.events(rows))

    async def load_streams(self, streams: Sequence[UUID], through: int, besides: Sequence[type] = ()) -> tuple[Recorded, ...]:
        """See the port."""
        topics = " ".join([codec.TOPICS[each] for each in besides])
        rows = await self._stories.fetch(self._load_streams, (Uuids.of(streams).content, bigint(through), topics.encode()))
        return tuple(codec.events(rows))

    async def stored(self, streams: Sequence[UUID], through: int) -> Sequence[StoredRow]:
        """The rows of several streams with position <= through, in position order, as the log holds them."""
        rows: list[StoredRow] = await self._stories.fetch(self._load_streams, (Uuids.of(streams).content, bigint(through), b""))
        return rows

    async def read(self, after: int, limit: int = 1000) -> Page | None:
        """See the port."""
        previous, rows = await self.rows(after, limit)
        if not rows:
            return None
        if len(rows) == limit:
            await self._look_ahead(rows[-1][0], limit)
        return Page(previous, rows[0][0], rows[-1][0], tuple(codec.events(rows)))

    async def rows(self, after: int, limit: int = 1000) -> tuple[int, list[StoredRow]]:
        """The stored rows with position > after, at most `limit`, and the position before the first of them."""
        rows = await self._ahead(after, limit) or await self._log.fetch(self._read, (bigint(after), bigint(limit + 1)))
        if rows and rows[0][0] <= after:
            return rows[0][0], rows[1:]
        return 0, rows[:limit]

    async def _look_ahead(self, after: int, limit: int) -> None:
        """Ask for the next page before this one is decoded: who reads a full page reads on, and the server need not wait."""
        parameters = (bigint(after), bigint(limit + 1))
        task = asyncio.create_task(self._log.fetch(self._read, parameters))
        task.add_done_callback(_look)
        self._next = (after, limit), task
        await asyncio.sleep(0)  # the question leaves now, not after the decoding

    async def _ahead(self, after: int, limit: int) -> list[StoredRow]:
        """The page that was asked for ahead, if it is this one. Nothing, where it found nothing beyond: there may be more by now."""
        if self._next is None or self._next[0] != (after, limit):
            return []
        _, reading = self._next
        self._next = None
        rows: list[StoredRow] = await reading
        return rows if rows and rows[-1][0] > after else []

    async def head(self) -> int:
        """See the port."""
        return int((await self._log.fetch(self._head))[0][0])

    async def tracked(self, agent: str) -> int:
        """See the port."""
        rows = await self._streams.fetch(self._tracked, (agent.encode(),))
        return int(rows[0][0]) if rows else 0

    async def time(self) -> datetime:
        """The store's clock, now (UTC)."""
        now: datetime = (await self._streams.fetch(CLOCK))[0][0]
        return now.astimezone(UTC)


def _statement(name: str, sql: str, *oids: int) -> Statement:
    return Statement(name.encode(), sql.encode(), oids)


def _look(done: asyncio.Task[list[StoredRow]]) -> None:
    """A page that nobody asked for in the end may have failed."""
    if not done.cancelled():
        done.exception()
