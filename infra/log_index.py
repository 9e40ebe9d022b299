"""Which blobs hold the lines of a log: what the job's stream names, the truth also when no view has caught up.

A job that writes for hours has tens of thousands of segments, and whoever follows it may come back often. So what was read
of a stream is kept, for the jobs that were asked for last, and only what came since is read again.
"""

from collections import OrderedDict
from collections.abc import Sequence
from uuid import UUID

from domain.job.commands import Segment
from domain.job.events import LogSegmentStored
from domain.ports import EventStore

SEGMENTS_MAX = 100_000
"""So many are kept, of all jobs together; about 30 MB."""


class Known:
    """The segments of a job by attempt, from its stream up to a version."""

    def __init__(self) -> None:
        self.version = 0
        self.count = 0
        self.by_attempt: dict[int, list[Segment]] = {}


class LogIndex:
    """One per log store."""

    def __init__(self, store: EventStore, segments_max: int = SEGMENTS_MAX) -> None:
        self._store = store
        self._max = segments_max
        self._known: OrderedDict[UUID, Known] = OrderedDict()
        self._count = 0

    async def segments(self, job: UUID, attempt: int) -> Sequence[Segment]:
        """All that events name by now, in order. It must not be changed."""
        known = self._known.setdefault(job, Known())
        before = known.count
        for event in await self._store.load_only(job, (LogSegmentStored,), known.version):
            data = event.data
            if isinstance(data, LogSegmentStored) and event.version > known.version:  # another reader may have been here meanwhile
                segment = Segment(data.segment, data.first_line, data.lines, data.bytes, data.sha256, data.text_bytes)
                known.by_attempt.setdefault(data.attempt, []).append(segment)
                known.version = event.version
                known.count += 1
        if self._known.get(job) is known:
            self._count += known.count - before
            self._bound(job)
        return known.by_attempt.get(attempt, ())

    def _bound(self, job: UUID) -> None:
        """Forget what was asked for longest ago, and what has nothing to keep."""
        self._known.move_to_end(job)
        if not self._known[job].count:
            del self._known[job]
        while self._count > self._max and len(self._known) > 1:
            _, gone = self._known.popitem(last=False)
            self._count -= gone.count
