"""Works off events of the log in lines: those of one line one after the other, lines beside each other, each event to its end.

The recorded position stays before the oldest event that is not worked off, so after a crash they come again: the work has
to know by itself what it has done. What cannot be done yet waits for its time, and so does what stands behind it in its line.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

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
        self._waiting: dict[Any, deque[Recorded]] = {}
        self._open: set[int] = set()
        self._read = 0
        self._room = asyncio.Semaphore(AT_ONCE_MAX)

    async def run(self) -> None:
        """Work off every event from the recorded position on."""
        while True:
            try:
                self._waiting, self._open = {}, set()
                self._read = noted = await self._store.tracked(self._agent)
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._note(noted))
                    await self._follow(tasks)
            except* (TrackingConflict, VersionConflict, StoreUnavailable) as errors:
                log.warning("%s begin again at the recorded position: %s", self._agent, errors.exceptions[0])
                await asyncio.sleep(RETRY_SECONDS)

    async def _follow(self, tasks: asyncio.TaskGroup) -> None:
        async for page in self._feed.pages(self._read):
            for event in page.events:
                if event.type in self._types:
                    self._open.add(event.position)
                    if not isinstance(event.data, Unreadable):  # newer code does those: the recorded position stays before them
                        self._queue(event, tasks)
            self._read = page.last

    def _queue(self, event: Recorded, tasks: asyncio.TaskGroup) -> None:
        """Behind the others of its line. One that needs no work any more is found out when its turn comes."""
        line = self._line(event)
        if line in self._waiting:
            self._waiting[line].append(event)
        else:
            self._waiting[line] = deque([event])
            tasks.create_task(self._walk(line))

    async def _walk(self, line: Any) -> None:
        waiting = self._waiting[line]
        while waiting:
            event = waiting[0]
            pause = await self._done(event)
            while pause is not None:
                await asyncio.sleep(pause)
                pause = await self._done(event)
            self._open.discard(event.position)
            waiting.popleft()
        del self._waiting[line]

    async def _done(self, event: Recorded) -> float | None:
        try:
            async with self._room:
                return await self._work(event)
        except StreamUnreadable as error:
            log.error("%s cannot work off stream %s: %s", self._agent, event.stream, error)  # noqa: TRY400 - the trace says nothing more
            await asyncio.Event().wait()  # newer code does; the recorded position stays before it
            raise

    async def _note(self, noted: int) -> None:
        """Write down, now and then, before which position everything is done."""
        while True:
            await asyncio.sleep(NOTE_SECONDS)
            done = min(self._open) - 1 if self._open else self._read
            if done > noted:
                with contextlib.suppress(TrackingConflict):
                    await self._store.append([], Tracking(self._agent, noted, done))
                noted = await self._store.tracked(self._agent)
