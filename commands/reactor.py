"""The agent behind `domain.reactions.afterwards`: reads the log in order and carries out what events ask of other streams.

Its position moves in the same transaction as the effects of the page, so a page is carried out exactly once; and since
every reaction is a repeat when it was carried out before, even a second reactor beside it would do no harm.

What this code cannot react to (an event of a newer version, a stream that holds one) is not skipped: the rest goes on, and
the recorded position stays before it, so that newer code begins there.
"""

import asyncio
import logging
from typing import Any

from commands.followers import following
from commands.handle import Handler, Origin
from domain import reactions
from domain.envelope import Recorded, Unreadable
from domain.ports import EventStore, Feed, Page, StoreUnavailable, StreamUnreadable, Tracking, TrackingConflict, VersionConflict
from domain.run.followers import FOLLOWED

AGENT = "reactor"
REACTED_TO = (*reactions.AFTERWARDS, *FOLLOWED)
ACTOR = "system"
RETRY_SECONDS = 0.5
POSITION_EVENTS_MAX = 5000
"""How many events without a reaction may pass before the position is written down."""

log = logging.getLogger(__name__)


class Reactor:
    """Runs until cancelled. Several of them on one store are harmless: the position's compare lets one through."""

    def __init__(self, handler: Handler, store: EventStore, feed: Feed) -> None:
        self._handler = handler
        self._store = store
        self._feed = feed
        self._position = 0
        self._unrecorded = 0
        self._stuck: int | None = None

    async def run(self) -> None:
        """React to every event from the recorded position on."""
        while True:
            try:
                self._position = await self._store.tracked(AGENT)
                self._stuck = None
                async for page in self._feed.pages(self._position):
                    await self._react(page)
            except (TrackingConflict, VersionConflict, StoreUnavailable) as error:
                log.warning("the reactor starts again from its recorded position: %s", error)
                await asyncio.sleep(RETRY_SECONDS)

    async def _react(self, page: Page) -> None:
        for event in page.events:
            if isinstance(event.data, Unreadable):
                self._hold(event, f"this version cannot read {event.type}.v{event.schema}")
            elif isinstance(event.data, REACTED_TO):
                try:
                    await self._carry_out(event)
                except StreamUnreadable as error:
                    self._hold(event, str(error))
        self._unrecorded += len(page.events)
        if self._unrecorded > POSITION_EVENTS_MAX:
            await self._move(page.last)

    async def _carry_out(self, event: Recorded) -> None:
        run = await self._handler.since(event.stream, "run", event.version)
        commands: tuple[Any, ...] = reactions.afterwards(run, event.data)
        commands += await following(self._handler.blobs, self._handler.sources, run, event)
        if commands:
            await self._move(event.position, commands, event)

    def _hold(self, event: Recorded, because: str) -> None:
        """Leave the recorded position before this event."""
        log.error("no reaction to position %d (%s) of stream %s: %s", event.position, event.type, event.stream, because)
        if self._stuck is None:
            self._stuck = event.position - 1

    async def _move(self, position: int, commands: Any = (), cause: Recorded | None = None) -> None:
        before = await self._store.tracked(AGENT)
        tracking = Tracking(AGENT, before, position if self._stuck is None else max(before, self._stuck))
        meta = cause.meta if cause else None
        origin = Origin(
            tenant=meta.tenant if meta else "",
            actor=meta.actor if meta else ACTOR,
            cause=cause.id if cause else None,
            correlation=meta.correlation if meta else None,
        )
        await self._handler.handle_all(commands, origin, tracking)
        self._unrecorded = 0
