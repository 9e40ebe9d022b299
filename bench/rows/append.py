"""Appends through the product's event store, encoding included, against the library's recorder and a bare COPY.

Every event is the first of its own stream, on both sides. The references get their rows ready-made, outside the clock;
our side gets its events so, and encodes them within it.
"""

import asyncio
import struct
import time
from collections.abc import AsyncIterator
from typing import Any

import psycopg

from bench import samples
from bench.harness import Figures, Goal, Row, Side, alternate, judge, percentile
from bench.library import Library, threaded
from bench.place import Place
from infra.event_store import PostgresEventStore

SECONDS = 1.0
BATCH = 1000
COPY_EVENTS = 100_000
READY_EVENTS = 100_000
"""More than a second takes on this kind of machine; whoever takes more makes the rest himself."""
LIBRARY_1 = "library recorder, 1 thread"
LIBRARY_8 = "library recorder, 8 threads"
COPY = f"prebuilt binary COPY of {COPY_EVENTS:,}, both indexes"
LIBRARY_BATCH = 500
LIBRARY_1000 = f"library recorder, 8 threads, batches of {LIBRARY_BATCH}"
NOTE = f"{LIBRARY_BATCH} a batch there: a larger one does not fit a Unix socket's buffer, and psycopg's pipeline mode then waits for ever"
CALLERS_64 = "64 callers, 1 event each"
BATCHES = f"batches of {BATCH:,}, {len(samples.STATE)}-byte states"
GOALS = (
    Goal(id="append-1", case="1 caller, 1 event", unit="ev/s", must=2, aim=2.5, reference=LIBRARY_1),
    Goal(id="append-64", case=CALLERS_64, unit="ev/s", must=20, aim=35, reference=LIBRARY_8),
    Goal(id="append-64", case=f"{CALLERS_64}, p99", unit="ms", must=5, better="less", figure="p99"),
    Goal(id="append-1000", case=BATCHES, unit="ev/s", must=2.5, aim=3.5, reference=LIBRARY_1000),
    Goal(id="append-1000", case=BATCHES, unit="ev/s", must=0.5, aim=0.7, reference=COPY),
)


async def measure(place: Place) -> AsyncIterator[Row]:
    """Each id with its references in turn."""
    for name in ("append-1", "append-64", "append-1000"):
        if name in place.ids:
            url = place.database()
            store = await PostgresEventStore.open(url)
            library = Library(url, "library_events")
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute("create table copied (like public.events_0 including all)")
                rounds = await alternate(_sides(name, store, library, connection), place.probe)
            library.close()
            await store.close()
            for goal in GOALS:
                if goal.id == name:
                    yield judge(goal, rounds, NOTE if goal.reference == LIBRARY_1000 else "")


def _sides(name: str, store: PostgresEventStore, library: Library, connection: psycopg.Connection[Any]) -> dict[str, Side]:
    match name:
        case "append-1":
            return {"ours": lambda: _callers(store, 1, 1), LIBRARY_1: lambda: _library(library, 1, 1)}
        case "append-64":
            return {"ours": lambda: _callers(store, 64, 1), LIBRARY_8: lambda: _library(library, 8, 1)}
        case _:
            return {
                "ours": lambda: _callers(store, 4, BATCH),
                LIBRARY_1000: lambda: _library(library, 8, LIBRARY_BATCH),
                COPY: lambda: _copy(connection),
            }


async def _callers(store: PostgresEventStore, callers: int, events: int) -> Figures:
    """Tasks that append one after the other, each waiting for its commit."""
    taken: list[float] = []
    ready = [samples.write(events) for _ in range(READY_EVENTS // events)]
    before = time.perf_counter()
    stop = before + SECONDS

    async def caller() -> None:
        while (began := time.perf_counter()) < stop:
            await store.append(ready.pop() if ready else samples.write(events))
            taken.append(time.perf_counter() - began)

    await asyncio.gather(*(caller() for _ in range(callers)))
    return {"rate": len(taken) * events / (time.perf_counter() - before), "p99": percentile(taken, 0.99) * 1e3}


async def _library(library: Library, threads: int, events: int) -> Figures:
    def work() -> int:
        library.insert(samples.rows(events))
        return events

    return {"rate": await asyncio.to_thread(threaded, work, threads, SECONDS)}


async def _copy(connection: psycopg.Connection[Any]) -> Figures:
    """One buffer, one transaction: what the server can take when nobody asks for anything."""
    topic, state = samples.TOPIC.encode(), samples.STATE
    row = struct.Struct(f">hi16siqi{len(topic)}si{len(state)}s")
    parts = [
        row.pack(4, 16, stream.bytes, 8, version, len(topic), topic, len(state), state)
        for stream, version, _, _ in samples.rows(COPY_EVENTS)
    ]
    buffer = b"".join([b"PGCOPY\n\xff\r\n\0", struct.pack(">ii", 0, 0), *parts, struct.pack(">h", -1)])
    connection.execute("truncate copied")
    before = time.perf_counter()
    with connection.cursor().copy("copy copied (originator_id, originator_version, topic, state) from stdin (format binary)") as copy:
        copy.write(buffer)
    return {"rate": COPY_EVENTS / (time.perf_counter() - before)}
