"""Builds a view anew from position 0 beside the live one and puts it in its place in one transaction.

The new tables grow in a schema of their own, so no reader ever sees a half-built view. The view's position row is locked
for the last stretch and the swap; a projector that works meanwhile finds another generation and starts afresh.
"""

import gc
from collections.abc import Iterator, Sequence
from contextlib import aclosing, contextmanager

from domain.envelope import Recorded
from domain.ports import Feed
from projections import rows
from projections.fold import Folder
from projections.rows import Connection, Statements
from projections.table import LIVE, REBUILD, View

PAGE_EVENTS = 4000
DIRTY_ROWS_MAX = 400_000
"""Rows held in memory before they are loaded; about 500 bytes each."""


async def rebuild(connection: Connection, feed: Feed, view: View) -> int:
    """Rebuild `view` up to where the live one stands; returns that position. The connection is in autocommit mode."""
    lock = f"ledgermill.rebuild.{view.name}"
    await connection.execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", (lock,))
    try:
        await _make_tables(connection, view)
        build = _Build(connection, feed, view)
        with _uncollected():
            await build.advance(await _position(connection, view))
        async with connection.transaction():
            await connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
            await _lock_tables(connection, view)
            position = await _position(connection, view, locked=True)
            await build.advance(position)
            await _swap(connection, view)
        return position
    finally:
        await connection.execute("SELECT pg_advisory_unlock(hashtextextended(%s, 0))", (lock,))


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

    def __init__(self, connection: Connection, feed: Feed, view: View) -> None:
        self.connection = connection
        self.feed = feed
        self.folder = Folder(view.tables, DIRTY_ROWS_MAX)
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
        for cache in self.folder.caches:
            if cache.missing:
                statements = self.statements[cache.table.name]
                keys = [slot.key for slot in cache.missing] if self.loaded else []
                cache.fill(await rows.read(self.connection, cache.table, statements, keys) if keys else [])
        self.folder.apply(steps)
        if sum(len(cache.dirty) for cache in self.folder.caches) >= DIRTY_ROWS_MAX:
            await self._load()

    async def _load(self) -> None:
        """Write what has changed: into bare tables the first time, which then get their indexes; by merge later."""
        async with self.connection.transaction():
            await self.connection.execute("SET LOCAL statement_timeout = 0")
            for cache in self.folder.caches:
                statements = self.statements[cache.table.name]
                if self.loaded:
                    await rows.merge(self.connection, cache.table, statements, cache.dirty)
                else:
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


async def _position(connection: Connection, view: View, *, locked: bool = False) -> int:
    """Where the live view stands; the rebuild has to get as far."""
    cursor = await connection.execute(
        "SELECT position FROM views.view_positions WHERE view = %s AND shard = 0 FOR UPDATE"
        if locked
        else "SELECT position FROM views.view_positions WHERE view = %s AND shard = 0",
        (view.name,),
    )
    found = await cursor.fetchone()
    return int(found[0]) if found else 0


async def _swap(connection: Connection, view: View) -> None:
    """Put the new tables in the place of the old ones."""
    for table in view.tables:
        await connection.execute(rows.sql(f"DROP TABLE IF EXISTS {LIVE}.{table.name}"))
        await connection.execute(rows.sql(f"ALTER TABLE {REBUILD}.{table.name} SET SCHEMA {LIVE}"))
    await connection.execute(
        "UPDATE views.view_positions SET digest = %s, generation = generation + 1, moved_at = clock_timestamp()"
        " WHERE view = %s AND shard = 0",
        (view.digest, view.name),
    )
