"""Log segments: what is acknowledged as stored is in a blob that an event names."""

import asyncio
import zlib
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import msgspec
import pytest

from commands.handle import Origin, Outcome
from domain.envelope import Meta, Recorded
from domain.job.commands import StoreLogSegments
from domain.job.events import LogSegmentStored
from domain.ports import NewEvent, StoreUnavailable, StreamWrite
from domain.refusals import Refusal
from infra import log_store
from infra.log_store import GZIP, LogStore
from tests.fakes import FixedClock, MemoryBlobs, MemoryEventStore

JOB, RUNNER, LEASE = (UUID(int=number) for number in (1, 2, 3))
FENCE = StoreLogSegments(JOB, runner=RUNNER, attempt=1, epoch=1, lease=LEASE, segments=())
ORIGIN = Origin("default", "runner:1")


class JobStream:
    """Stands for the handler: appends what StoreLogSegments asks for, or refuses, or is away."""

    def __init__(self, store: MemoryEventStore) -> None:
        self.store = store
        self.refusal: Refusal | None = None
        self.away = False
        self.older = False
        self.committed = asyncio.Event()

    async def handle(self, command: StoreLogSegments, _origin: Origin) -> Outcome:
        """Carry out one command."""
        if self.away:
            raise StoreUnavailable("STO005: away")
        events: Sequence[Recorded] = ()
        known = [each.data.segment for each in await self.store.load(JOB) if isinstance(each.data, LogSegmentStored)]
        if self.refusal is None and command.segments[0].segment not in known:
            events = await self.append(command)
        self.committed.set()
        return Outcome(0, tuple(events), refusal=self.refusal)

    async def append(self, command: StoreLogSegments) -> Sequence[Recorded]:
        """The events of a command; those of an older version do not say how long the text is."""
        meta = Meta(FixedClock().now(), "default", "runner:1")
        events = [
            NewEvent(
                LogSegmentStored(
                    command.attempt,
                    command.epoch,
                    s.segment,
                    s.first_line,
                    s.lines,
                    s.bytes,
                    s.sha256,
                    None if self.older else s.text_bytes,
                ),
                meta,
            )
            for s in command.segments
        ]
        return await self.store.append([StreamWrite(JOB, len(await self.store.load(JOB)), tuple(events))])


class World:
    """A log store on fakes."""

    def __init__(self, blobs: Any = None) -> None:
        self.store = MemoryEventStore()
        self.blobs = blobs or MemoryBlobs()
        self.jobs = JobStream(self.store)
        self.changed: list[UUID] = []
        self.logs = LogStore(self.jobs, self.store, self.blobs, self.changed.append)  # type: ignore[arg-type]  # only `handle` is called

    async def send(self, first: int, last: int, text: str = "line") -> tuple[int, int]:
        """Hand over lines first .. last."""
        body = b"".join(msgspec.json.encode({"line": number, "text": text}) + b"\n" for number in range(first, last + 1))
        return await self.logs.accept(FENCE, ORIGIN, first, last - first + 1, body)

    async def lines(self, logs: LogStore | None = None, first: int = 1, last: int | None = None) -> list[int]:
        """The numbers of the lines that can be read."""
        found: list[int] = []
        async for start, records in (logs or self.logs).read(JOB, 1, first, last):
            assert start == msgspec.json.decode(records[0])["line"]
            found.extend(msgspec.json.decode(record)["line"] for record in records)
        return found


@pytest.fixture
def world() -> World:
    """Fakes, fresh."""
    return World()


async def test_lines_can_be_read_before_they_are_stored(world: World) -> None:
    """Readers that follow are told at once."""
    assert await world.send(1, 3) == (3, 0)
    assert await world.lines() == [1, 2, 3]
    assert world.changed == [JOB]


async def test_a_large_segment_is_stored_at_once(world: World) -> None:
    """At 256 KB nobody waits for the second to pass; the blob is gzip and its event names lines and bytes."""
    await world.send(1, 3000, "x" * 100)
    await world.jobs.committed.wait()
    (event,) = await world.store.load(JOB)
    assert (event.data.first_line, event.data.lines, event.data.segment) == (1, 3000, 1)
    text = zlib.decompress(await world.blobs.get(event.data.sha256), GZIP)
    assert len(text) == event.data.bytes
    assert await world.send(3001, 3001) == (3001, 3000)


async def test_a_small_segment_is_stored_after_its_time(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Few lines do not wait for many."""
    monkeypatch.setattr(log_store, "FLUSH_SECONDS", 0.01)
    await world.send(1, 1)
    await asyncio.wait_for(world.jobs.committed.wait(), 10)
    assert await world.send(2, 2) == (2, 1)


async def test_nothing_is_acknowledged_while_the_store_is_away(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lines wait in memory and are stored once when it is back."""
    monkeypatch.setattr(log_store, "FLUSH_SECONDS", 0.01)
    world.jobs.away = True
    assert await world.send(1, 2) == (2, 0)
    await world.logs.flush()
    assert await world.send(3, 3) == (3, 0)
    world.jobs.away = False
    await asyncio.wait_for(world.jobs.committed.wait(), 10)
    assert await world.send(4, 4) == (4, 3)
    assert await world.lines() == [1, 2, 3, 4]


async def test_a_store_that_is_away_bounds_what_waits_in_memory(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Past the bound lines are refused and wait with the runner; back again, everything goes on."""
    monkeypatch.setattr(log_store, "PENDING_BYTES_MAX", 100_000)
    monkeypatch.setattr(log_store, "FLUSH_SECONDS", 0.01)
    world.jobs.away = True
    await world.send(1, 1000, "x" * 100)
    with pytest.raises(StoreUnavailable, match="wait to be stored"):
        await world.send(1001, 1002)
    world.jobs.away = False
    await asyncio.wait_for(world.jobs.committed.wait(), 10)
    assert await world.send(1001, 1002) == (1002, 1000)


async def test_a_full_disk_acknowledges_nothing(world: World) -> None:
    """The blob could not be written, so no event may name it."""
    world.blobs.put = out_of_space  # type: ignore[method-assign]  # a full disk, played
    await world.send(1, 1)
    await world.logs.flush()
    assert await world.store.load(JOB) == ()
    assert await world.send(2, 2) == (2, 0)


async def out_of_space(content: bytes) -> str:
    """A disk without room."""
    raise OSError(28, "No space left on device")


async def test_sealing_twice_gives_the_same_segment(world: World) -> None:
    """A completion that is sent again names the same blob under the same number."""
    await world.send(1, 5)
    given = []
    for last_line in (5, 5, 0):
        async with world.logs.seal(FENCE, ORIGIN, last_line) as sealed:
            given.append(sealed)
    received, segments = given[0]
    assert given == [given[0]] * 3
    assert (received, [(segment.segment, segment.lines) for segment in segments]) == (5, [(1, 5)])


@pytest.mark.parametrize("ended", [True, False])
async def test_lines_that_a_report_names_are_named_by_nobody_else(world: World, *, ended: bool) -> None:
    """Their time to be stored comes while the report is under way. Where that fails, they are stored as ever."""
    await world.send(1, 5)
    async with world.logs.seal(FENCE, ORIGIN, 5):
        flushing = asyncio.ensure_future(world.logs.flush())
        for _ in range(20):
            await asyncio.sleep(0)
        assert not world.jobs.committed.is_set()
        if ended:
            world.logs.close(JOB, 1)
    await flushing
    assert world.jobs.committed.is_set() is not ended


async def test_another_process_reads_and_continues_what_is_stored(world: World) -> None:
    """Its knowledge is the stream; what was only in memory has to be sent again."""
    await world.send(1, 4)
    await world.logs.flush()
    await world.send(5, 6)
    other = LogStore(world.jobs, world.store, world.blobs, lambda _: None)  # type: ignore[arg-type]  # see World
    assert await world.lines(other) == [1, 2, 3, 4]
    assert await other.accept(FENCE, ORIGIN, 7, 1, b"{}\n") == (4, 4)


async def test_a_stale_lease_closes_the_log(world: World) -> None:
    """The attempt is over: what it still had in memory is dropped, what was stored stays."""
    await world.send(1, 2)
    await world.logs.flush()
    world.jobs.refusal = Refusal("lease_lost", "the job is done")
    await world.send(3, 4)
    await world.logs.flush()
    assert await world.lines() == [1, 2]


async def test_any_range_is_read_across_segments_and_memory(world: World) -> None:
    """Stored segments first, then what is in memory, each line once."""
    for first in (1, 4, 7):
        await world.send(first, first + 2)
        await world.logs.flush()
    await world.send(10, 12)
    for low, high in ((1, 12), (2, 2), (3, 4), (6, 10), (9, 99), (12, 12), (13, 20)):
        assert await world.lines(first=low, last=high) == list(range(low, min(high, 12) + 1))


async def test_a_long_log_leaves_memory_and_can_still_be_read(world: World) -> None:
    """Only the recent part of what is stored stays in memory."""
    for first in range(1, 9001, 1000):
        await world.send(first, first + 999, "y" * 100)
        await world.logs.flush()
    assert await world.lines() == list(range(1, 9001))
    opened = world.logs._open[JOB, 1]
    assert opened.recent_bytes < 2 * log_store.RECENT_BYTES


async def test_a_runner_may_change_to_another_gateway_and_back(world: World) -> None:
    """Both have lines in memory; whoever names its segment first has the word, the other one asks for what is missing again."""
    other = LogStore(world.jobs, world.store, world.blobs, lambda _: None)  # type: ignore[arg-type]  # see World
    assert await world.send(1, 4) == (4, 0)
    body = b"".join(msgspec.json.encode({"line": number, "text": "x"}) + b"\n" for number in range(1, 7))
    assert await other.accept(FENCE, ORIGIN, 1, 6, body) == (6, 0)
    await world.logs.flush()
    await other.flush()
    assert [(event.data.segment, event.data.lines) for event in await world.store.load(JOB)] == [(1, 4)]
    assert await other.accept(FENCE, ORIGIN, 7, 1, b"{}\n") == (4, 4), "lines 5 and 6 are nowhere, and must not count as stored"
    assert await other.accept(FENCE, ORIGIN, 1, 6, body) == (6, 4)
    await other.flush()
    for event in await world.store.load(JOB):
        world.logs.heard(JOB, event.data)
        other.heard(JOB, event.data)
    assert await world.lines() == await world.lines(other) == [1, 2, 3, 4, 5, 6]
    assert await world.send(7, 7) == (7, 6)


async def test_an_answer_that_is_lost_stores_nothing_twice(world: World) -> None:
    """The segment was named, and nobody knows: the next try finds it so, and the log goes on behind it."""
    await world.send(1, 2)
    honest = world.jobs.handle

    async def lose(command: StoreLogSegments, origin: Origin) -> Outcome:
        await honest(command, origin)
        raise StoreUnavailable("STO005: the connection broke")

    world.jobs.handle = lose  # type: ignore[method-assign]  # a broken connection, played
    await world.logs.flush()
    world.jobs.handle = honest  # type: ignore[method-assign]  # mended
    await world.logs.flush()
    assert await world.send(3, 3) == (3, 2)
    assert await world.lines() == [1, 2, 3]
