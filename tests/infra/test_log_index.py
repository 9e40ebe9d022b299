"""What names the blobs of a log is read once, and then only what came since."""

from collections.abc import Sequence
from uuid import UUID

from domain.envelope import Recorded
from domain.job import events as e
from domain.ports import NewEvent, StreamWrite
from infra.log_index import LogIndex
from tests.fakes import MemoryEventStore
from tests.samples import AT, meta

JOBS = [UUID(int=number) for number in range(1, 4)]


class Store(MemoryEventStore):
    """Counts the events that readers get."""

    def __init__(self) -> None:
        super().__init__()
        self.given = 0

    async def load_only(self, stream: UUID, types: Sequence[type], after: int = 0) -> tuple[Recorded, ...]:
        found = await super().load_only(stream, types, after)
        self.given += len(found)
        return found

    async def grow(self, job: UUID, attempt: int, *numbers: int) -> None:
        """The job stores log segments, and says other things between them."""
        at = len(await self.load(job))
        said: list[e.JobEvent] = []
        for number in numbers:
            said += [e.HeartbeatRecorded(attempt, attempt, AT), e.LogSegmentStored(attempt, attempt, number, number, 1, 9, "0" * 64, 9)]
        await self.append([StreamWrite(job, at, tuple(NewEvent(each, meta()) for each in said))])


async def numbers(index: LogIndex, job: UUID, attempt: int = 1) -> list[int]:
    """The segments that the index knows."""
    return [segment.segment for segment in await index.segments(job, attempt)]


async def test_a_log_that_is_read_again_costs_only_what_came_since() -> None:
    """Each attempt has its own; heartbeats are never read."""
    store = Store()
    index = LogIndex(store)
    assert await numbers(index, JOBS[0]) == []
    await store.grow(JOBS[0], 1, 1, 2, 3)
    assert await numbers(index, JOBS[0]) == [1, 2, 3]
    assert store.given == 3
    await store.grow(JOBS[0], 1, 4)
    await store.grow(JOBS[0], 2, 1)
    assert (await numbers(index, JOBS[0]), await numbers(index, JOBS[0], 2)) == ([1, 2, 3, 4], [1])
    assert store.given == 5


async def test_what_was_asked_for_longest_ago_is_forgotten() -> None:
    """And read again, to the same result. The log that is read now is kept, however long it is."""
    store = Store()
    index = LogIndex(store, segments_max=5)
    for job in JOBS:
        await store.grow(job, 1, 1, 2)
        assert await numbers(index, job) == [1, 2]
    assert (await numbers(index, JOBS[1]), store.given) == ([1, 2], 6)
    assert (await numbers(index, JOBS[0]), store.given) == ([1, 2], 8)
    await store.grow(JOBS[0], 1, *range(3, 20))
    assert await numbers(index, JOBS[0]) == list(range(1, 20))
    assert (await numbers(index, JOBS[0]), store.given) == (list(range(1, 20)), 25)
