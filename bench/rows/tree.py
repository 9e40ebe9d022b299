"""What the Merkle tree over the log and its signed checkpoints cost the append: the same appends with the tree growing beside them.

Both in one process, as in `up`. A tree that only falls behind gains nothing: when the last event is appended, no more than what
half a second brings may still be unsigned, or the row is not measured.
"""

import asyncio
import time
from collections.abc import AsyncIterator

from bench import samples
from bench.harness import Figures, Goal, Row, alternate, judge
from bench.place import Place
from infra.checkpoint_directory import CheckpointDirectory
from infra.connections import connect, session_name
from infra.event_store import PostgresEventStore
from infra.feed import PostgresFeed
from infra.settings import Settings
from infra.signatures import is_signed
from infra.signing import signing_key
from projections.transparency.projector import TreeProjector

EVENTS = 60_000
CALLERS = 64
BEHIND_SECONDS_MAX = 0.5
WITHOUT = "the same appends without a tree"
GOALS = (Goal(id="tree", case=f"{CALLERS} callers, 1 event each, tree signed", unit="ev/s", must=0.9, reference=WITHOUT),)


async def measure(place: Place) -> AsyncIterator[Row]:
    """With and without in turn; every round on a log of its own."""
    key = signing_key(place.directory / "key.pem")
    rounds = await alternate({"ours": lambda: _with_tree(place, key), WITHOUT: lambda: _without(place)}, place.probe)
    yield judge(GOALS[0], rounds)


async def _without(place: Place) -> Figures:
    store = await PostgresEventStore.open(place.database())
    feed = await PostgresFeed.open(store)
    rate = await _append(store)
    await feed.close()
    await store.close()
    return {"rate": rate}


async def _with_tree(place: Place, key: object) -> Figures:
    url = place.database()
    store = await PostgresEventStore.open(url)
    feed = await PostgresFeed.open(store)
    outside = CheckpointDirectory(place.directory / url.rpartition("/")[2].partition("?")[0])
    defaults = Settings()
    projector = TreeProjector(
        lambda: connect(url, session_name("bench")),
        feed.wakeup.after,
        outside,
        lambda: key,
        is_signed,
        events_max=defaults.checkpoint_events,
        seconds_max=defaults.checkpoint_seconds,
    )
    working = asyncio.create_task(projector.run())
    rate = await _append(store)
    behind = EVENTS - outside.held().entries
    if behind > BEHIND_SECONDS_MAX * rate + defaults.checkpoint_events:
        raise RuntimeError(f"the tree is {behind} events behind an append of {rate:,.0f} events/s")
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)
    await feed.close()
    await store.close()
    return {"rate": rate}


async def _append(store: PostgresEventStore) -> float:
    """So many events; returns how many a second."""
    ready = [samples.write(1) for _ in range(EVENTS)]
    began = time.perf_counter()

    async def caller() -> None:
        while ready:
            await store.append(ready.pop())

    await asyncio.gather(*(caller() for _ in range(CALLERS)))
    return EVENTS / (time.perf_counter() - began)
