"""Single events for outsiders: CloudEvents on JetStream, one message an event, on subjects that can be filtered.

It is one more consumer: it reads a feed, carries a position of its own in the store and repeats what lies between that
and its end; the event's id makes a repeat invisible within the server's window. So the position is written down now and
then and not with each page: commands wait for every commit of this process. Ours never read what it publishes, so under
load it rests longer than they do, and an event costs less: outsiders see it within a twentieth of a second.
Subject: prefix.events.SHARD.TENANT.STREAM_TYPE.EVENT_TYPE, e.g. `ledgermill.events.0.default.job.JobQueued`.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from functools import lru_cache
from typing import cast
from urllib.parse import quote

from nats.js.api import Header

from domain.envelope import Recorded
from domain.events import REGISTER
from domain.ports import EventStore, Feed, Page, StoreUnavailable, Tracking, TrackingConflict
from infra import cloud_events, tasks
from infra.feed import Pace
from infra.jetstream import ACK_SECONDS, AWAY, Names, Session, session

logger = logging.getLogger(__name__)

RETRY_SECONDS = 0.5
PAGE_SECONDS = 0.05
NOTE_SECONDS = 0.5
"""How often the position is written down, at most; far within the server's window for repeats."""

STREAM_TYPES = {
    "domain.job.events": "job",
    "domain.run.events": "run",
    "domain.runner_pool": "runner",
    "domain.repository": "repository",
    "domain.workflow_file": "workflow",
    "domain.delivery": "delivery",
    "domain.commit_status": "commit_status",
    "domain.schedule": "schedule",
    "domain.subscription": "subscription",
    "domain.audit": "audit",
}
MSG_ID = Header.MSG_ID.value


class Bridge:
    """Publishes one shard's events singly. Construct, `start`, and end with `close`. Run one a shard."""

    def __init__(self, store: EventStore, feed: Feed, nats_url: str, names: Names | None = None) -> None:
        """The store keeps the position, the feed gives the pages; both stay the caller's to close, after the bridge."""
        self._store = store
        self._feed = feed
        self._url = nats_url
        self._names = names or Names()
        self._task: asyncio.Task[None] | None = None
        self._published = 0

    @property
    def agent(self) -> str:
        """The name of its position in the store."""
        return f"bridge {self._names.events_stream}"

    def start(self) -> None:
        """Begin where the last one stopped; NATS may come later."""
        self._task = asyncio.create_task(self._run(), name=self.agent)

    async def close(self) -> None:
        """Stop. What was published and not yet noted is published again later, under the same ids."""
        await tasks.end(self._task)

    async def _run(self) -> None:
        told = False
        while True:
            try:
                async with session(self._url, self.agent) as nats:
                    told = False
                    await nats.ensure_stream(self._names.events_stream, f"{self._names.events_subject}.>")
                    await self._publish(nats)
            except (*AWAY, StoreUnavailable, TrackingConflict) as error:
                if not told:
                    logger.warning("the bridge waits for NATS or the store: %s", error)
                told = True
            await asyncio.sleep(RETRY_SECONDS)

    async def _publish(self, nats: Session) -> None:
        """Publish page after page; one is done when all its events are acknowledged."""
        self._published = position = await self._store.tracked(self.agent)
        noting = asyncio.create_task(self._note(position))
        pace = Pace(PAGE_SECONDS)
        try:
            async with aclosing(cast("AsyncGenerator[Page]", self._feed.pages(position))) as pages:
                async for page in pages:
                    if nats.lost.is_set() or noting.done():
                        break
                    await self._publish_all(nats, page.events)
                    self._published = page.last
                    await pace.rest()
        finally:
            await tasks.end(noting)

    async def _note(self, position: int) -> None:
        """Write down how far it is. Raises StoreUnavailable or TrackingConflict."""
        while True:
            await asyncio.sleep(NOTE_SECONDS)
            if position < self._published:
                done = self._published
                await self._store.append([], Tracking(self.agent, position, done))
                position = done

    async def _publish_all(self, nats: Session, events: Sequence[Recorded]) -> None:
        """Publish in order and wait for the last one's acknowledgement, which the server gives only after the one before it."""
        *earlier, last = events
        await nats.client.publish_all(
            [(subject(self._names, event), headers(self._names, event), cloud_events.data(event)) for event in earlier]
        )
        expected = {Header.EXPECTED_LAST_MSG_ID.value: str(earlier[-1].id)} if earlier else {}
        await nats.jetstream.publish(
            subject(self._names, last),
            cloud_events.data(last),
            timeout=ACK_SECONDS + len(events) / 1_000,
            headers=headers(self._names, last) | expected,
        )


def subject(names: Names, event: Recorded) -> str:
    """Where an event goes."""
    return _subject(names, event.meta.tenant, event.type)


@lru_cache
def _subject(names: Names, tenant: str, event_type: str) -> str:
    """Names are percent-encoded, so that each is one token."""
    return ".".join((names.events_subject, _token(tenant or "-"), stream_type(event_type), _token(event_type)))


def _token(name: str) -> str:
    return quote(name, safe="").replace(".", "%2E")


def stream_type(event_type: str) -> str:
    """What kind of stream holds such events: one of STREAM_TYPES, or "other"."""
    shape, _ = REGISTER.get(event_type, (None, 0))
    if shape is None:
        return "other"
    return STREAM_TYPES.get(shape.__module__, "other")


def headers(names: Names, event: Recorded) -> dict[str, str]:
    """CloudEvents 1.0 in binary mode."""
    found = {f"ce-{name}": value for name, value in cloud_events.attributes(names.shard, event).items()}
    return found | {MSG_ID: found["ce-id"], "content-type": cloud_events.DATA_TYPE}
