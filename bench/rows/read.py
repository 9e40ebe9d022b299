"""Reading the log in pages of 1,000 and decoding it into events, as a projection does, against the library's way.

Ours reads the history of real runs; the library reads its own events, made by its mapper, of about the same size.
"""

import time
from collections.abc import AsyncIterator

from bench import history
from bench.harness import Figures, Goal, Row, alternate, judge
from bench.library import Library
from bench.place import Place
from infra.event_store import PostgresEventStore

EVENTS = 100_000
PAGE = 1_000
LIBRARY = "library select_notifications and mapper"
GOALS = (Goal(id="read", case=f"read and decode, pages of {PAGE:,}", unit="ev/s", must=3, aim=5, reference=LIBRARY),)


async def measure(place: Place) -> AsyncIterator[Row]:
    """Both logs from the start."""
    url = place.database()
    await history.fill(url, EVENTS, place.directory)
    store = await PostgresEventStore.open(url)
    library = Library(url, "library_events")
    for _ in range(EVENTS // 200):
        library.recorder.insert_events([library.event() for _ in range(200)])
    rounds = await alternate({"ours": lambda: _ours(store), LIBRARY: lambda: _library(library)}, place.probe)
    library.close()
    await store.close()
    yield judge(GOALS[0], rounds)


async def _ours(store: PostgresEventStore) -> Figures:
    before = time.perf_counter()
    done = after = 0
    while page := await store.read(after, PAGE):
        done, after = done + len(page.events), page.last
    return {"rate": done / (time.perf_counter() - before)}


async def _library(library: Library) -> Figures:
    before = time.perf_counter()
    done = 0
    while page := library.recorder.select_notifications(done + 1, PAGE):
        for stored in page:
            library.mapper.to_domain_event(stored)
        done += len(page)
    return {"rate": done / (time.perf_counter() - before)}
