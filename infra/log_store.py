"""Log lines: open segments in memory, closed ones as compressed blobs, one text from both.

Lines are data, not events. A batch that a runner sends goes into the open segment of its (job, attempt) and is visible
to live readers at once; after a second, at 256 KB, or when the attempt ends, the segment is compressed, put into the
blob store, and only then named by a LogSegmentStored event. What such an event names is durable (`stored_through`); the
runner keeps every later line, so a gateway that dies loses none: its successor continues from the stream. A runner may
also change to another gateway while this one lives: whoever hears of a segment that it has not named itself forgets what
it has in memory, so that one gateway at a time has the word, and lines that only another one had are asked for again.

A record is one JSON object `{line, step, at, stream, text}`; a segment is such records, one a line, in gzip form. The
text was masked by the runner; nothing here may ever see or keep an unmasked line, nor acknowledge one as stored before
its event is committed.
"""

import asyncio
import logging
import zlib
from bisect import bisect_right
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from operator import attrgetter
from uuid import UUID

import msgspec
from msgspec.structs import replace

from commands.handle import Handler, Origin
from domain.job.commands import Segment, StoreLogSegments
from domain.job.events import LogSegmentStored
from domain.log_records import Extent, as_text
from domain.ports import Blobs, EventStore, StoreUnavailable
from infra.log_index import LogIndex

log = logging.getLogger(__name__)

FLUSH_SECONDS = 1.0
SEGMENT_BYTES = 256 * 1024
PENDING_BYTES_MAX = 16 * 1024 * 1024
"""So much of one log waits in memory while the store is away or slow; then lines are refused, and wait with the runner."""
RECENT_BYTES = 256 * 1024
"""So much of the text that is stored already stays in memory for readers that follow."""

_first_line = attrgetter("first_line")
GZIP = 31
"""`wbits` of zlib for the gzip form, whose header then holds no time: the same lines give the same digest."""


class Chunk(msgspec.Struct, frozen=True, gc=False):
    """Records first .. first + count - 1 as JSON lines, each ended by a newline."""

    first: int
    count: int
    body: bytes

    @property
    def last(self) -> int:
        """The number of the last line."""
        return self.first + self.count - 1

    def cut(self, first: int, last: int) -> list[bytes]:
        """Those of its records that lie within first .. last."""
        records = self.body.splitlines()
        return records[max(0, first - self.first) : max(0, last - self.first + 1)]


class OpenLog:
    """The log of one live attempt. naming: digest of the segment that is being named by an event, "": none is."""

    def __init__(self, fence: StoreLogSegments, origin: Origin, stored: list[Segment]) -> None:
        self.fence = fence
        self.origin = origin
        self.stored = stored
        self.stored_through = stored[-1].first_line + stored[-1].lines - 1 if stored else 0
        self.received_through = self.stored_through
        self.pending: list[Chunk] = []
        self.pending_bytes = 0
        self.recent: deque[Chunk] = deque()
        self.recent_bytes = 0
        self.lock = asyncio.Lock()
        self.naming = ""
        self.timer: asyncio.Handle | None = None

    def add(self, chunk: Chunk) -> None:
        """Keep a chunk that continues the log."""
        self.pending.append(chunk)
        self.pending_bytes += len(chunk.body)
        self.recent.append(chunk)
        self.recent_bytes += len(chunk.body)
        self.received_through = chunk.last

    def recent_from(self, first: int) -> list[Chunk]:
        """The chunks in memory that hold line `first` and what follows; who follows asks for the last few of many."""
        found: list[Chunk] = []
        for chunk in reversed(self.recent):
            if chunk.last < first:
                break
            found.append(chunk)
        return found[::-1]

    def settle(self, segment: Segment) -> None:
        """The segment's event is committed: its lines are durable."""
        self.stored.append(segment)
        self.stored_through = segment.first_line + segment.lines - 1
        while self.pending and self.pending[0].last <= self.stored_through:
            self.pending_bytes -= len(self.pending.pop(0).body)
        while self.recent and self.recent_bytes > RECENT_BYTES and self.recent[0].last <= self.stored_through:
            self.recent_bytes -= len(self.recent.popleft().body)


class LogStore:
    """All logs that this process can read, and the open ones that it writes.

    changed: called with the job's id whenever a log has new lines, so that readers that follow look again.
    """

    def __init__(self, handler: Handler, store: EventStore, blobs: Blobs, changed: Callable[[UUID], None]) -> None:
        self._handler = handler
        self._index = LogIndex(store)
        self._blobs = blobs
        self._changed = changed
        self._open: dict[tuple[UUID, int], OpenLog] = {}
        self._flushes: set[asyncio.Task[None]] = set()

    async def accept(self, fence: StoreLogSegments, origin: Origin, first: int, count: int, body: bytes) -> tuple[int, int]:
        """Take lines first .. first + count - 1 of a live attempt; returns (received_through, stored_through).

        fence: the lease under which segments are named (its own are empty); the caller has checked that it is live.
        Lines known already are dropped. Lines that leave a gap are dropped too: the answer says where to go on. Raises
        StoreUnavailable while too much waits to be stored.
        """
        opened = await self._opened(fence, origin)
        if opened.pending_bytes >= PENDING_BYTES_MAX:
            raise StoreUnavailable(f"STO012: {opened.pending_bytes >> 20} MB of this log wait to be stored. Help: send the lines again.")
        missing = opened.received_through + 1
        if count and first <= missing <= first + count - 1:
            chunk = Chunk(first, count, body)
            if first < missing:
                chunk = Chunk(missing, chunk.last - missing + 1, b"".join(record + b"\n" for record in chunk.cut(missing, chunk.last)))
            opened.add(chunk)
            self._changed(fence.job)
            self._plan_flush(opened)
        return opened.received_through, opened.stored_through

    @asynccontextmanager
    async def seal(self, fence: StoreLogSegments, origin: Origin, last_line: int) -> AsyncIterator[tuple[int, tuple[Segment, ...]]]:
        """The attempt ends: put what is open into the blob store; gives (received_through, segments still to be named).

        last_line: how many lines the runner says there are; where there is none, nothing is looked for. Within the block the
        caller names the segments in ReportAttempt and calls `close` after its commit; so long nobody else names them, or
        their event would come after the end, and be refused as a stale write of a runner that did nothing wrong.
        """
        if last_line == 0 and (fence.job, fence.attempt) not in self._open:
            yield 0, ()
            return
        opened = await self._opened(fence, origin)
        async with opened.lock:
            segment = await self._put(opened)
            try:
                yield opened.received_through, (segment,) if segment else ()
            finally:
                opened.naming = ""

    def heard(self, job: UUID, stored: LogSegmentStored) -> None:
        """An event names a segment. Where it is not one of ours, another gateway goes on with this log."""
        opened = self._open.get((job, stored.attempt))
        if opened is not None and stored.segment > len(opened.stored) and stored.sha256 != opened.naming:
            self.close(job, stored.attempt)

    def close(self, job: UUID, attempt: int) -> None:
        """The attempt is over and its segments are named by events, or another gateway has the word; forget what is in memory."""
        opened = self._open.pop((job, attempt), None)
        if opened is not None and opened.timer is not None:
            opened.timer.cancel()
        self._changed(job)

    def received_through(self, job: UUID, attempt: int) -> int | None:
        """The number of the last line of an attempt whose lines this process takes; None where it does not know."""
        opened = self._open.get((job, attempt))
        return None if opened is None else opened.received_through

    async def read(self, job: UUID, attempt: int, first: int = 1, last: int | None = None) -> AsyncIterator[tuple[int, list[bytes]]]:
        """Records first .. last (None: all that are there) in order, in pages of (number of the first, records)."""
        opened = self._open.get((job, attempt))
        segments = opened.stored if opened else await self._index.segments(job, attempt)
        segments = segments[max(0, bisect_right(segments, first, key=_first_line) - 1) :]
        chunks = opened.recent_from(first) if opened else []
        in_memory_from = opened.recent[0].first if opened and opened.recent else None
        end = last if last is not None else 2**62
        at = first
        for segment in segments:
            through = segment.first_line + segment.lines - 1
            if through < at or segment.first_line > end or (in_memory_from is not None and at >= in_memory_from):
                continue
            records = (await self._chunk(segment)).cut(at, end)
            if records:
                yield at, records
                at += len(records)
        for chunk in chunks:
            if chunk.last < at or chunk.first > end:
                continue
            records = chunk.cut(at, end)
            yield at, records
            at += len(records)

    async def extents(self, job: UUID, attempt: int) -> list[Extent]:
        """The pieces of a log from line 1 on. A blob is read only where an older version did not say how long its text is."""
        opened = self._open.get((job, attempt))
        pending = list(opened.pending) if opened else []
        found = []
        for segment in list(opened.stored if opened else await self._index.segments(job, attempt)):
            size = segment.text_bytes
            if size is None:
                size = len(as_text((await self._chunk(segment)).body.splitlines()))
            found.append(Extent(segment.first_line, segment.lines, segment.bytes, size))
        return found + [Extent(chunk.first, chunk.count, len(chunk.body), len(as_text(chunk.body.splitlines()))) for chunk in pending]

    async def flush(self) -> None:
        """Store all that is open, now (graceful stop)."""
        await asyncio.gather(*(self._flush(opened) for opened in list(self._open.values())))

    async def _opened(self, fence: StoreLogSegments, origin: Origin) -> OpenLog:
        key = (fence.job, fence.attempt)
        opened = self._open.get(key)
        if opened is None:
            stored = await self._index.segments(fence.job, fence.attempt)
            opened = self._open.setdefault(key, OpenLog(fence, origin, list(stored)))
        return opened

    async def _chunk(self, segment: Segment) -> Chunk:
        packed = await self._blobs.get(segment.sha256)
        return Chunk(segment.first_line, segment.lines, await asyncio.to_thread(zlib.decompress, packed, GZIP))

    def _plan_flush(self, opened: OpenLog) -> None:
        if opened.timer is not None and opened.pending_bytes < SEGMENT_BYTES:
            return
        if opened.timer is not None:
            opened.timer.cancel()
        loop = asyncio.get_running_loop()
        delay = 0 if opened.pending_bytes >= SEGMENT_BYTES else FLUSH_SECONDS
        opened.timer = loop.call_later(delay, self._start_flush, opened)

    def _start_flush(self, opened: OpenLog) -> None:
        task = asyncio.create_task(self._flush(opened))
        self._flushes.add(task)
        task.add_done_callback(self._flushes.discard)

    async def _flush(self, opened: OpenLog) -> None:
        fence = opened.fence
        async with opened.lock:
            opened.timer = None
            if self._open.get((fence.job, fence.attempt)) is not opened:
                return
            try:
                segment = await self._put(opened)
                if segment is None:
                    return
                outcome = await self._handler.handle(replace(fence, segments=(segment,)), opened.origin)
            except (StoreUnavailable, OSError) as error:
                log.warning("log lines of job %s wait in memory: %s", fence.job, error)
                opened.timer = asyncio.get_running_loop().call_later(FLUSH_SECONDS, self._start_flush, opened)
                return
            finally:
                opened.naming = ""
            if self._open.get((fence.job, fence.attempt)) is not opened:
                return
            if outcome.refusal is not None:
                log.info("log of job %s attempt %s is closed: %s", fence.job, fence.attempt, outcome.refusal.message)
                self.close(fence.job, fence.attempt)
                return
            if not outcome.events:  # one of this number was named before: ours, whose answer was lost, or another gateway's
                self.close(fence.job, fence.attempt)
                return
            opened.settle(segment)
            if opened.pending:
                self._plan_flush(opened)

    async def _put(self, opened: OpenLog) -> Segment | None:
        if not opened.pending:
            return None
        chunks = list(opened.pending)
        text = b"".join(chunk.body for chunk in chunks)
        packed, text_bytes = await asyncio.to_thread(_packed, text) if len(text) > SEGMENT_BYTES // 8 else _packed(text)
        digest = opened.naming = await self._blobs.put(packed)
        return Segment(len(opened.stored) + 1, chunks[0].first, sum(chunk.count for chunk in chunks), len(text), digest, text_bytes)


def _packed(records: bytes) -> tuple[bytes, int]:
    """The blob of a segment, and how many bytes its lines have as text."""
    return zlib.compress(records, 1, GZIP), len(as_text(records.splitlines()))
