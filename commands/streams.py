"""The folded states of streams: a bounded cache in front of the store.

A cached state may be old when another process writes too. That does no harm to an append (its expected version fails),
but an answer without an append (a repeat, a refusal) must be taken from a state that was just read: see `refresh`. A
process that follows the feed tells the cache what it hears (`hear`), so that it is no further behind than the feed.
"""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

import msgspec

from commands.catalogue import AGGREGATES, BEGINNINGS
from domain.envelope import Recorded, Unreadable
from domain.job.state import Done
from domain.ports import EventStore, NewEvent, StreamUnreadable

CACHED_STREAMS_MAX = 100_000
ENDED_JOBS_MAX = 500


class Stream(msgspec.Struct, frozen=True, gc=False):
    """A stream folded up to `version`. position: of its last event in the log. fresh: just read, not from the cache.

    tenant: whose it is, as its first event says; "": there is none yet.

    pending: events decided on and not yet appended; they are folded into `state` already.
    """

    kind: str
    id: UUID
    state: Any = None
    version: int = 0
    position: int = 0
    tenant: str = ""
    fresh: bool = False
    pending: tuple[NewEvent, ...] = ()

    def seen_by(self, tenant: str, kind: str) -> Any:
        """The state, None for another tenant or where another kind of stream is meant: to those there is no such stream."""
        return self.seen_as(kind) if self.tenant in ("", tenant) else None

    def seen_as(self, kind: str) -> Any:
        """The state, None where another kind of stream is meant."""
        return self.state if self.kind == kind else None

    def with_recorded(self, events: Sequence[Recorded]) -> "Stream":
        """The stream after committed events."""
        state, evolve = self.state, AGGREGATES[self.kind].evolve
        for event in events:
            if isinstance(event.data, Unreadable):
                raise StreamUnreadable(event)
            try:
                state = evolve(self.id, state, event.data, event.meta)
            except Exception as error:
                raise StreamUnreadable(event, f"{type(error).__name__}: {error}") from error
        last = events[-1] if events else None
        return Stream(
            self.kind,
            self.id,
            state,
            last.version if last else self.version,
            last.position if last else self.position,
            self.tenant or (events[0].meta.tenant if events else ""),
            fresh=True,
        )

    def with_pending(self, events: Sequence[NewEvent]) -> "Stream":
        """The stream after events that are still to be appended."""
        state, evolve = self.state, AGGREGATES[self.kind].evolve
        for event in events:
            state = evolve(self.id, state, event.data, event.meta)
        tenant = self.tenant or (events[0].meta.tenant if events else "")
        return msgspec.structs.replace(self, state=state, tenant=tenant, pending=(*self.pending, *events))

    def committed(self, position: int) -> "Stream":
        """The stream once its pending events are in the log; position: of the last of them."""
        return Stream(self.kind, self.id, self.state, self.version + len(self.pending), position, self.tenant)


class Streams:
    """Loads and caches streams. Of ended jobs only the last ones are kept: their runners' polls name them for a moment longer."""

    def __init__(self, store: EventStore) -> None:
        self._store = store
        self._cache: OrderedDict[UUID, Stream] = OrderedDict()
        self._ended: OrderedDict[UUID, Stream] = OrderedDict()
        self._existing: set[UUID] = set()

    async def get(self, kind: str, stream: UUID) -> Stream:
        """The stream from the cache, else from the store. One of another kind is returned as what it is."""
        cached = self._cache.get(stream)
        if cached is not None:
            self._cache.move_to_end(stream)
            return cached
        if stream in self._ended:
            return self._ended[stream]
        events = await self._store.load(stream)
        if events:
            kind = BEGINNINGS.get(type(events[0].data), kind)
        loaded = Stream(kind, stream).with_recorded(events)
        self._existing.discard(stream)
        if loaded.version:
            self.keep(msgspec.structs.replace(loaded, fresh=False))
        return loaded

    async def open(self, kind: str, stream: UUID) -> Stream:
        """The stream for a command that opens it: not looked for in the store, because the append finds out whether it is new.

        So the round trip is for repeats alone: their append fails, the stream is forgotten and is then read.
        """
        if stream in self._existing or stream in self._cache:
            return await self.get(kind, stream)
        return Stream(kind, stream)

    async def refresh(self, stream: Stream) -> Stream:
        """The stream with what others have appended since it was cached."""
        return stream.with_recorded(await self._store.load(stream.id, stream.version))

    async def since(self, kind: str, stream: UUID, version: int) -> Stream:
        """The stream at or after this version, which is in the log."""
        found = await self.get(kind, stream)
        return found if found.version >= version else await self.refresh(found)

    def keep(self, stream: Stream) -> None:
        """Cache a stream as it is committed."""
        if isinstance(stream.state, Done):
            self._cache.pop(stream.id, None)
            self._ended[stream.id] = stream
            if len(self._ended) > ENDED_JOBS_MAX:
                self._ended.popitem(last=False)
            return
        if stream.kind == "audit":
            return
        self._cache[stream.id] = stream
        self._cache.move_to_end(stream.id)
        if len(self._cache) > CACHED_STREAMS_MAX:
            self._cache.popitem(last=False)

    def hear(self, events: Iterable[Recorded]) -> None:
        """Events of the log: a stream that another process has moved since it was cached is not to be had from the cache."""
        for event in events:
            for known in (self._cache, self._ended):
                cached = known.get(event.stream)
                if cached is not None and cached.version < event.version:
                    del known[event.stream]

    def forget(self, stream: UUID) -> None:
        """Drop a stream whose expected version did not hold; it exists."""
        self._cache.pop(stream, None)
        self._ended.pop(stream, None)
        self._existing.add(stream)
