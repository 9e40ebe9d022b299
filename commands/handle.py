"""The one loop of the write side: load the stream, decide, append with the expected version, try again on a conflict."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from commands import catalogue
from commands.locks import Contended, StreamLocks
from commands.sources import SourceLoader
from commands.streams import Stream, Streams
from commands.unit import Unit
from domain.envelope import Meta, Recorded
from domain.job.commands import AcquireJob
from domain.job.state import Acquired
from domain.ports import Blobs, Clock, EventStore, ReadyJobs, Tracking, VersionConflict
from domain.refusals import Refusal

CONFLICTS_MAX = 50
"""How often a command is decided again because another writer was first; each time somebody made progress."""

Listener = Callable[[tuple[Recorded, ...]], None]


class Origin(msgspec.Struct, frozen=True, gc=False):
    """On whose behalf a command runs. command: id of a command from outside; cause: id of the event that led to it.

    With neither, the cause is the last event of the command's stream (a deadline that it set has passed).
    """

    tenant: str
    actor: str
    token: str | None = None
    command: UUID | None = None
    cause: UUID | None = None
    correlation: UUID | None = None

    @property
    def given(self) -> UUID:
        """The id of a command from outside. Raises ValueError where it came from within."""
        if self.command is None:
            raise ValueError("only a command from outside has an id")
        return self.command


class Outcome(msgspec.Struct, frozen=True):
    """What came of a command. events: all that were committed with it, consequences included (empty: a repeat).

    position: of the last one, or of the stream's last event for a repeat. refusal: set when the rules forbade it.
    state: the target's state afterwards.
    """

    position: int
    events: tuple[Recorded, ...] = ()
    refusal: Refusal | None = None
    state: Any = None


class Handler:
    """Executes commands. Safe for use by many tasks of one event loop; one command is in flight per stream."""

    def __init__(self, store: EventStore, clock: Clock, blobs: Blobs) -> None:
        self._store = store
        self._clock = clock
        self._streams = Streams(store)
        self.blobs = blobs
        self.sources = SourceLoader(blobs)
        self._locks = StreamLocks()
        self._listeners: list[Listener] = []
        self.ready: ReadyJobs | None = None
        """Where runners wait for jobs in this process, if they do."""

    def subscribe(self, listener: Listener) -> None:
        """`listener` is called with each commit's events, in commit order, before the command is answered."""
        self._listeners.append(listener)

    async def handle(self, command: Any, origin: Origin) -> Outcome:
        """Execute one command with all consequences that belong in its commit.

        Raises StoreUnavailable; the command is then not acknowledged and may be sent again.
        """
        (outcome,) = await self.handle_all([command], origin)
        return outcome

    async def handle_all(self, commands: Sequence[Any], origin: Origin, tracking: Tracking | None = None) -> list[Outcome]:
        """Execute several commands of one origin in one commit; see `handle_each`."""
        return await self.handle_each([(command, origin) for command in commands], tracking)

    async def handle_each(self, orders: Sequence[tuple[Any, Origin]], tracking: Tracking | None = None) -> list[Outcome]:
        """Execute several commands in one commit, together with the move of an agent's position, if one is given.

        A refused command leaves only its evidence; the others are carried out. A job that they put into the queue while
        a runner waits for it is acquired in the same commit.
        """
        wanted = {catalogue.place(*catalogue.target(command)) for command, _ in orders}
        for _ in range(CONFLICTS_MAX):
            async with self._locks.hold(wanted) as claim:
                unit = Unit(self._streams, self.sources.enrich, claim)
                now = self._clock.now()
                try:
                    refusals = [await unit.execute(command, _meta(origin, now)) for command, origin in orders]
                    with self._handing_over(unit) as acquisitions:
                        for command in acquisitions:
                            tenant = unit.touched[command.job].state.life.tenant
                            await unit.execute(command, Meta(now, tenant, f"runner:{command.runner}"))
                        recorded = await self._append(unit, tracking)
                except Contended as contended:
                    wanted |= contended.places
                    continue
                except VersionConflict as conflict:
                    for stream in conflict.streams:
                        self._streams.forget(stream)
                    continue
                return [self._outcome(unit, c, o, r, recorded) for (c, o), r in zip(orders, refusals, strict=True)]
        raise VersionConflict([stream for _, stream in sorted(wanted)])

    @contextmanager
    def _handing_over(self, unit: Unit) -> Iterator[Sequence[AcquireJob]]:
        """What waiting runners take of the jobs that this commit queues; told them when the commit is done or has failed."""
        queued = unit.queued() if self.ready is not None else []
        if self.ready is None or not queued:
            yield ()
            return
        acquisitions = self.ready.reserve(queued)
        try:
            yield acquisitions
        finally:
            for command in acquisitions:
                stream = unit.touched[command.job]
                held = not stream.pending and isinstance(stream.state, Acquired)
                self.ready.settle(command.job, stream.state if held else None)

    def hear(self, events: Iterable[Recorded]) -> None:
        """What others append too: without it, `state` may answer with what this process knew last."""
        self._streams.hear(events)

    async def state(self, stream: UUID, kind: str) -> Any:
        """The folded state of a stream; kind: "job", "run", "runner", "workflow" or "repository"; None: no such stream.

        It may be behind what another process appended and this one has not heard (`hear`); commands decide on the latest.
        """
        return (await self._streams.get(kind, stream)).seen_as(kind)

    async def own(self, tenant: str, stream: UUID, kind: str) -> Any:
        """As `state`; None too where the stream is another tenant's. What a request names is looked up by this."""
        return (await self._streams.get(kind, stream)).seen_by(tenant, kind)

    async def latest(self, stream: UUID, kind: str) -> Any:
        """As `state`, with all that is in the log now."""
        return (await self._streams.refresh(await self._streams.get(kind, stream))).state

    async def since(self, stream: UUID, kind: str, version: int) -> Any:
        """As `state`, at or after this version, which is in the log."""
        return (await self._streams.since(kind, stream, version)).state

    async def position(self, stream: UUID, version: int) -> int:
        """Where the event at `version` of a stream stands in the log. Raises IndexError when there is none."""
        return (await self._store.load(stream, version - 1))[0].position

    async def led_to(self, stream: UUID, *causes: UUID) -> tuple[Recorded, ...]:
        """The events of a stream that commands from outside, or events, led to at once; none where they changed nothing there."""
        return tuple(event for event in await self._store.load(stream) if {event.meta.command, event.meta.cause} & set(causes))

    async def _append(self, unit: Unit, tracking: Tracking | None) -> tuple[Recorded, ...]:
        """Append, then let the cache and the listeners know; a failure leaves both as they were."""
        writes = unit.writes()
        if not writes and tracking is None:
            return ()
        recorded = await self._store.append(writes, tracking)
        last = {event.stream: event.position for event in recorded}
        for stream in unit.touched.values():
            if stream.pending:
                after = stream.committed(last[stream.id])
                unit.touched[stream.id] = after
                self._streams.keep(after)
        if recorded:
            for listener in self._listeners:
                listener(recorded)
        return recorded

    def _outcome(self, unit: Unit, command: Any, origin: Origin, refusal: Refusal | None, recorded: tuple[Recorded, ...]) -> Outcome:
        kind, target = catalogue.target(command)
        stream = unit.touched.get(target) or Stream(kind, target)
        position = max(stream.position, recorded[-1].position if recorded else 0)
        return Outcome(position, recorded, refusal, stream.seen_by(origin.tenant, kind))


def _meta(origin: Origin, now: datetime) -> Meta:
    return Meta(now, origin.tenant, origin.actor, origin.token, origin.command, origin.cause, origin.correlation)
