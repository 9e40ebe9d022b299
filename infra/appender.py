"""The one place that appends: group commit without a timer, on a connection of its own.

Idle, it commits a request at once; what arrives while a commit is under way is the next batch, bounded by events and
bytes. A conflict fails the requests it belongs to and nobody else: one query finds them, their neighbours are
committed again in their order. A request is answered after its commit, never before.

When the connection is lost in mid-commit the outcome is open. The appender then ends the old session (its name is
unique), so that nothing can commit any more, and looks whether the rows are there.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from uuid import UUID

import psycopg

from domain.histogram import Histogram
from domain.ports import CommitUnknown, StoreSilent, StoreUnavailable, Tracking, TrackingConflict, VersionConflict
from infra import append_call, conflicts, recovery
from infra.append_call import Request, Row, StoredRow
from infra.connections import Connection, alive, connect, session_name, unavailable
from infra.direct import Direct

EVENTS_MAX = 2_000
BYTES_MAX = 4 << 20
WAITING_BYTES_MAX = 64 << 20
PAUSE_SECONDS = 0.02
PAUSE_SECONDS_MAX = 1.0
COMMIT_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)
CONFLICTS = frozenset({append_call.STREAM_CONFLICT, append_call.AGENT_CONFLICT, append_call.UNIQUE_VIOLATION})


class Appender:
    """One shard's writer of this process. `append` may be called by many tasks of one event loop."""

    def __init__(self, database_url: str, shard: int, patience_seconds: float = 10.0) -> None:
        """patience_seconds: how long requests wait for a database that is away, before StoreUnavailable.

        Once it has been away for that long, a new request is refused at the first failure: whoever asks then has to learn
        it soon, a runner before its lease ends.
        """
        self._url = database_url
        self._shard = shard
        self._patience = patience_seconds
        self._statement = append_call.prepared(shard)
        self._waiting: deque[Request] = deque()
        self._waiting_bytes = 0
        self._wake = asyncio.Event()
        self._direct: Direct | None = None
        self._session = ""
        self._away_since: float | None = None
        self._task: asyncio.Task[None] | None = None
        self._closing = False
        self.committed: list[Callable[[Sequence[StoredRow]], None]] = []
        """Called with the rows of each commit of this process, after it."""
        self.commits = Histogram(COMMIT_SECONDS)
        """How long each commit of this process took, without what failed."""
        self.appended = 0
        """How many events they had."""

    async def open(self) -> None:
        """Connect and start. Raises StoreUnavailable."""
        await self._connect()
        self._task = asyncio.create_task(self._run(), name=f"appender {self._shard}")

    async def close(self) -> None:
        """Commit what waits, then stop."""
        self._closing = True
        self._wake.set()
        if self._task is not None:
            await self._task
        if self._direct is not None:
            await self._direct.connection.close()

    @property
    def pid(self) -> int:
        """The server's process id for the present session; 0 before the first."""
        return self._direct.connection.info.backend_pid if self._direct is not None and not self._direct.connection.closed else 0

    async def append(self, rows: list[Row], expected: dict[UUID, int], tracking: Tracking | None = None) -> int:
        """Append rows in one transaction; returns the first position (0 when there are no rows).

        expected: the version that each stream of `rows` has before. Raises VersionConflict, TrackingConflict,
        StoreUnavailable or CommitUnknown. A caller that is cancelled before its commit began has written nothing.
        """
        size = sum(len(row[3]) for row in rows)
        if self._closing or self._waiting_bytes + size > WAITING_BYTES_MAX:
            reason = "the store is closed" if self._closing else f"{self._waiting_bytes >> 20} MB wait to be written; try again"
            raise StoreSilent(f"STO006: {reason}.")
        done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting.append(Request(rows, expected, tracking, size, time.monotonic() + self._patience, done))
        self._waiting_bytes += size
        self._wake.set()
        return await done

    async def _run(self) -> None:
        while not (self._closing and not self._waiting):
            await self._wake.wait()
            self._wake.clear()
            while batch := self._take():
                try:
                    await self._commit(batch)
                except Exception as error:  # noqa: BLE001 - whatever it is, it belongs to the callers; the writer lives on
                    _fail(batch, error)

    def _take(self) -> list[Request]:
        """The next batch: in order, up to the bounds, and no stream or agent twice."""
        batch: list[Request] = []
        streams: set[UUID] = set()
        agents: set[str] = set()
        events = size = 0
        while self._waiting:
            request = self._waiting[0]
            if request.done.done():
                self._waiting_bytes -= self._waiting.popleft().bytes
                continue
            full = events + len(request.rows) > EVENTS_MAX or size + request.bytes > BYTES_MAX
            again = not streams.isdisjoint(request.expected) or (request.tracking is not None and request.tracking.agent in agents)
            if batch and (full or again):
                break
            self._waiting.popleft()
            self._waiting_bytes -= request.bytes
            batch.append(request)
            streams.update(request.expected)
            if request.tracking is not None:
                agents.add(request.tracking.agent)
            events += len(request.rows)
            size += request.bytes
        return batch

    async def _commit(self, batch: list[Request]) -> None:
        """Commit a batch, whatever it takes; afterwards every request is answered."""
        while batch:
            direct = await self._connected(batch)
            if direct is None:
                return
            try:
                first = await self._call(direct, batch)
            except psycopg.Error as error:
                if direct.connection.closed:
                    if await self._committed_after_all(batch) or not self._still_patient(batch, unavailable(error)):
                        return
                elif error.sqlstate in CONFLICTS:
                    batch = await self._without_losers(direct.connection, batch, error)
                elif isinstance(error, psycopg.OperationalError | psycopg.errors.ReadOnlySqlTransaction) or len(batch) == 1:
                    _fail(batch, unavailable(error))
                    return
                else:
                    for request in batch:
                        await self._commit([request])
                    return
            else:
                self._answer(batch, first)
                return

    async def _call(self, direct: Direct, batch: Sequence[Request]) -> int:
        rows = [row for request in batch for row in request.rows]
        parameters = append_call.parameters(rows, [request.tracking for request in batch if request.tracking is not None])
        began = time.monotonic()
        rows_found = await direct.run(self._statement, [parameter.content for parameter in parameters])
        self.commits.observe(time.monotonic() - began)
        return int(rows_found[0][0])

    def _answer(self, batch: Sequence[Request], first: int) -> None:
        position = first
        for request in batch:
            if not request.done.done():
                request.done.set_result(position if request.rows else 0)
            position += len(request.rows)
        self.appended += position - first
        if position > first and self.committed:
            rows = [(place, *row) for place, row in enumerate((row for request in batch for row in request.rows), first)]
            for listener in self.committed:
                listener(rows)

    async def _without_losers(self, connection: Connection, batch: list[Request], error: psycopg.Error) -> list[Request]:
        """Fail the requests whose stream or agent has moved on; returns the others."""
        wanted = {stream: version for request in batch for stream, version in request.expected.items()}
        moves = [request.tracking for request in batch if request.tracking is not None]
        try:
            streams = await conflicts.moved_streams(connection, self._shard, wanted)
            agents = await conflicts.moved_agents(connection, self._shard, moves)
        except psycopg.Error as second:
            _fail(batch, unavailable(second))
            return []
        rest = []
        for request in batch:
            lost = [stream for stream in request.expected if stream in streams]
            if lost:
                _fail([request], VersionConflict(lost))
            elif request.tracking is not None and request.tracking.agent in agents:
                _fail([request], TrackingConflict(f"{request.tracking.agent} is not at {request.tracking.before}"))
            else:
                rest.append(request)
        if len(rest) == len(batch):
            _fail(
                batch, StoreUnavailable(f"STO007: the log refuses rows that do not exist ({error}). Help: its sequence may be behind it.")
            )
            return []
        return rest

    async def _connected(self, batch: list[Request]) -> Direct | None:
        """A live connection, or None after every request of the batch ran out of patience."""
        pause = PAUSE_SECONDS
        while self._direct is None or not alive(self._direct.connection):
            try:
                await self._connect()
            except StoreUnavailable as error:
                if not self._still_patient(batch, error):
                    return None
                await asyncio.sleep(pause)
                pause = min(pause * 2, self._patience / 8, PAUSE_SECONDS_MAX)
        return self._direct

    async def _connect(self) -> Connection:
        if self._direct is not None:
            await self._direct.connection.close()
        session = session_name("appender")
        try:
            self._direct = Direct(await connect(self._url, session))
        except StoreUnavailable:
            self._away_since = self._away_since or time.monotonic()
            raise
        self._session = session
        self._away_since = None
        return self._direct.connection

    async def _committed_after_all(self, batch: list[Request]) -> bool:
        """After a connection was lost in mid-commit: end its session, then look. False: nothing was written; try again."""
        give_up_at = time.monotonic() + self._patience
        lost_session = self._session
        pause = PAUSE_SECONDS
        while time.monotonic() < give_up_at:
            try:
                connection = await self._connect()
                await recovery.end_session(connection, lost_session)
                found = await recovery.find(connection, self._shard, batch)
            except (psycopg.Error, StoreUnavailable):
                await asyncio.sleep(pause)
                pause = min(pause * 2, self._patience / 8, PAUSE_SECONDS_MAX)
                continue
            if found is not None:
                self._answer(batch, found)
            return found is not None
        _fail(batch, CommitUnknown("STO008: the connection was lost during the commit. Help: repeat the command; it acts once."))
        return True

    def _still_patient(self, batch: list[Request], error: StoreUnavailable) -> bool:
        """Fail the requests that have waited long enough and drop them from the batch. False: none is left."""
        now = time.monotonic()
        known = self._away_since is not None and now - self._away_since >= self._patience
        _fail([request for request in batch if known or request.give_up_at <= now], error)
        batch[:] = [request for request in batch if not request.done.done()]
        return bool(batch)


def _fail(batch: Sequence[Request], error: Exception) -> None:
    for request in batch:
        if not request.done.done():
            request.done.set_exception(type(error)(*error.args) if isinstance(error, StoreUnavailable) else error)
