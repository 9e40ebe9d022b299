"""The agent that answers webhook deliveries: what was taken in becomes runs, or the reasons why not.

It follows the log. Deliveries of one repository are answered one after the other in the order of the log, those of
different repositories side by side, so a forge that is away holds up its own repositories only. The answer and its runs
are one commit on the delivery's stream, and that stream has one answer: a crash, a restart or a second agent repeats no
run. The recorded position stays before the oldest delivery without an answer, so a restart finds all of them again.
"""

import asyncio
import contextlib
import logging
from collections import deque
from datetime import timedelta
from typing import Any

from commands.answering import Answering, Away
from commands.handle import Handler, Origin
from domain.delivery import DeferDelivery, Delivery, DeliveryCommand, WebhookReceived
from domain.envelope import Recorded, Unreadable
from domain.ports import Clock, EventStore, Feed, StoreUnavailable, StreamUnreadable, Tracking, TrackingConflict, VersionConflict

AGENT = "deliveries"
RETRY_SECONDS = 0.5
NOTE_SECONDS = 1.0
AT_ONCE_MAX = 8
"""So many repositories are worked on at a time."""

log = logging.getLogger(__name__)


class Deliveries:
    """Runs until cancelled. Several of them on one store are harmless."""

    def __init__(self, handler: Handler, store: EventStore, feed: Feed, clock: Clock, answering: Answering) -> None:
        self._handler = handler
        self._store = store
        self._feed = feed
        self._clock = clock
        self._answering = answering
        self._waiting: dict[Any, deque[Recorded]] = {}
        self._open: set[int] = set()
        self._read = 0
        self._room = asyncio.Semaphore(AT_ONCE_MAX)

    async def run(self) -> None:
        """Answer every delivery from the recorded position on."""
        while True:
            try:
                self._waiting, self._open = {}, set()
                self._read = noted = await self._store.tracked(AGENT)
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._note(noted))
                    await self._follow(tasks)
            except* (TrackingConflict, VersionConflict, StoreUnavailable) as errors:
                log.warning("deliveries begin again at the recorded position: %s", errors.exceptions[0])
                await asyncio.sleep(RETRY_SECONDS)

    async def _follow(self, tasks: asyncio.TaskGroup) -> None:
        async for page in self._feed.pages(self._read):
            for event in page.events:
                if isinstance(event.data, WebhookReceived):
                    self._queue(event, tasks)
                elif isinstance(event.data, Unreadable) and event.type == "WebhookReceived":
                    self._open.add(event.position)  # newer code answers it: the recorded position stays before it
            self._read = page.last

    def _queue(self, event: Recorded, tasks: asyncio.TaskGroup) -> None:
        """Behind the others of its repository. One that needs no answer any more is found out when its turn comes."""
        self._open.add(event.position)
        line = event.data.repository or event.stream
        if line in self._waiting:
            self._waiting[line].append(event)
        else:
            self._waiting[line] = deque([event])
            tasks.create_task(self._work(line))

    async def _work(self, line: Any) -> None:
        waiting = self._waiting[line]
        while waiting:
            event = waiting[0]
            pause = await self._answered(event)
            while pause is not None:
                await asyncio.sleep(pause)
                pause = await self._answered(event)
            self._open.discard(event.position)
            waiting.popleft()
        del self._waiting[line]

    async def _answered(self, event: Recorded) -> float | None:
        """Answer a delivery; seconds to wait where it cannot be answered yet."""
        try:
            async with self._room:
                state: Delivery = await self._handler.latest(event.stream, "delivery")
                if not state.open:
                    return None
                if state.retry_at is not None and (left := (state.retry_at - self._clock.now()) / timedelta(seconds=1)) > 0:
                    return left
                return await self._try(event, state)
        except StreamUnreadable as error:
            log.error("no answer to delivery %s: %s", event.stream, error)  # noqa: TRY400 - the trace says nothing more
            await asyncio.Event().wait()  # newer code answers it; the recorded position stays before it
            raise

    async def _try(self, event: Recorded, state: Delivery) -> float | None:
        origin = Origin(event.meta.tenant, event.meta.actor, cause=event.id)
        try:
            command: DeliveryCommand = await self._answering.answer(event.stream, event.meta.tenant, state)
        except (StoreUnavailable, StreamUnreadable):
            raise
        except Away as away:
            command = DeferDelivery(event.stream, str(away))
        except Exception as error:
            log.exception("delivery %s could not be answered", event.stream)
            command = DeferDelivery(event.stream, f"{type(error).__name__}: {error}"[:500])
        outcome = await self._handler.handle(command, origin)
        if outcome.refusal is not None:  # a workflow changed between the answer and its commit: look again
            await self._handler.handle(DeferDelivery(event.stream, outcome.refusal.message), origin)
        return None if isinstance(outcome.state, Delivery) and not outcome.state.open else 0.0

    async def _note(self, noted: int) -> None:
        """Write down, now and then, before which position everything has its answer."""
        while True:
            await asyncio.sleep(NOTE_SECONDS)
            done = min(self._open) - 1 if self._open else self._read
            if done > noted:
                with contextlib.suppress(TrackingConflict):
                    await self._store.append([], Tracking(AGENT, noted, done))
                noted = await self._store.tracked(AGENT)
