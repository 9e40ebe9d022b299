"""Publishes committed events to JetStream, in order, as pages. The one function that publishes.

It keeps no checkpoint: the last message of the stream says how far it is. A stream that is missing or belongs to
another log is made anew from the present on; what came before is in the store, where consumers look for it. So the
relay may be killed, doubled or away at any time: at worst a page comes twice or late.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Iterator, Sequence

from nats.js.api import PubAck
from nats.js.errors import NotFoundError

from domain.ports import StoreUnavailable
from infra import tasks
from infra.append_call import StoredRow
from infra.feed import Horizon, Pace, PostgresFeed
from infra.jetstream import ACK_SECONDS, AWAY, BODY_BYTES_MAX, Names, Session, encode_empty, encode_page, page_headers, session

logger = logging.getLogger(__name__)

PAGE_EVENTS = 1_000
WINDOW = 64
"""Pages that may be published and not yet acknowledged."""

RETRY_SECONDS = 0.5


class Relay:
    """One shard's relay. Any number may run at once. Construct, `start`, and end with `close`."""

    def __init__(self, feed: PostgresFeed, nats_url: str, names: Names | None = None) -> None:
        """feed: gives the store and the wake-up; it stays the caller's to close, after the relay."""
        self._feed = feed
        self._store = feed.store
        self._url = nats_url
        self._names = names or Names(feed.store.shard)
        self._task: asyncio.Task[None] | None = None
        self.published = 0
        """The last position that JetStream acknowledged to this relay."""

    def start(self) -> None:
        """Begin; NATS may come later."""
        self._task = asyncio.create_task(self._run(), name=f"relay {self._names.shard}")

    async def close(self) -> None:
        """Stop. What is not published yet is published by the next relay."""
        await tasks.end(self._task)

    async def _run(self) -> None:
        told = False
        while True:
            try:
                async with session(self._url, f"relay {self._names.shard}") as nats:
                    told = False
                    await self._publish_from(nats, await self._checkpoint(nats))
            except (*AWAY, StoreUnavailable) as error:
                if not told:
                    logger.warning("the relay waits for NATS or the store, scheduling goes on without it: %s", error)
                told = True
            await asyncio.sleep(RETRY_SECONDS)

    async def _checkpoint(self, nats: Session) -> int:
        """The position after which to publish; makes the stream where it is missing or not of this log."""
        names = self._names
        await nats.ensure_stream(names.pages_stream, names.pages_subject)
        head = await self._store.head()
        try:
            message = await nats.jetstream.get_last_msg(names.pages_stream, names.pages_subject)
        except NotFoundError:
            return await self._before(head)
        last = int((message.headers or {}).get("Ledgermill-Last", "0"))
        if last > head:
            logger.error(
                "the stream %s is ahead of the log (%d > %d): it belongs to another log and is emptied", names.pages_stream, last, head
            )
            await nats.jetstream.delete_stream(names.pages_stream)
            await nats.ensure_stream(names.pages_stream, names.pages_subject)
            return await self._before(head)
        return last

    async def _before(self, head: int) -> int:
        """A new stream begins with the last event, so that a consumer that read the store just before it is woken."""
        previous, _ = await self._store.rows(head - 1, 1) if head else (0, [])
        return previous

    async def _publish_from(self, nats: Session, after: int) -> None:
        """Publish until the session is lost. Raises one of AWAY or StoreUnavailable."""
        window: deque[tuple[int, Awaitable[PubAck]]] = deque()
        pace, horizon = Pace(), Horizon(self._feed.wakeup)
        self.published = after
        while not nats.lost.is_set():
            previous, rows = after, self._feed.recent.rows(after, PAGE_EVENTS)
            if not rows and not horizon.reached(after):
                began = self._feed.wakeup.moment
                previous, rows = await self._store.rows(after, PAGE_EVENTS)
                horizon.looked(began, at_end=len(rows) < PAGE_EVENTS)
            if not rows:
                await self._settle(window, 0)
                await horizon.wait(after, ACK_SECONDS)
                continue
            for part in _parts(rows):
                body = encode_page(previous, part)
                if len(body) > BODY_BYTES_MAX:
                    body = encode_empty(previous, part)
                headers = page_headers(self._names.shard, previous, part)
                window.append((part[-1][0], await nats.jetstream.publish_async(self._names.pages_subject, body, headers=headers)))
                previous = part[-1][0]
            after = previous
            await self._settle(window, WINDOW)
            if len(rows) < PAGE_EVENTS:
                await pace.rest()

    async def _settle(self, window: deque[tuple[int, Awaitable[PubAck]]], size: int) -> None:
        """Wait until at most `size` pages are without acknowledgement."""
        while len(window) > size:
            last, acknowledged = window.popleft()
            async with asyncio.timeout(ACK_SECONDS):
                await acknowledged
            self.published = last


def _parts(rows: Sequence[StoredRow]) -> Iterator[list[StoredRow]]:
    """Cut a page where its bytes would not fit a message."""
    part: list[StoredRow] = []
    size = 0
    for row in rows:
        if part and size + len(row[4]) + 100 > BODY_BYTES_MAX:
            yield part
            part, size = [], 0
        part.append(row)
        size += len(row[4]) + 100
    yield part
