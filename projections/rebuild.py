"""Builds a view anew from position 0 beside the live one and puts it in its place in one transaction.

The new tables grow in a schema of their own, so no reader ever sees a half-built view. The view's position row is locked
for the last stretch and the swap; a projector that works meanwhile finds another generation and starts afresh. The swap
never waits in the queue of a table's lock, where it would hold up every reader behind it: it gives up at once, and tries
again when the reads of before have ended. What cannot be folded is parked as in the live view.
"""

import asyncio
import gc
import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import aclosing, contextmanager

import psycopg

from domain.envelope import Recorded
from domain.ports import Feed
from projections import parking, positions, rows
from projections.fold import Folder
from projections.rows import Connection, Statements
from projections.table import LIVE, REBUILD, View

PAGE_EVENTS = 4000
DIRTY_ROWS_MAX = 400_000
"""Rows held in memory before they are loaded; about 500 bytes each."""

CATCH_UPS_MAX = 20
"""How often the log that grew meanwhile is folded before the live view is held still for the rest."""

SWAP_LOCK_MILLISECONDS = 50
SWAP_PAUSE_SECONDS = 0.1
SWAP_SECONDS_MAX = 300.0

_log = logging.getLogger("ledgermill.rebuild")


async def rebuild(connection: Connection, feed: Feed, view: View) -> int:
    """Rebuild `view` up to where the live one stands; returns that position. The connection is in autocommit mode.

    Raises psycopg.errors.LockNotAvailable when reads of the live view did not end for SWAP_SECONDS_MAX.
    """
    lock = f"ledgermill.rebuild.{view.name}"
    await connection.execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", (lock,))
    try:
        try:
            return await _rebuilt(connection, view, _Build(connection, feed, view))
        except rows.UNFOLDABLE as error:
            _log.warning("view %s is rebuilt with care, an event cannot be folded: %s", view.name, error)
            return await _rebuilt(connection, view, _Build(connection, feed, view, careful=True))
    finally:
        await connection.execute("SELECT pg_advisory_unlock(hashtextextended(%s, 0))", (lock,))


async def _rebuilt(connection: Connection, view: View, build: "_Build") -> int:
    await _make_tables(connection, view)
    with _uncollected():
        for _ in range(CATCH_UPS_MAX):
            position = next((place.position for place in await positions.places(connection) if place.view == view.name), 0)
            done = build.position
            await build.advance(position)
            if position - done < PAGE_EVENTS:
                break
    for table in view.tables:
        await connection.execute(rows.sql(f"ANALYZE {REBUILD}.{table.name}"))
    ends = time.monotonic() + SWAP_SECONDS_MAX
    while True:
        async with connection.transaction():
            await connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
            await _lock_tables(connection, view)
            place = await positions.hold(connection, view.name)
            position = place.position if place else 0
            await build.advance(position)
            try:
                async with connection.transaction():
                    await _swap(connection, view)
                    await parking.replace(connection, view.name, build.folder.parked.values())
            except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
                if time.monotonic() > ends:
                    raise
            else:
                return position
        await asyncio.sleep(SWAP_PAUSE_SECONDS)  # a read that holds a table tells nobody when it ends


@contextmanager
def _uncollected() -> Iterator[None]:
    """No garbage collection meanwhile: events and rows form no cycles, and looking for some takes half of a rebuild's time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


class _Build:
    """The tables as they grow."""

    def __init__(self, connection: Connection, feed: Feed, view: View, *, careful: bool = False) -> None:
        self.connection = connection
        self.feed = feed
        self.folder = Folder(view.tables, DIRTY_ROWS_MAX, careful=careful)
        self.statements = {table.name: Statements(table, REBUILD) for table in view.tables}
        self.position = 0
        self.loaded = False

    async def advance(self, to: int) -> None:
        """Fold and load everything up to position `to`, which is in the log."""
        if self.position < to:
            async with aclosing(self.feed.pages(self.position, PAGE_EVENTS)) as pages:  # type: ignore[type-var]  # feeds are generators
                async for page in pages:
                    await self._fold([event for event in page.events if event.position <= to] if page.last > to else page.events)
                    if page.last >= to:
                        break
            self.position = to
        await self._load()

    async def _fold(self, events: Sequence[Recorded]) -> None:
        steps = self.folder.claim(events)
        caches = [cache for cache in self.folder.caches if cache.missing]
        wanted = [(cache.table, self.statements[cache.table.name], cache.missing_keys) for cache in caches]
        found = await rows.read(self.connection, wanted) if self.loaded else [[] for _ in caches]
        for cache, each in zip(caches, found, strict=True):
            cache.fill(each)
        self.folder.apply(steps)
        if sum(len(cache.dirty) for cache in self.folder.caches) >= DIRTY_ROWS_MAX:
            await self._load()

    async def _load(self) -> None:
        """Write what has changed: into bare tables the first time, which then get their indexes; by merge later."""
        async with self.connection.transaction():
            await self.connection.execute("SET LOCAL statement_timeout = 0")
            for cache in self.folder.caches:
                statements = self.statements[cache.table.name]
                if self.loaded and cache.dirty:
                    await rows.merge(self.connection, cache.table, statements, cache.dirty)
                elif not self.loaded:
                    cache.forget_absent()
                    await rows.load(self.connection, cache.table, statements.copy, cache.dirty)
                    await self.connection.execute(rows.sql(cache.table.index(REBUILD)))
                cache.written()
        self.loaded = True


async def _make_tables(connection: Connection, view: View) -> None:
    """Empty tables; what an interrupted rebuild left is removed."""
    async with connection.transaction():
        for table in view.tables:
            await connection.execute(rows.sql(f"DROP TABLE IF EXISTS {REBUILD}.{table.name}"))
            await connection.execute(rows.sql(table.create(REBUILD)))


async def _lock_tables(connection: Connection, view: View) -> None:
    """Keep a projector out, and no reader: its one statement takes the tables before the position, so this does too."""
    for table in view.tables:
        cursor = await connection.execute("SELECT to_regclass(%s)", (f"{LIVE}.{table.name}",))
        found = await cursor.fetchone()
        if found is not None and found[0] is not None:
            await connection.execute(rows.sql(f"LOCK TABLE {LIVE}.{table.name} IN EXCLUSIVE MODE"))


async def _swap(connection: Connection, view: View) -> None:
    """Put the new tables in the place of the old ones. Raises LockNotAvailable while somebody reads."""
    await connection.execute(rows.sql(f"SET LOCAL lock_timeout = {SWAP_LOCK_MILLISECONDS}"))
    for table in view.tables:
        await connection.execute(rows.sql(f"DROP TABLE IF EXISTS {LIVE}.{table.name}"))
        await connection.execute(rows.sql(f"ALTER TABLE {REBUILD}.{table.name} SET SCHEMA {LIVE}"))
    await positions.renew(connection, view.name, view.digest)
