"""In-memory adapters of the ports, kept honest by the conformance suites that the real adapters pass too."""

import asyncio
import hashlib
from bisect import bisect_right
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec

from domain.envelope import Recorded
from domain.events import NAMES
from domain.ports import Page, StoreUnavailable, StreamWrite, Tracking, TrackingConflict, VersionConflict
from infra import codec
from infra.codec import Stored


class MemoryEventStore:
    """One shard's log in a list. Events pass through the codec, and a refused append leaves a hole, as in Postgres."""

    def __init__(self) -> None:
        self._log: list[Recorded] = []
        self._streams: dict[UUID, list[Recorded]] = {}
        self._agents: dict[str, int] = {}
        self._position = 0
        self._grown = asyncio.Event()
        self.available = True

    async def append(self, writes: Sequence[StreamWrite], tracking: Tracking | None = None) -> tuple[Recorded, ...]:
        """See the port. Set `available` to False to play an outage."""
        self._reachable()
        rows = [(write, event, *codec.to_row(event)) for write in writes for event in write.events]
        versions: dict[UUID, int] = {}
        lost: list[UUID] = []
        for write in writes:
            if versions.setdefault(write.stream, len(self._streams.get(write.stream, ()))) != write.expected:
                lost.append(write.stream)
            versions[write.stream] += len(write.events)
        if lost:
            self._position += len(rows)
            raise VersionConflict(list(dict.fromkeys(lost)))
        if tracking is not None:
            if self._agents.get(tracking.agent, 0) != tracking.before:
                self._position += len(rows)
                raise TrackingConflict(f"{tracking.agent} is not at {tracking.before}")
            self._agents[tracking.agent] = tracking.after
        done = []
        for write, _, topic, state in rows:
            done.append(self._keep(write.stream, topic, state))
        self._grown.set()
        self._grown = asyncio.Event()
        return tuple(done)

    def append_of_newer_version(self, stream: UUID, topic: str) -> Recorded:
        """What newer code might append, of a type or schema that this code does not know."""
        meta = Stored(datetime(2026, 3, 1, tzinfo=UTC), "default", "someone", {"mood": "blue"})
        return self._keep(stream, topic, msgspec.json.encode(meta))

    def _keep(self, target: UUID, topic: str, state: bytes) -> Recorded:
        self._position += 1
        stream = self._streams.setdefault(target, [])
        event = codec.recorded(self._position, target, len(stream) + 1, topic, state)
        stream.append(event)
        self._log.append(event)
        return event

    async def load(self, stream: UUID, after: int = 0) -> tuple[Recorded, ...]:
        """See the port."""
        self._reachable()
        return tuple(self._streams.get(stream, ())[after:])

    async def load_only(self, stream: UUID, types: Sequence[type], after: int = 0) -> tuple[Recorded, ...]:
        """See the port."""
        names = {NAMES[each][0] for each in types}
        return tuple(event for event in await self.load(stream, after) if event.type in names)

    async def load_streams(self, streams: Sequence[UUID], through: int, besides: Sequence[type] = ()) -> tuple[Recorded, ...]:
        """See the port."""
        self._reachable()
        left_out = {NAMES[each] for each in besides}
        found = [event for stream in streams for event in self._streams.get(stream, ()) if event.position <= through]
        wanted = [event for event in found if (event.type, event.schema) not in left_out]
        return tuple(sorted(wanted, key=lambda event: event.position))

    async def read(self, after: int, limit: int = 1000) -> Page | None:
        """See the port."""
        self._reachable()
        start = bisect_right(self._log, after, key=lambda event: event.position)
        events = tuple(self._log[start : start + limit])
        if not events:
            return None
        previous = self._log[start - 1].position if start else 0
        return Page(previous, events[0].position, events[-1].position, events)

    async def head(self) -> int:
        """See the port."""
        self._reachable()
        return self._log[-1].position if self._log else 0

    async def tracked(self, agent: str) -> int:
        """The position of an agent, 0 before its first move."""
        self._reachable()
        return self._agents.get(agent, 0)

    async def pages(self, after: int, limit: int = 1000) -> AsyncIterator[Page]:
        """The port `Feed` on this log."""
        while True:
            grown = self._grown
            page = await self.read(after, limit)
            if page is None:
                await grown.wait()
                continue
            after = page.last
            yield page

    def _reachable(self) -> None:
        if not self.available:
            raise StoreUnavailable("the store is away")


class MemoryBlobs:
    """The port `Blobs` in a dict."""

    def __init__(self) -> None:
        self.content: dict[str, bytes] = {}

    async def put(self, content: bytes) -> str:
        """See the port."""
        digest = hashlib.sha256(content).hexdigest()
        self.content[digest] = content
        return digest

    async def get(self, digest: str) -> bytes:
        """See the port."""
        content = self.content[digest]
        if hashlib.sha256(content).hexdigest() != digest:
            raise ValueError(f"blob {digest} does not fit its digest")
        return content


class FixedClock:
    """The port `Clock`: stands still until a test moves it."""

    def __init__(self, at: datetime = datetime(2026, 3, 1, 10, 0, tzinfo=UTC)) -> None:
        self.at = at

    def now(self) -> datetime:
        """See the port."""
        return self.at

    def advance(self, seconds: float) -> datetime:
        """Move on, and return the new instant."""
        self.at += timedelta(seconds=seconds)
        return self.at
