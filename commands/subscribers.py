"""The agent of subscriptions: sends each subscriber the events that it wants, at least once, those of one run in order.

One process at a time does it for a shard (`Outbox.turn`); another one takes over within a moment of its end. What came of
an event is written down together with how far the subscriber has been served, so a process that is killed repeats what was
under way at that moment, under the same ids, and nothing else. A subscriber that does not answer holds up itself only.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from typing import Literal, Protocol
from uuid import UUID

import msgspec

from commands.handle import Handler, Origin
from commands.lines import Lines
from domain import outgoing
from domain.envelope import Recorded
from domain.outgoing import Disable, Failing, GiveUp, Retry
from domain.ports import Clock, Feed, StoreUnavailable
from domain.subscription import ChangeSubscription, wants

ACTOR = "system"
LOOK_SECONDS = 1.0
NOTE_SECONDS = 5.0
WINDOW = 64
"""So many events of one subscriber are under way, waiting ones included."""
AT_ONCE_MAX, AT_ONCE_EACH = 64, 4
"""So many are being sent: in all, and to one subscriber."""
TOLERATED = 2
"""After so many failures in a row nothing is sent to a subscriber for a while: it is away, not displeased with an event."""

log = logging.getLogger(__name__)


class Subscriber(msgspec.Struct, frozen=True):
    """A subscription that is enabled. position: of the event that made it; version: of its stream; enabled_at: since when."""

    id: UUID
    tenant: str
    url: str
    types: tuple[str, ...]
    position: int
    version: int
    enabled_at: datetime


class Answer(msgspec.Struct, frozen=True):
    """What a subscriber said. status: None where it said nothing; problem: why, or what is wrong with the status."""

    status: int | None
    problem: str = ""


class Waiting(msgspec.Struct, frozen=True):
    """An event that is tried again at `at`."""

    failing: Failing
    at: datetime


class Standing(msgspec.Struct, frozen=True):
    """How far a subscriber has been served. settled: positions beyond, of what is done; waiting: by position, what failed."""

    position: int
    taken_at: datetime | None
    settled: frozenset[int]
    waiting: Mapping[int, Waiting]


class Sent(msgspec.Struct, frozen=True):
    """What came of one event so far. attempts and since: of all of them; retry_at: None where it is settled."""

    event: Recorded
    outcome: Literal["delivered", "retrying", "failed"]
    attempts: int
    since: datetime
    at: datetime
    answer: Answer
    retry_at: datetime | None = None


class Turn(Protocol):
    """This process's right to send. Every method raises StoreUnavailable where it is lost."""

    async def subscribers(self) -> list[Subscriber]:
        """Those that are sent to now. What is kept of others that were deleted is forgotten."""

    async def standing(self, subscriber: Subscriber) -> Standing:
        """Where to go on with one."""

    async def record(self, subscription: UUID, sent: Sent, position: int) -> None:
        """Keep what came of an event, and that everything up to `position` is done, in one commit."""

    async def note(self, subscription: UUID, position: int) -> None:
        """Everything up to `position` is done."""


class Outbox(Protocol):
    """Keeps what was sent."""

    def turn(self) -> AbstractAsyncContextManager[Turn]:
        """Wait until no other process sends; then it is this one's turn, within the block."""


Send = Callable[[Subscriber, Recorded], Awaitable[Answer]]


class Subscribers:
    """Runs until cancelled; of several on one store one works at a time."""

    def __init__(self, handler: Handler, feed: Feed, clock: Clock, outbox: Outbox, send: Send) -> None:
        self._handler = handler
        self._feed = feed
        self._clock = clock
        self._outbox = outbox
        self._send = send
        self._room = asyncio.Semaphore(AT_ONCE_MAX)

    async def run(self) -> None:
        """Serve all subscribers whenever it is this process's turn."""
        while True:
            try:
                async with self._outbox.turn() as turn, asyncio.TaskGroup() as tasks:
                    await self._serve(turn, tasks)
            except* StoreUnavailable as errors:
                log.warning("subscribers wait until the store answers: %s", errors.exceptions[0])
                await asyncio.sleep(LOOK_SECONDS)

    async def _serve(self, turn: Turn, tasks: asyncio.TaskGroup) -> None:
        serving: dict[UUID, tuple[Service, asyncio.Task[None]]] = {}
        while True:
            wanted = {each.id: each for each in await turn.subscribers()}
            for identity, (service, task) in list(serving.items()):
                now = wanted.get(identity)
                if now is not None and now.enabled_at == service.subscriber.enabled_at:
                    service.subscriber = now
                    continue
                task.cancel()
                await asyncio.wait({task})
                del serving[identity]
            for identity in wanted.keys() - serving.keys():
                service = Service(self._handler, self._feed, self._clock, turn=turn, send=self.send, subscriber=wanted[identity])
                serving[identity] = service, tasks.create_task(service.run(), name=f"subscriber {identity}")
            await asyncio.sleep(LOOK_SECONDS)

    async def send(self, subscriber: Subscriber, event: Recorded) -> Answer:
        """Send, with regard to all other subscribers."""
        async with self._room:
            return await self._send(subscriber, event)


class Service:
    """Serves one subscriber. subscriber: as it is known now."""

    def __init__(self, handler: Handler, feed: Feed, clock: Clock, *, turn: Turn, send: Send, subscriber: Subscriber) -> None:
        self._handler = handler
        self._feed = feed
        self._clock = clock
        self._turn = turn
        self._send = send
        self.subscriber = subscriber
        self._window = asyncio.Semaphore(WINDOW)
        self._room = asyncio.Semaphore(AT_ONCE_EACH)
        self._waiting: dict[int, Waiting] = {}
        self._taken_at: datetime | None = None
        self._failures = 0
        self._quiet_until: datetime | None = None

    async def run(self) -> None:
        """Follow the log from where this subscriber is."""
        standing = await self._turn.standing(self.subscriber)
        self._waiting, self._taken_at = dict(standing.waiting), standing.taken_at
        async with asyncio.TaskGroup() as tasks:
            lines = Lines(tasks, lambda event: self._deliver(event, lines), standing.position)
            tasks.create_task(self._note(lines, standing.position))
            async for page in self._feed.pages(standing.position):
                for event in page.events:
                    if self._wanted(event) and event.position not in standing.settled:
                        await self._window.acquire()
                        lines.add(event.meta.correlation or event.stream, event)
                    lines.read = event.position

    def _wanted(self, event: Recorded) -> bool:
        return event.meta.tenant == self.subscriber.tenant and wants(self.subscriber.types, event.type)

    async def _deliver(self, event: Recorded, lines: Lines) -> None:
        """Send until it is taken or given up."""
        before = self._waiting.pop(event.position, None)
        failing = before.failing if before else None
        if before is not None:
            await self._until(before.at)
        while True:
            async with self._room:
                await self._quiet()
                answer = await self._send(self.subscriber, event)
            now = self._clock.now()
            attempts, since = (failing.attempts + 1, failing.since) if failing else (1, now)
            settled = lines.done_without(event)
            if answer.status is not None and 200 <= answer.status < 300:
                self._taken_at, self._failures, self._quiet_until = now, 0, None
                await self._turn.record(self.subscriber.id, Sent(event, "delivered", attempts, since, now, answer), settled)
                break
            failing = Failing(attempts, since, answer.status)
            self._failed(now)
            enabled_at = self.subscriber.enabled_at
            match outgoing.after_failure(event.id, failing, now, enabled_at=enabled_at, taken_at=self._taken_at):
                case GiveUp():
                    await self._turn.record(self.subscriber.id, Sent(event, "failed", attempts, since, now, answer), settled)
                    break
                case Disable(reason):
                    await self._turn.record(self.subscriber.id, Sent(event, "retrying", attempts, since, now, answer, now), lines.done)
                    await self._disable(f"{reason}; the last answer: {answer.problem}")
                case Retry(at):
                    await self._turn.record(self.subscriber.id, Sent(event, "retrying", attempts, since, now, answer, at), lines.done)
                    await self._until(at)
        self._window.release()

    def _failed(self, now: datetime) -> None:
        self._failures += 1
        if self._failures > TOLERATED:
            self._quiet_until = now + outgoing.pause(self.subscriber.id, self._failures - TOLERATED)

    async def _disable(self, reason: str) -> None:
        """Disable it as it is known here, then wait to be ended: the view shows it in a moment."""
        command = ChangeSubscription(self.subscriber.id, enabled=False, reason=reason, versions=(self.subscriber.version,))
        outcome = await self._handler.handle(command, Origin(self.subscriber.tenant, ACTOR))
        log.warning("subscription %s: %s", self.subscriber.id, outcome.refusal.message if outcome.refusal else reason)
        if outcome.refusal is None:
            await asyncio.Event().wait()
        await asyncio.sleep(LOOK_SECONDS)

    async def _quiet(self) -> None:
        """Return when the subscriber is not left alone, or not any more: another failure may have made that later."""
        while (until := self._quiet_until) is not None and until > self._clock.now():
            await self._until(until)

    async def _until(self, at: datetime) -> None:
        await asyncio.sleep(max(0.0, (at - self._clock.now()) / timedelta(seconds=1)))

    async def _note(self, lines: Lines, noted: int) -> None:
        """Write down, now and then, what needs no sending."""
        while True:
            await asyncio.sleep(NOTE_SECONDS)
            if lines.done > noted:
                noted = lines.done
                await self._turn.note(self.subscriber.id, noted)
