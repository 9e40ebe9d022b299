"""The log as a document: any range of bytes is that slice of the whole, read from the segments that it touches alone."""

import random
from pathlib import Path
from typing import Any

import pytest

from domain.job.events import LogSegmentStored
from domain.ports import NewEvent, StreamWrite
from gateway.auth import Identity
from gateway.byte_range import ByteRange, asked
from gateway.http import Request
from gateway.log_documents import LogDocuments
from gateway.problems import ProblemError
from infra.blobs import FileBlobs
from infra.log_store import LogStore
from tests.domain.scenario import created
from tests.infra.test_log_store import JOB, World
from tests.samples import meta

LINES, SEGMENT_LINES = 400, 50


class CountedBlobs(FileBlobs):
    """Blobs on disk that note what is read."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.read: list[str] = []

    async def get(self, digest: str) -> bytes:
        """See the port."""
        self.read.append(digest)
        return await super().get(digest)


class Reader:
    """Asks for the log of a world as a gateway that has not written it, or as the one that writes it."""

    def __init__(self, world: World, *, other: bool) -> None:
        logs = LogStore(world.jobs, world.store, world.blobs, lambda _: None) if other else world.logs  # type: ignore[arg-type]  # see World
        self.documents = LogDocuments(world.store, logs)
        self.headers: dict[bytes, bytes] = {}
        self.status = 0

    async def get(self, query: str = "", **headers: str) -> bytes:
        """The body; status and headers are kept."""
        sent = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
        scope = {"headers": sent, "query_string": f"attempt=1{query}".encode()}
        request = Request(scope, lambda: None, Identity(tenant="default", role="admin", actor="someone", token="token"), "request", (JOB,))  # type: ignore[arg-type, return-value]  # a GET without a body
        parts: list[bytes] = []

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                self.status, self.headers = message["status"], dict(message["headers"])
            else:
                parts.append(message["body"])

        await self.documents.document(request, send)
        return b"".join(parts)


@pytest.fixture
async def world(tmp_path: Path) -> World:
    """A log of eight segments on disk, whose lines are of one to four bytes a character, and some lines in memory."""
    made = World(CountedBlobs(tmp_path / "blobs"))
    await made.store.append([StreamWrite(JOB, 0, (NewEvent(created(), meta()),))])
    for first in range(1, LINES, SEGMENT_LINES):
        await made.send(first, first + SEGMENT_LINES - 1, "\u00e9\u20ac\U0001f600 x" * (first % 7))
        await made.logs.flush()
    await made.send(LINES + 1, LINES + 10, "in memory")
    return made


@pytest.mark.parametrize("kind", ["text/plain", "application/x-ndjson"])
async def test_any_range_is_that_slice_of_the_whole(world: World, kind: str) -> None:
    """Within a segment, across segments and into memory; Content-Range and Content-Length say what it is."""
    reader = Reader(world, other=False)
    whole = await reader.get(accept=kind)
    assert (reader.status, reader.headers[b"accept-ranges"]) == (200, b"bytes")
    chance = random.Random(3)
    for _ in range(60):
        first = chance.randrange(len(whole))
        last = chance.randrange(first, len(whole) + 50)
        assert await reader.get(accept=kind, range=f"bytes={first}-{last}") == whole[first : last + 1]
        last = min(last, len(whole) - 1)
        assert reader.status == 206
        assert reader.headers[b"content-range"].decode() == f"bytes {first}-{last}/{len(whole)}"
        assert reader.headers[b"content-length"].decode() == str(last - first + 1)
    assert await reader.get(accept=kind, range=f"bytes={first}-") == whole[first:]
    assert await reader.get(accept=kind, range="bytes=-7") == whole[-7:]


async def test_only_the_segments_that_a_range_touches_are_read(world: World) -> None:
    """Bytes or lines in the middle cost one blob of eight, on the real blob store; so does the end."""
    reader = Reader(world, other=True)
    whole = await reader.get()
    assert len(world.blobs.read) == LINES // SEGMENT_LINES
    lines = whole.splitlines(keepends=True)
    start = len(b"".join(lines[:120]))
    for asking, expected in (
        ({"range": f"bytes={start}-{start + 9}"}, whole[start : start + 10]),
        ({"query": "&from_line=121&to_line=130"}, b"".join(lines[120:130])),
        ({"range": "bytes=-5"}, whole[-5:]),
    ):
        world.blobs.read.clear()
        assert await reader.get(**asking) == expected
        assert len(world.blobs.read) == 1
    world.blobs.read.clear()
    edge = len(b"".join(lines[:SEGMENT_LINES]))
    assert await reader.get(range=f"bytes={edge - 1}-{edge}") == whole[edge - 1 : edge + 1]
    assert len(world.blobs.read) == 2


async def test_segments_of_an_older_version_are_measured() -> None:
    """Their events do not say how long their text is: they are read, and ranges are right all the same."""
    world = World()
    await world.store.append([StreamWrite(JOB, 0, (NewEvent(created(), meta()),))])
    for first in range(1, 1000, 100):
        world.jobs.older = first < 500
        await world.send(first, first + 99, "\u20ac" * (first % 7))
        await world.logs.flush()
    assert [event.data.text_bytes is None for event in await world.store.load_only(JOB, (LogSegmentStored,))] == [True] * 5 + [False] * 5
    reader = Reader(world, other=True)
    whole = await reader.get()
    assert await reader.get(range="bytes=1000-7000") == whole[1000:7001]


async def test_bytes_that_a_log_does_not_have_are_refused_with_its_size(world: World) -> None:
    """416 says how many there are, so that a client that follows by ranges asks from there later."""
    reader = Reader(world, other=False)
    size = len(await reader.get())
    for wanted in (f"bytes={size}-", f"bytes={size + 5}-{size + 9}", "bytes=-0"):
        with pytest.raises(ProblemError) as refused:
            await reader.get(range=wanted)
        assert refused.value.problem.status == 416
        assert refused.value.headers == (("Content-Range", f"bytes */{size}"),)
    await world.send(LINES + 11, LINES + 11, "more")
    assert await reader.get(range=f"bytes={size}-") == b"more\n"


async def test_what_is_no_single_range_of_the_whole_gives_what_was_asked_otherwise(world: World) -> None:
    """RFC 9110 lets a server leave such a Range aside: several, unknown units, a validator that nothing here has, filters."""
    reader = Reader(world, other=False)
    whole = await reader.get()
    for wanted in ("bytes=0-1,4-5", "lines=1-2", "bytes=9-4", "bytes=-", "bytes"):
        assert await reader.get(range=wanted) == whole
    assert await reader.get(range="bytes=0-1", if_range='"x"') == whole
    assert await reader.get("&grep=memory", range="bytes=0-1") == b"in memory\n" * 10
    assert reader.status == 200


def test_ranges_of_an_empty_document() -> None:
    """None of them can be given."""
    assert [ByteRange(first, last).within(0) for first, last in ((0, None), (None, 5), (0, 0))] == [None, None, None]
    assert asked({b"range": b"bytes=0-499"}) == ByteRange(0, 499)
