"""Keeps views up to date: folds pages of the feed and commits rows and position together.

One projector carries several views over one feed and one connection, because decoding a page costs more than folding it.
A page's net change goes out as one statement, with the move of the position, in one round trip. The position is moved by
compare, so two projectors can never both apply a page; a session advisory lock per view only spares the second one the
work. A view is never ahead of the log: it may lose its last commits in a crash and folds them again.

An event that cannot be folded parks its stream in that view, and nothing else: the page is folded once more by a careful
folder, which commits what can be folded, with the parked stream and its error beside it.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import aclosing
from typing import Any

import psycopg

from domain.envelope import Recorded
from domain.ports import Feed, Page, StoreUnavailable
from projections import parking, positions, rows
from projections.fold import Folder
from projections.positions import Moved, Place
from projections.rebuild import rebuild
from projections.rows import Connection, Statements
from projections.table import LIVE, View

Connect = Callable[[], Awaitable[Connection]]
"""Makes a connection of its own, which the projector closes."""

PAGE_EVENTS_MAX = 1000
CACHED_ROWS_MAX = 20_000
STANDBY_SECONDS = 1.0
RETRY_SECONDS = 0.5
LOOK_SECONDS = 1.0
"""How often the connection is looked at."""

_log = logging.getLogger("ledgermill.projector")


class Projector:
    """Runs `views` until cancelled. Any number of processes may run the same one; one of them works."""

    def __init__(self, connect: Connect, feed: Feed, views: Sequence[View]) -> None:
        self._connect = connect
        self._feed = feed
        self._views = tuple(views)
        self._statements = {table.name: Statements(table, LIVE) for view in views for table in view.tables}

    async def prepare(self) -> None:
        """Make the tables that are not there yet, so that readers find them. `run` does it too."""
        connection = await self._connect()
        try:
            await positions.prepare(connection, self._views)
        finally:
            await connection.close()

    async def run(self) -> None:
        """Work until cancelled. A lost database or a view that was moved by others is met by starting afresh."""
        while True:
            try:
                await self._session()
            except Moved:
                continue
            except (psycopg.OperationalError, StoreUnavailable, OSError) as error:
                _log.warning("views stand still: %s", error)
                await asyncio.sleep(RETRY_SECONDS)

    async def _session(self) -> None:
        """One connection's life."""
        connection = await self._connect()
        try:
            await connection.set_autocommit(True)
            await connection.execute("SET synchronous_commit = off")
            await positions.prepare(connection, self._views)
            while not await self._elected(connection):  # noqa: ASYNC110 - a lock in the database tells nobody that it is free
                await asyncio.sleep(STANDBY_SECONDS)
            await self._renew(connection)
            await while_connected(connection, self._follow(connection))
        finally:
            await connection.close()

    async def _elected(self, connection: Connection) -> bool:
        """Whether this session holds the lock of every view; otherwise it holds none."""
        for view in self._views:
            cursor = await connection.execute("SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", (f"ledgermill.view.{view.name}",))
            found = await cursor.fetchone()
            if found is None or not found[0]:
                await connection.execute("SELECT pg_advisory_unlock_all()")
                return False
        return True

    async def _renew(self, connection: Connection) -> None:
        """Rebuild the views whose tables were made from another definition."""
        made = {place.view: place.digest for place in await positions.places(connection)}
        for view in self._views:
            if made[view.name] != view.digest:
                _log.info("view %s has a new definition and is rebuilt", view.name)
                await rebuild(connection, self._feed, view)

    async def _follow(self, connection: Connection) -> None:
        """Fold page after page from the place of the view that is furthest behind."""
        names = {view.name for view in self._views}
        standing = {place.view: place for place in await positions.places(connection) if place.view in names}
        folders = {
            view.name: Folder(view.tables, CACHED_ROWS_MAX, parked=await parking.parked_in(connection, view.name)) for view in self._views
        }
        start = min(place.position for place in standing.values())
        async with aclosing(self._feed.pages(start, PAGE_EVENTS_MAX)) as pages:  # type: ignore[type-var]  # feeds are generators
            async for page in pages:
                await self._apply(connection, page, standing, folders)

    async def _apply(self, connection: Connection, page: Page, standing: dict[str, Place], folders: dict[str, Folder]) -> None:
        """Commit one page for all views that have not seen the whole of it."""
        behind = [place for place in standing.values() if place.position < page.last]
        try:
            await self._commit(connection, page, behind, folders)
        except rows.UNFOLDABLE:
            for place in behind:
                folders[place.view].forget()
                folders[place.view].careful = True
            await self._commit(connection, page, behind, folders)
        for place in behind:
            standing[place.view] = Place(place.view, page.last, place.digest, place.generation)
            folder = folders[place.view]
            if folder.careful:
                folder.careful = False
                _tell(place.view, page, folder)
            folder.written()

    async def _commit(self, connection: Connection, page: Page, behind: Sequence[Place], folders: dict[str, Folder]) -> None:
        """Fold a page, and write what it changes together with the position."""
        await self._fold(connection, [(folders[place.view], unseen(page, place.position)) for place in behind])
        changes: list[rows.Part] = []
        for place in behind:
            folder = folders[place.view]
            for cache in folder.caches:
                changes += rows.changes(cache.table, self._statements[cache.table.name], cache.dirty)
            changes += parking.changes(place.view, folder)
        await positions.move(connection, behind, page.last, changes)

    async def _fold(self, connection: Connection, work: Sequence[tuple[Folder, Sequence[Recorded]]]) -> None:
        """Change the rows in memory, after one look into the database for all that are not there."""
        claimed = [(folder, folder.claim(events)) for folder, events in work]
        caches = [cache for folder, _ in work for cache in folder.caches if cache.missing]
        found = await rows.read(connection, [(cache.table, self._statements[cache.table.name], cache.missing_keys) for cache in caches])
        for cache, each in zip(caches, found, strict=True):
            cache.fill(each)
        for folder, steps in claimed:
            folder.apply(steps)


async def while_connected(connection: Connection, work: Coroutine[Any, Any, None]) -> None:
    """Do the work until it ends or its connection is lost, which raises psycopg.OperationalError.

    A database that dies takes the last commits of the views with it (synchronous_commit is off). Where no event follows,
    nothing would be written that could fail, and the views would stay behind: deadlines too, so that no event ever follows.
    """
    working = asyncio.ensure_future(work)
    try:
        while not (await asyncio.wait({working}, timeout=LOOK_SECONDS))[0]:
            await connection.execute("SELECT 1", prepare=True)
        await working
    finally:
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)


def unseen(page: Page, position: int) -> Sequence[Recorded]:
    """The events of a page after `position`."""
    return page.events if page.previous >= position else [event for event in page.events if event.position > position]


def _tell(view: str, page: Page, folder: Folder) -> None:
    """Log which streams this page has parked."""
    for each in map(folder.parked.__getitem__, folder.noted):
        if each.position >= page.first:
            _log.error("view %s parks stream %s at position %d (%s): %s", view, each.stream, each.position, each.type, each.error)
