"""Proves views against the log: folds the events again in memory and compares every cell (invariant 9).

What is compared is read in one snapshot with the view's position, so a projector at work does no harm; where a rebuild has
put new tables in place meanwhile, which that snapshot cannot see into, it is all read again. The events come from the log
and never by way of a view, since the view is what is in doubt. Of a stream that is parked in a view only what came before
is expected there, and the answer names it.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

import msgspec

from domain import ids
from domain.envelope import Recorded
from domain.ports import EventStore
from projections import parking, positions
from projections.fold import Folder, Parked, folded, rows_of
from projections.parking import ParkedStream
from projections.positions import Connections, Place
from projections.rows import Connection, Statements, clean, encode, key_object
from projections.table import LIVE, Key, Row, Table, View

PAGE_EVENTS = 10_000
SWAPS_MAX = 10


class Difference(msgspec.Struct, frozen=True):
    """Where a view is not the fold. column: None where a whole row is missing (found None) or was added (expected None)."""

    view: str
    table: str
    key: dict[str, Any]
    column: str | None
    expected: Any
    found: Any


class Verification(msgspec.Struct, frozen=True):
    """What was compared: events of the log, rows of the views at `position`, and the differences. parked: in any view."""

    position: int
    events: int
    rows: int
    differences: tuple[Difference, ...]
    parked: tuple[ParkedStream, ...] = ()


class Snapshot(msgspec.Struct, frozen=True):
    """One state of all views: where each stood, and what waited in it."""

    places: dict[str, Place]
    parked: dict[str, list[Parked]]
    told: tuple[ParkedStream, ...]


class SwappedError(Exception):
    """A rebuild put new tables in place while they were read."""


async def verify_store(connections: Connections, store: EventStore, views: Sequence[View]) -> Verification:
    """Compare all rows of these views with a fold from position 0. Holds all expected rows in memory."""

    async def compared(connection: Connection, state: Snapshot) -> Verification:
        folders = {view.name: Folder(view.tables, 0, parked=state.parked[view.name], careful=True) for view in views}
        through = max((state.places[view.name].position for view in views), default=0)
        count = 0
        async for events in _log(store, through):
            count += len(events)
            for view in views:
                reached = state.places[view.name].position
                folders[view.name].apply(folders[view.name].claim([event for event in events if event.position <= reached]))
        differences: list[Difference] = []
        rows = 0
        for view in views:
            expected = rows_of(folders[view.name])
            for table in view.tables:
                found = [text async for text in _texts(connection, table)]
                rows += len(found)
                differences += compare(view, table, expected[table.name], found)
        return Verification(through, count, rows, tuple(differences), state.told)

    return await _in_one_state(connections, views, compared)


async def verify_run(
    connections: Connections, store: EventStore, views: Sequence[View], run: UUID, events: Sequence[Recorded]
) -> Verification:
    """Compare the rows of one run with the fold of its own events. events: of the run's stream and its jobs' streams, in order.

    Rows that claim the run and belong to no event of it are found too; so are the rows of the runners, the workflow and
    the repository that the run names.
    """
    around = await _around(store, events)

    async def compared(connection: Connection, state: Snapshot) -> Verification:
        differences: list[Difference] = []
        rows = 0
        for view in views:
            seen = [event for event in around if event.position <= state.places[view.name].position]
            made = rows_of(folded(view.tables, seen, state.parked[view.name]))
            for table in view.tables:
                expected = {key: row for key, row in made[table.name].items() if table.scope is None or getattr(row, table.scope) == run}
                found = await _scoped(connection, table, run, expected)
                rows += len(found)
                differences += compare(view, table, expected, found)
        position = max((place.position for place in state.places.values()), default=0)
        return Verification(position, len(events), rows, tuple(differences), state.told)

    return await _in_one_state(connections, views, compared)


async def _in_one_state(
    connections: Connections, views: Sequence[View], compared: Callable[[Connection, Snapshot], Awaitable[Verification]]
) -> Verification:
    """Compare in one snapshot whose tables were not replaced before they were read."""
    for _ in range(SWAPS_MAX):
        async with connections() as connection:
            async with connection.transaction():
                state = await _snapshot(connection, views)
                found = await compared(connection, state)
            after = {place.view: place.generation for place in await positions.places(connection)}
        if all(after[view.name] == state.places[view.name].generation for view in views):
            return found
    raise SwappedError(f"the views were rebuilt {SWAPS_MAX} times while they were compared")


def compare(view: View, table: Table, expected: Mapping[Key, Row], found: Iterable[str]) -> list[Difference]:
    """Every cell that differs, every row that is missing and every row that was added. found: rows as JSON text."""
    differences: list[Difference] = []
    missing = dict(expected)
    for text in found:
        cells = _cells(table, text)
        key = tuple(cells[column] for column in table.key) if len(table.key) > 1 else cells[table.key[0]]
        row = missing.pop(key, None)
        named = msgspec.to_builtins(key_object(table, key))
        if row is None:
            differences.append(Difference(view.name, table.name, named, None, None, msgspec.to_builtins(cells)))
            continue
        for column, should in msgspec.structs.asdict(clean(table, [row])[0]).items():
            if cells[column] != should:
                values = msgspec.to_builtins(should), msgspec.to_builtins(cells[column])
                differences.append(Difference(view.name, table.name, named, column, *values))
    for key, row in missing.items():
        named = msgspec.to_builtins(key_object(table, key))
        differences.append(Difference(view.name, table.name, named, None, msgspec.to_builtins(row), None))
    return differences


def _cells(table: Table, text: str) -> dict[str, Any]:
    """The cells of a row, typed; a cell that no fold could have made keeps its JSON value."""
    try:
        return msgspec.structs.asdict(msgspec.json.decode(text, type=table.row))
    except msgspec.ValidationError:
        raw = msgspec.json.decode(text)
    cells = {}
    for field in msgspec.structs.fields(table.row):
        try:
            cells[field.name] = msgspec.convert(raw.get(field.name), field.type, strict=True)
        except msgspec.ValidationError:
            cells[field.name] = raw.get(field.name)
    return cells


async def _snapshot(connection: Connection, views: Sequence[View]) -> Snapshot:
    """Begin to read one state of all views."""
    await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
    await connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
    await connection.execute("SET LOCAL statement_timeout = 0")
    places = {place.view: place for place in await positions.places(connection)}
    parked = {view.name: await parking.parked_in(connection, view.name) for view in views}
    return Snapshot(places, parked, tuple(await parking.parked_streams(connection)))


async def _log(store: EventStore, through: int) -> AsyncIterator[Sequence[Recorded]]:
    after = 0
    while after < through and (page := await store.read(after, PAGE_EVENTS)) is not None:
        yield page.events
        after = page.last


async def _texts(connection: Connection, table: Table) -> AsyncIterator[str]:
    async with connection.cursor(name=f"verify_{table.name}") as cursor:
        await cursor.execute(Statements(table, LIVE).all)
        async for row in cursor:
            yield row[0]


async def _scoped(connection: Connection, table: Table, run: UUID, expected: Mapping[Key, Row]) -> list[str]:
    """The rows with the expected keys, and those that claim the run."""
    statements = Statements(table, LIVE)
    keys = encode([key_object(table, key) for key in expected])
    cursor = await connection.execute(statements.texts_of, (keys,) if table.scope is None else (keys, run))
    return [row[0] for row in await cursor.fetchall()]


async def _around(store: EventStore, events: Sequence[Recorded]) -> list[Recorded]:
    """The run's events and those of the streams that it names, in position order."""
    streams: dict[UUID, None] = {}
    for event in events:
        for field in ("runner", "workflow", "repository", "group"):
            named = getattr(event.data, field, None)
            if isinstance(named, UUID):
                streams[named] = None
        streams[ids.audit_id(event.meta.tenant, event.meta.at.date().isoformat())] = None
    found = {event.position: event for event in events}
    for stream in streams:
        found.update((event.position, event) for event in await store.load(stream))
    return [found[position] for position in sorted(found)]
