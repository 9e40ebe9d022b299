"""Rebuild of the status view from position 0, on a log in which many runs lie side by side.

References: the same view, row by row, as a projection is first written (one upsert for each touched row, a commit every
1,000 events; the rows are kept in memory, so it reads nothing back), and the log merely copied out of the server, which
no rebuild outside the server can beat.
"""

import time
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import psycopg

from bench import history
from bench.harness import Goal, Row, alternate, judge
from bench.place import Place
from domain.envelope import Recorded
from infra.connections import connect, session_name
from infra.event_store import COLUMNS, PostgresEventStore
from infra.feed import PostgresFeed
from projections import positions
from projections.fold import Folder
from projections.rebuild import rebuild
from projections.rows import Connection
from projections.status import STATUS
from projections.table import LIVE, Table

EVENTS = 200_000
ROW_BY_ROW_EVENTS = 10_000
COMMIT_EVENTS = 1_000
ROW_BY_ROW = f"row by row, a commit every {COMMIT_EVENTS}"
COPY_OUT = "COPY of the log out of the server"
CASE = f"status view, {EVENTS:,} events"
GOALS = (
    Goal(id="rebuild", case=CASE, unit="ev/s", must=8, aim=20, reference=ROW_BY_ROW),
    Goal(id="rebuild", case=CASE, unit="ev/s", must=0.08, aim=0.15, reference=COPY_OUT),
)


async def measure(place: Place) -> AsyncIterator[Row]:
    """Both references in turn with ours, on one log."""
    url = place.database()
    events = await history.fill(url, EVENTS, place.directory)
    store = await PostgresEventStore.open(url)
    feed = await PostgresFeed.open(store)
    connection = await connect(url, session_name("bench"))
    with psycopg.connect(url, autocommit=True) as plain:
        plain.execute("vacuum analyze public.events_0")
        await positions.prepare(connection, (STATUS,))
        await connection.execute("update views.view_positions set position = %s", (await store.head(),))
        rounds = await alternate(
            {
                "ours": lambda: _rebuild(connection, feed, events),
                ROW_BY_ROW: lambda: _row_by_row(plain, store),
                COPY_OUT: lambda: _copy_out(plain, events),
            },
            place.probe,
        )
    await connection.close()
    await feed.close()
    await store.close()
    for goal in GOALS:
        yield judge(goal, rounds)


async def _rebuild(connection: Connection, feed: PostgresFeed, events: int) -> dict[str, float]:
    before = time.perf_counter()
    await rebuild(connection, feed, STATUS)
    return {"rate": events / (time.perf_counter() - before)}


async def _row_by_row(connection: psycopg.Connection[Any], store: PostgresEventStore) -> dict[str, float]:
    statements = {table.name: _upsert(table) for table in STATUS.tables}
    for table in STATUS.tables:
        connection.execute(f"truncate {LIVE}.{table.name}".encode())
    folder = Folder(STATUS.tables, capacity=ROW_BY_ROW_EVENTS * 10)
    done = after = 0
    before = time.perf_counter()
    while done < ROW_BY_ROW_EVENTS:
        page = await store.read(after, COMMIT_EVENTS)
        if page is None:
            break
        with connection.transaction(), connection.cursor() as cursor:
            for event in page.events:
                for statement, values in _touched(folder, event, statements):
                    cursor.execute(statement, values, prepare=True)
        done, after = done + len(page.events), page.last
    return {"rate": done / (time.perf_counter() - before)}


def _touched(folder: Folder, event: Recorded, statements: dict[str, bytes]) -> list[tuple[bytes, list[Any]]]:
    """The upserts of one event."""
    folder.apply(folder.claim([event]))
    found = []
    for cache in folder.caches:
        documents = {column.name for column in cache.table.columns if column.sql == "jsonb"}
        for slot in cache.dirty:
            if slot.row is not None:
                cells = [
                    msgspec.json.encode(value).decode() if name in documents else value
                    for name, value in zip(slot.row.__struct_fields__, msgspec.structs.astuple(slot.row), strict=True)
                ]
                found.append((statements[cache.table.name], cells))
        cache.missing.clear()
        cache.written()
    return found


def _upsert(table: Table) -> bytes:
    names = [f'"{column.name}"' for column in table.columns]
    changes = ", ".join(f"{name} = excluded.{name}" for name in names)
    keys = ", ".join(f'"{column}"' for column in table.key)
    return (
        f"insert into {LIVE}.{table.name} ({', '.join(names)}) values ({', '.join(['%s'] * len(names))})"
        f" on conflict ({keys}) do update set {changes}"
    ).encode()


async def _copy_out(connection: psycopg.Connection[Any], events: int) -> dict[str, float]:
    before = time.perf_counter()
    size = 0
    query = f"copy (select {COLUMNS} from public.events_0 order by notification_id) to stdout (format binary)"
    with connection.cursor().copy(query.encode()) as copy:
        for part in copy:
            size += len(part)
    return {"rate": events / (time.perf_counter() - before)}
