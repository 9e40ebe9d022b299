"""Feeds: pages of committed events for the consumers of one process: its own commits from memory, else a read of the store.

The store alone decides what there is; the wake-up saves waiting, and reads that would find nothing: who has seen all that
was heard of waits. Consumers at the same place share one read.
Eager at rest, paced under load: after a page under load a consumer rests a few milliseconds, so that the next page is
larger and costs less an event; the first events after silence are never delayed.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Sequence
from typing import Self

from domain.ports import Page, StoreUnavailable
from infra.append_call import StoredRow
from infra.event_store import PostgresEventStore
from infra.recent import Recent
from infra.wakeup import Listener, Moment, Wakeup

logger = logging.getLogger(__name__)

POLL_SECONDS = 2.0
"""How often a waiting consumer looks without a wake-up."""

RETRY_SECONDS = 0.5

Found = tuple[Moment, Page | None]
"""The moment before a read, and what it found."""


class Pace:
    """Rests after a page once pages follow each other closely: a burst of pages is free, then each takes its time.

    What the page has taken already counts, so that a slow consumer is not delayed twice.
    """

    def __init__(self, page_seconds: float = 0.003, burst: int = 8) -> None:
        self._page_seconds = page_seconds
        self._burst = burst
        self._credit = float(burst)
        self._at = time.monotonic()

    async def rest(self) -> None:
        """Call after a page that was not full."""
        taken = time.monotonic() - self._at
        self._credit = min(self._burst, self._credit + taken / (4 * self._page_seconds))
        if self._credit >= 1:
            self._credit -= 1
        elif taken < self._page_seconds:
            await asyncio.sleep(self._page_seconds - taken)
        self._at = time.monotonic()


class Horizon:
    """What one consumer knows of the end of the log, so that it waits where a look into the store would find nothing."""

    def __init__(self, wakeup: Wakeup) -> None:
        self._wakeup = wakeup
        self._heard = 0
        self._doubts = -1

    def reached(self, position: int) -> bool:
        """Whether a look was at the end of the log, and since then nothing beyond `position` was heard of or can have been missed."""
        return self._doubts == self._wakeup.doubts and self._wakeup.position <= position

    def looked(self, began: Moment, *, at_end: bool) -> None:
        """A look into the store has ended. began: the moment before it; at_end: it found fewer events than it would have taken."""
        self._heard, doubts = began
        self._doubts = doubts if at_end else -1

    async def wait(self, position: int, seconds: float) -> None:
        """Return when there may be more behind `position`: it was heard of, something may have been missed, or after `seconds`.

        A look that found nothing has disproved what was heard before it (a restored database is behind that): believed
        again, it would make the consumer look without a pause.
        """
        known = max(position, self._heard)
        await self._wakeup.after(known, seconds)
        if self._wakeup.position <= known:
            self._doubts = -1


class PostgresFeed:
    """See domain.ports.Feed. One a process and shard; any number of consumers. Construct with `open`, end with `close`."""

    def __init__(self, store: PostgresEventStore, poll_seconds: float = POLL_SECONDS) -> None:
        self.store = store
        self.wakeup = Wakeup()
        self.recent = Recent()
        self._poll = poll_seconds
        self._listener = Listener(store.database_url, store.shard, self.wakeup, lambda: store.writer)
        self._reading: dict[tuple[int, int], asyncio.Task[Found]] = {}

    @classmethod
    async def open(cls, store: PostgresEventStore, poll_seconds: float = POLL_SECONDS) -> Self:
        """Begin to listen. The store stays the caller's to close, after the feed."""
        feed = cls(store, poll_seconds)
        feed._listener.start()
        store.committed.append(feed.heard)
        return feed

    def heard(self, rows: Sequence[StoredRow]) -> None:
        """This process has committed these rows."""
        self.recent.add(rows)
        self.wakeup.heard(rows[-1][0])

    async def close(self) -> None:
        """Stop listening."""
        self.store.committed.remove(self.heard)
        await self._listener.close()
        for reading in tuple(self._reading.values()):  # one that outlived the store would open a connection that nobody closes
            reading.cancel()
        await asyncio.gather(*self._reading.values(), return_exceptions=True)

    async def pages(self, after: int, limit: int = 1000) -> AsyncIterator[Page]:
        """See the port. While the store is away it waits and goes on where it was."""
        pace, horizon = Pace(), Horizon(self.wakeup)
        while True:
            page = self.recent.page(after, limit)
            if page is None and not horizon.reached(after):
                try:
                    began, page = await self._read(after, limit)
                except StoreUnavailable as error:
                    logger.warning("a consumer at position %d waits for the store: %s", after, error)
                    await asyncio.sleep(RETRY_SECONDS)
                    continue
                horizon.looked(began, at_end=page is None or len(page.events) < limit)
            if page is None:
                await horizon.wait(after, self._poll)
                continue
            after = page.last
            yield page
            if len(page.events) < limit:
                await pace.rest()

    async def _read(self, after: int, limit: int) -> Found:
        """Read once for all consumers that are at the same place at this moment."""
        key = (after, limit)
        task = self._reading.get(key)
        if task is None or task.done():  # waiting for a done one would not let the loop forget it: the consumer would spin
            task = self._reading[key] = asyncio.create_task(self._find(after, limit))
            task.add_done_callback(lambda done: self._forget(key, done))
        return await asyncio.shield(task)

    async def _find(self, after: int, limit: int) -> Found:
        return self.wakeup.moment, await self.store.read(after, limit)

    def _forget(self, key: tuple[int, int], done: asyncio.Task[Found]) -> None:
        if self._reading.get(key) is done:
            del self._reading[key]
        if not done.cancelled():
            done.exception()  # looked at here, because the consumers that wait for it may all have been cancelled
