"""Works off events of the log in lines: those of one line one after the other, lines beside each other, each event to its end.

The recorded position stays before the oldest event that is not worked off, so after a crash they come again: the work has
to know by itself what it has done. What cannot be done yet waits for its time, and so does what stands behind it in its line.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from commands.lines import Lines
from domain.envelope import Recorded, Unreadable
from domain.ports import EventStore, Feed, StoreUnavailable, StreamUnreadable, Tracking, TrackingConflict, VersionConflict

RETRY_SECONDS = 0.5
NOTE_SECONDS = 1.0
AT_ONCE_MAX = 8
"""So many lines are worked on at a time."""

log = logging.getLogger(__name__)


class InLines:
    """Runs until cancelled. agent: under which name the position is recorded; types: the events that are worked off.

    line: which line an event belongs to. work: does it; gives the seconds after which to try again, None once it is done.
    """

    def __init__(
        self,
        agent: str,
        store: EventStore,
        feed: Feed,
        types: frozenset[str],
        *,
        line: Callable[[Recorded], Any],
        work: Callable[[Recorded], Awaitable[float | None]],
    ) -> None:
        self._agent = agent
        self._store = store
        self._feed = feed
        self._types = types
        self._line = line
        self._work = work
        self._room = asyncio.Semaphore(AT_ONCE_MAX)

    async def run(self) -> None:
        """Work off every event from the recorded position on."""
        while True:
            try:
                noted = await self._store.tracked(self._agent)
                async with asyncio.TaskGroup() as tasks:
                    lines = Lines(tasks, self._to_its_end, noted)
                    tasks.create_task(self._note(lines, noted))
                    await self._follow(lines)
            except* (TrackingConflict, VersionConflict, StoreUnavailable) as errors:
                log.warning("%s begin again at the recorded position: %s", self._agent, errors.exceptions[0])
                await asyncio.sleep(RETRY_SECONDS)

    async def _follow(self, lines: Lines) -> None:
        async for page in self._feed.pages(lines.read):
            for event in page.events:
                if event.type not in self._types:
                    continue
                if isinstance(event.data, Unreadable):
                    lines.hold(event.position)  # newer code does those: the recorded position stays before them
                else:
                    lines.add(self._line(event), event)  # one that needs no work any more is found out when its turn comes
            lines.read = page.last

    async def _to_its_end(self, event: Recorded) -> None:
        pause = await self._done(event)
        while pause is not None:
            await asyncio.sleep(pause)
            pause = await self._done(event)

    async def _done(self, event: Recorded) -> float | None:
        try:
            async with self._room:
                return await self._work(event)
        except StreamUnreadable as error:
            log.error("%s cannot work off stream %s: %s", self._agent, event.stream, error)  # noqa: TRY400 - the trace says nothing more
            await asyncio.Event().wait()  # newer code does; the recorded position stays before it
            raise

    async def _note(self, lines: Lines, noted: int) -> None:
        """Write down, now and then, before which position everything is done."""
        while True:
            await asyncio.sleep(NOTE_SECONDS)
            if lines.done > noted:
                with contextlib.suppress(TrackingConflict):
                    await self._store.append([], Tracking(self._agent, noted, lines.done))
                noted = await self._store.tracked(self._agent)
