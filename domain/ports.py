"""The ports that two floors share. Adapters carry their technology in their name (`PostgresEventStore`)."""

from collections.abc import AsyncIterator, Collection, Sequence
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

import msgspec

from domain.envelope import Meta, Recorded
from domain.job.commands import AcquireJob
from domain.job.state import Acquired
from domain.scheduling.line import ReadyJob


class NewEvent(msgspec.Struct, frozen=True, gc=False):
    """An event that is not yet in the log, with its envelope."""

    data: Any
    meta: Meta


class StreamWrite(msgspec.Struct, frozen=True, gc=False):
    """Events for one stream. expected: the version the stream has before the write (0: it must not exist)."""

    stream: UUID
    expected: int
    events: tuple[NewEvent, ...]


class Tracking(msgspec.Struct, frozen=True, gc=False):
    """Moves an agent's position in the same transaction as its effects, from `before` to `after`."""

    agent: str
    before: int
    after: int


class VersionConflict(Exception):  # noqa: N818 - an outcome with a name of its own
    """Another writer was first. streams: whose expected version no longer holds."""

    def __init__(self, streams: Sequence[UUID]) -> None:
        self.streams = tuple(streams)
        super().__init__(f"expected version does not hold for {', '.join(map(str, streams))}")


class TrackingConflict(Exception):  # noqa: N818 - see VersionConflict
    """The agent's position was moved by another process."""


class StoreUnavailable(Exception):  # noqa: N818 - see VersionConflict
    """The store cannot be reached or cannot write (full disk). The command is not acknowledged; try again."""


class StoreSilent(StoreUnavailable):
    """The store cannot be used from here, which says nothing about others: a broken network, a URL that names a standby."""


class CommitUnknown(StoreSilent):
    """The connection was lost during the commit and stayed away: the events are in the log or not. Load, then decide again."""


class StreamUnreadable(Exception):  # noqa: N818 - see VersionConflict
    """A stream holds an event that this code cannot read or follow, so nothing can be decided on it here: other code can."""

    def __init__(self, event: Recorded, because: str = "this version cannot read it") -> None:
        self.stream = event.stream
        super().__init__(f"nothing goes on in stream {event.stream}: {event.type}.v{event.schema} at position {event.position}: {because}")


class Page(msgspec.Struct, frozen=True, gc=False):
    """Committed events in position order. previous: the position of the event before the first one (0: none)."""

    previous: int
    first: int
    last: int
    events: tuple[Recorded, ...]


class EventStore(Protocol):
    """One shard's log."""

    async def append(self, writes: Sequence[StreamWrite], tracking: Tracking | None = None) -> tuple[Recorded, ...]:
        """Append to several streams in one transaction; returns the events with their positions, in given order.

        Returns after the commit. Raises VersionConflict, TrackingConflict or StoreUnavailable; then nothing was written,
        except with CommitUnknown, which leaves it open.
        """

    async def load(self, stream: UUID, after: int = 0) -> tuple[Recorded, ...]:
        """The events of a stream with version > after, in order."""

    async def load_only(self, stream: UUID, types: Sequence[type], after: int = 0) -> tuple[Recorded, ...]:
        """Of what `load` gives only the events of these types. What else the stream holds costs its reader nothing."""

    async def load_streams(self, streams: Sequence[UUID], through: int, besides: Sequence[type] = ()) -> tuple[Recorded, ...]:
        """The events of several streams with position <= through, in position order, in one question.

        besides: types of events that are left out, in their newest shape; what they hold costs nothing.
        """

    async def read(self, after: int, limit: int = 1000) -> Page | None:
        """The next committed events with position > after, at most `limit`; None when there are none."""

    async def tracked(self, agent: str) -> int:
        """The position that an agent's `Tracking` moved it to last, 0 before the first."""

    async def head(self) -> int:
        """The position of the last committed event, 0 for an empty log."""


class Feed(Protocol):
    """Pages of committed events in order, without a gap, from any position; waits at the end of the log."""

    def pages(self, after: int, limit: int = 1000) -> AsyncIterator[Page]:
        """Every event with position > after, once and in order. Ends only when the consumer stops."""


class Clock(Protocol):
    """The store's time (UTC), carried on by this process's monotonic clock."""

    def now(self) -> datetime:
        """The current instant; it never goes backwards within a process."""


class Blobs(Protocol):
    """Content-addressed bytes; a digest is the lower-case hexadecimal SHA-256."""

    async def put(self, content: bytes) -> str:
        """Store durably; returns the digest. Storing the same bytes again is free."""

    async def get(self, digest: str) -> bytes:
        """The bytes. Raises KeyError when they are not there, ValueError when they do not fit their digest."""


class Deadlines(Protocol):
    """What falls due, read from the deadlines view."""

    async def due(self, now: datetime, limit: int = 100) -> list[tuple[UUID, str]]:
        """(job, kind) whose deadline is at or before now; kind: "lease", "accept", "step", "job", "queue", "retry", "cancel".

        Also (run, "run") for a run that has taken too long.
        """

    async def next_at(self) -> datetime | None:
        """The earliest deadline, or None."""


class DueSchedules(Protocol):
    """Schedules whose time has come, read from the schedules view."""

    async def due(self, now: datetime, besides: Collection[UUID], limit: int) -> list[UUID]:
        """The streams that are due at or before now, the earliest first; none of `besides`."""


class ReadyJobs(Protocol):
    """The runners that wait in this process for a job. A job that becomes ready is handed to one of them in its own commit."""

    def reserve(self, jobs: Sequence[ReadyJob]) -> Sequence[AcquireJob]:
        """Which of these jobs a waiting runner takes, once their events are decided on and before they are committed.

        Each one that is named takes a slot until it is settled.
        """

    def settle(self, job: UUID, state: Acquired | None) -> None:
        """What came of a reserved job: the runner holds it, or (None) its commit did not come about."""
