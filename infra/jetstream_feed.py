"""A feed from JetStream: spares the store where consumers are many, and trusts nothing that it is told.

Each consumer carries the position it has reached. A page that continues it is handed on; anything else (a gap, a
double, another order, a page without rows, silence) is settled by reading the store from that position. So the
stream may be wiped, and NATS may be away, for as long as it likes.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Self

from nats.errors import TimeoutError as NatsTimeoutError
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from domain.ports import Page, StoreUnavailable
from infra import tasks
from infra.event_store import PostgresEventStore
from infra.feed import POLL_SECONDS, RETRY_SECONDS
from infra.jetstream import AWAY, Names, Session, decode_page, session

logger = logging.getLogger(__name__)

QUEUE_PAGES = 64
AWAY_POLL_SECONDS = 0.25
"""How often a consumer looks into the store while NATS is away."""


class JetStreamFeed:
    """See domain.ports.Feed. One a process and shard; any number of consumers. Construct with `open`, end with `close`."""

    def __init__(self, store: PostgresEventStore, nats_url: str, names: Names | None = None, poll_seconds: float = POLL_SECONDS) -> None:
        self._store = store
        self._url = nats_url
        self._names = names or Names(store.shard)
        self._poll = poll_seconds
        self._task: asyncio.Task[None] | None = None
        self._consumers: list[_Consumer] = []
        self._renew = asyncio.Event()
        self._connected = False

    @classmethod
    async def open(cls, store: PostgresEventStore, nats_url: str, names: Names | None = None, poll_seconds: float = POLL_SECONDS) -> Self:
        """Begin to receive; NATS may come later. The store stays the caller's to close, after the feed."""
        feed = cls(store, nats_url, names, poll_seconds)
        feed._task = asyncio.create_task(feed._run(), name=f"jetstream feed {store.shard}")
        return feed

    async def close(self) -> None:
        """Stop receiving."""
        await tasks.end(self._task)

    async def pages(self, after: int, limit: int = 1000) -> AsyncIterator[Page]:
        """See the port."""
        consumer = _Consumer()
        self._consumers.append(consumer)
        try:
            while True:
                page = await self._stored(after, limit)
                while page is not None:
                    after = page.last
                    yield page
                    page = await self._stored(after, limit)
                async with contextlib.aclosing(self._received(consumer, after, limit)) as received:
                    async for page in received:
                        after = page.last
                        yield page
        finally:
            self._consumers.remove(consumer)

    async def _stored(self, after: int, limit: int) -> Page | None:
        while True:
            try:
                return await self._store.read(after, limit)
            except StoreUnavailable as error:
                logger.warning("a consumer at position %d waits for the store: %s", after, error)
                await asyncio.sleep(RETRY_SECONDS)

    async def _received(self, consumer: "_Consumer", after: int, limit: int) -> AsyncGenerator[Page]:
        """Pages from JetStream that continue `after`; ends when the store has to be asked."""
        while True:
            page = await consumer.take(self._poll if self._connected else min(self._poll, AWAY_POLL_SECONDS))
            if page is None:
                if await self._behind(after):
                    self._renew.set()
                    return
                continue
            if page.last <= after:
                continue
            if page.previous > after or not page.events:
                return
            for part in _continuing(page, after, limit):
                yield part
            after = page.last

    async def _behind(self, after: int) -> bool:
        """After a silence: whether the store has what JetStream did not bring."""
        try:
            return await self._store.head() > after
        except StoreUnavailable:
            return False

    async def _run(self) -> None:
        told = False
        while True:
            try:
                async with session(self._url, f"feed {self._names.shard}") as nats:
                    told = False
                    await self._receive(nats)
            except AWAY as error:
                if not told:
                    logger.warning("JetStream is away, consumers read the store: %s", error)
                told = True
            self._connected = False
            for consumer in self._consumers:
                consumer.doubt()
            await asyncio.sleep(RETRY_SECONDS)

    async def _receive(self, nats: Session) -> None:
        """Hand pages to the consumers until the session is lost or a consumer found something missing."""
        names = self._names
        await nats.ensure_stream(names.pages_stream, names.pages_subject)
        config = ConsumerConfig(deliver_policy=DeliverPolicy.NEW, ack_policy=AckPolicy.NONE, mem_storage=True, inactive_threshold=30.0)
        subscription = await nats.jetstream.subscribe(names.pages_subject, stream=names.pages_stream, config=config, manual_ack=True)
        self._renew.clear()
        self._connected = True
        for consumer in self._consumers:
            consumer.doubt()
        while not nats.lost.is_set() and not self._renew.is_set():
            try:
                message = await subscription.next_msg(timeout=self._poll)
            except NatsTimeoutError:
                continue
            page = decode_page(message.data)
            if page is not None:
                for consumer in self._consumers:
                    consumer.put(page)


class _Consumer:
    """The pages that wait for one consumer. A full queue drops its oldest page: the store has it."""

    def __init__(self) -> None:
        self._pages: deque[Page] = deque(maxlen=QUEUE_PAGES)
        self._arrived = asyncio.Event()

    def put(self, page: Page) -> None:
        self._pages.append(page)
        self._arrived.set()

    def doubt(self) -> None:
        """Something may have been missed: look into the store without waiting for the poll."""
        self._arrived.set()

    async def take(self, seconds: float) -> Page | None:
        """The next page, or None after `seconds` without one, or on doubt."""
        if not self._pages:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):  # wait_for of Python 3.11 swallows a cancellation that meets a result
                    await self._arrived.wait()
        self._arrived.clear()  # after the wait: a doubt that came while the consumer worked is not forgotten
        return self._pages.popleft() if self._pages else None


def _continuing(page: Page, after: int, limit: int) -> list[Page]:
    """The part of a page that comes after `after`, in pages of at most `limit` events."""
    events = page.events
    previous = page.previous
    if previous < after:
        events = tuple(event for event in events if event.position > after)
        previous = after
    parts = []
    for start in range(0, len(events), limit):
        part = events[start : start + limit]
        parts.append(Page(previous, part[0].position, part[-1].position, part))
        previous = part[-1].position
    return parts
