"""What every EventStore does; run against the fake and against Postgres."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from domain.job.events import HeartbeatRecorded, JobAcquired, JobStarted
from domain.ports import EventStore, NewEvent, StreamWrite, Tracking, TrackingConflict, VersionConflict
from infra.event_store import PostgresEventStore
from tests.fakes import MemoryEventStore
from tests.samples import AT, heartbeat, meta, stream, write

A, B, C = stream("a"), stream("b"), stream("c")


@pytest.fixture(params=["memory", "postgres"])
async def log(request: pytest.FixtureRequest) -> AsyncIterator[EventStore]:
    """An empty log."""
    if request.param == "memory":
        yield MemoryEventStore()
        return
    store = await PostgresEventStore.open(request.getfixturevalue("postgres_url"))
    yield store
    await store.close()


async def test_returns_what_it_wrote_in_given_order(log: EventStore) -> None:
    """An append gives its events back, with positions that increase in the given order."""
    done = await log.append([write(A, events=2), write(B, events=1)])
    assert [(event.stream, event.version) for event in done] == [(A, 1), (A, 2), (B, 1)]
    assert [event.position for event in done] == sorted({event.position for event in done})
    assert [event.data for event in done] == [heartbeat(1).data, heartbeat(2).data, heartbeat(1).data]


async def test_loads_a_stream_as_it_was_written(log: EventStore) -> None:
    """What was returned by append, load gives again: envelope, type, schema and data."""
    done = await log.append([write(A, events=3)])
    assert await log.load(A) == done
    assert await log.load(A, after=2) == done[2:]
    assert await log.load(B) == ()


async def test_loads_only_events_of_the_types_that_are_asked_for(log: EventStore) -> None:
    """In order, after a version, with what `load` gives of them; where there is none, nothing."""
    started = NewEvent(JobStarted(1, 1, AT), meta())
    said = (started, heartbeat(1), started, heartbeat(2))
    done = await log.append([StreamWrite(A, 0, said)])
    assert await log.load_only(A, (HeartbeatRecorded,)) == (done[1], done[3])
    assert await log.load_only(A, (HeartbeatRecorded, JobStarted), after=2) == done[2:]
    assert await log.load_only(A, (JobAcquired,)) == ()
    assert await log.load_only(B, (JobStarted,)) == ()


async def test_loads_several_streams_in_one_order(log: EventStore) -> None:
    """In position order up to a position, without the types that are left out; a stream that is not there gives nothing."""
    started = NewEvent(JobStarted(1, 1, AT), meta())
    first = await log.append([StreamWrite(A, 0, (started, heartbeat(1))), write(B, events=2), write(C)])
    second = await log.append([StreamWrite(A, 2, (started,)), StreamWrite(B, 2, (heartbeat(3),))])
    of_two = tuple(event for event in (*first, *second) if event.stream != C)
    last = second[-1].position
    assert await log.load_streams([B, A, stream("nothing")], last) == of_two
    assert await log.load_streams([A, B], second[0].position) == of_two[:-1]
    assert await log.load_streams([A, B], last, (HeartbeatRecorded,)) == (first[0], second[0])
    assert await log.load_streams([A], last, (HeartbeatRecorded, JobStarted)) == ()
    assert await log.load_streams([], last) == ()


async def test_refuses_a_version_that_is_taken(log: EventStore) -> None:
    """Two writers that expect the same version: the second is told which stream it lost."""
    await log.append([write(A)])
    with pytest.raises(VersionConflict) as conflict:
        await log.append([write(A)])
    assert conflict.value.streams == (A,)
    assert len(await log.load(A)) == 1


async def test_refuses_a_version_that_would_leave_a_hole(log: EventStore) -> None:
    """An expected version above the stream's is as wrong as one below."""
    await log.append([write(A)])
    with pytest.raises(VersionConflict):
        await log.append([write(A, expected=2)])
    with pytest.raises(VersionConflict):
        await log.append([write(B, expected=1)])
    assert len(await log.load(A)) == 1
    assert await log.load(B) == ()


async def test_writes_all_streams_or_none(log: EventStore) -> None:
    """One stream that has moved on refuses the whole append."""
    await log.append([write(A)])
    with pytest.raises(VersionConflict) as conflict:
        await log.append([write(B), write(A), write(C)])
    assert conflict.value.streams == (A,)
    assert await log.load(B) == ()
    assert await log.load(C) == ()
    assert len(await log.append([write(B), write(A, expected=1), write(C)])) == 3


async def test_writes_twice_to_one_stream_in_one_append(log: EventStore) -> None:
    """The second write of an append expects the version after the first."""
    done = await log.append([write(A, events=2), write(B), write(A, expected=2)])
    assert [(event.stream, event.version) for event in done] == [(A, 1), (A, 2), (B, 1), (A, 3)]
    assert await log.load(A) == (done[0], done[1], done[3])
    with pytest.raises(VersionConflict):
        await log.append([write(C), write(C)])


async def test_concurrent_writers_of_one_stream_have_one_winner(log: EventStore) -> None:
    """Of many appends that expect the same version exactly one is committed."""
    results = await asyncio.gather(*(log.append([write(A), write(stream(n))]) for n in range(20)), return_exceptions=True)
    assert sum(isinstance(result, VersionConflict) for result in results) == 19
    assert len(await log.load(A)) == 1
    page = await log.read(0)
    assert page is not None
    assert len(page.events) == 2


async def test_conflicts_do_not_touch_their_neighbours(log: EventStore) -> None:
    """Appends that arrive together succeed or fail each for itself, in their order."""
    await log.append([write(stream("taken", n)) for n in range(5)])
    wanted = [stream("taken", n // 4) if n % 4 == 0 else stream("free", n) for n in range(20)]
    results = await asyncio.gather(*(log.append([write(target)]) for target in wanted), return_exceptions=True)
    assert [isinstance(result, VersionConflict) for result in results] == [n % 4 == 0 for n in range(20)]
    positions = [result[0].position for result in results if not isinstance(result, BaseException)]
    assert positions == sorted(positions)


async def test_reads_pages_that_name_their_predecessor(log: EventStore) -> None:
    """Pages follow each other by `previous`, from any position, holes included."""
    first = await log.append([write(A, events=3)])
    with pytest.raises(VersionConflict):
        await log.append([write(A, events=2)])
    second = await log.append([write(B, events=2)])
    everything = first + second
    seen = []
    after = 0
    while (page := await log.read(after, limit=2)) is not None:
        assert page.previous == after
        assert (page.first, page.last) == (page.events[0].position, page.events[-1].position)
        seen.extend(page.events)
        after = page.last
    assert tuple(seen) == everything
    between = await log.read(second[0].position - 1)
    assert between is not None
    assert between.previous == first[-1].position
    assert await log.head() == second[-1].position
    assert await log.read(await log.head()) is None


async def test_an_empty_log_is_at_zero(log: EventStore) -> None:
    """Nothing to read, nothing to load, position 0."""
    assert await log.head() == 0
    assert await log.read(0) is None
    assert await log.tracked("agent") == 0


async def test_an_agent_moves_with_its_effects(log: EventStore) -> None:
    """Position and events are committed together."""
    await log.append([write(A)], Tracking("agent", before=0, after=7))
    assert await log.tracked("agent") == 7
    await log.append([], Tracking("agent", before=7, after=9))
    assert await log.tracked("agent") == 9


async def test_an_agent_that_was_moved_by_another_writes_nothing(log: EventStore) -> None:
    """The second of two processes that act as one agent fails, effects included."""
    await log.append([write(A)], Tracking("agent", before=0, after=7))
    with pytest.raises(TrackingConflict):
        await log.append([write(B)], Tracking("agent", before=0, after=8))
    assert await log.load(B) == ()
    assert await log.tracked("agent") == 7


async def test_a_refused_append_does_not_move_the_agent(log: EventStore) -> None:
    """A version conflict leaves the position where it was."""
    await log.append([write(A)])
    with pytest.raises(VersionConflict):
        await log.append([write(A)], Tracking("agent", before=0, after=7))
    assert await log.tracked("agent") == 0


async def test_agents_that_move_together_are_told_apart(log: EventStore) -> None:
    """Moves of many agents that arrive together succeed or fail each for itself."""
    await log.append([], Tracking("moved", before=0, after=5))
    results = await asyncio.gather(
        log.append([write(A)], Tracking("one", before=0, after=1)),
        log.append([write(B)], Tracking("moved", before=0, after=1)),
        log.append([write(C)], Tracking("two", before=0, after=1)),
        log.append([], Tracking("one", before=1, after=2)),
        return_exceptions=True,
    )
    assert [isinstance(result, TrackingConflict) for result in results] == [False, True, False, False]
    assert (await log.tracked("one"), await log.tracked("moved"), await log.tracked("two")) == (2, 5, 1)


async def test_an_event_that_is_not_registered_is_the_callers_error(log: EventStore) -> None:
    """A type without a stable name never reaches the log."""
    with pytest.raises(KeyError):
        await log.append([StreamWrite(A, 0, (type(heartbeat())("text", heartbeat().meta),))])
    assert await log.head() == 0
