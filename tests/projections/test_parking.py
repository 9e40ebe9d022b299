"""A stream that cannot be folded waits in its view, alone; the right code folds it again as if it had never waited."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any
from uuid import UUID

import msgspec
import psycopg
import pytest

from domain import events as register
from domain import ids
from domain.envelope import Recorded
from domain.job.events import StepCompleted
from infra import codec
from infra.event_store import PostgresEventStore
from infra.feed import PostgresFeed
from infra.pool import Pool
from projections import parking, positions
from projections.catalogue import VIEWS
from projections.fold import Folder, fold
from projections.projector import Projector
from projections.rebuild import rebuild
from projections.retry import retry
from projections.table import View
from projections.verify import verify_store
from tests.domain.world import World
from tests.fakes import MemoryEventStore
from tests.projections.histories import history
from tests.projections.poison import poisoned
from tests.projections.test_projector import append, content
from tests.samples import AT, write

Projecting = Callable[..., AbstractAsyncContextManager[Projector]]
Connect = Callable[[], Any]
ALL = tuple(VIEWS.values())
STATUS = VIEWS["status"]


def busiest(world: World, type_: str) -> Recorded:
    """The event of this type behind which most events of its stream follow."""
    found = [event for event in world.log if event.type == type_]
    return max(found, key=lambda event: sum(other.stream == event.stream for other in world.log) - event.version)


def waiting(world: World, event: Recorded) -> int:
    """How many events of its stream there are from this one on."""
    return sum(other.stream == event.stream and other.version >= event.version for other in world.log)


async def parked_streams(pool: Pool) -> list[parking.ParkedStream]:
    """What waits in all views."""
    async with pool.connection() as connection:
        return await parking.parked_streams(connection)


@pytest.mark.parametrize("type_", ["JobAcquired", "JobCreated", "RunPlanned", "NodeExpanded", "StepCompleted"])
async def test_a_poison_event_parks_its_stream_and_nothing_else(type_: str, projecting: Projecting, pool: Pool) -> None:
    """In its view, from that event on; what is there equals the fold of all the rest, and the other views are whole."""
    world = history(seed=21, steps=150)
    poison = busiest(world, type_)
    views = tuple(poisoned(view, lambda event: event.position == poison.position) if view is STATUS else view for view in ALL)
    async with projecting(world.store, views):
        (found,) = await parked_streams(pool)
        assert (found.view, found.stream, found.version, found.position) == ("status", poison.stream, poison.version, poison.position)
        assert (found.type, found.schema, found.error) == (type_, poison.schema, "ZeroDivisionError: the fold is wrong")
        assert found.waiting == waiting(world, poison) > 1
        verified = await verify_store(pool.connection, world.store, ALL)
    assert verified.differences == (), "what right code makes of all that does not wait"
    assert verified.parked == (found,)
    kept = [event for event in world.log if event.stream != poison.stream or event.version < poison.version]
    assert {name: len(rows) for name, rows in fold(STATUS.tables, kept).items()} == {
        name: len(rows) for name, rows in (await content(pool, STATUS)).items()
    }


@pytest.mark.parametrize("type_", ["JobAcquired", "JobCreated", "RunTriggered", "RunPlanned", "NodeExpanded", "StepCompleted"])
async def test_retry_with_the_right_code_gives_the_rows_of_a_view_that_never_stopped(
    type_: str, projecting: Projecting, pool: Pool, connect: Connect
) -> None:
    """Also where rows are made by several streams, and events of the others came between those that waited."""
    world = history(seed=22, steps=250)
    poison = busiest(world, type_)
    async with projecting(world.store, (poisoned(STATUS, lambda event: event.position == poison.position),)):
        pass
    connection = await connect()
    done = await retry(connection, world.store, STATUS)
    await connection.close()
    assert (done.streams, done.events, done.parked) == (1, waiting(world, poison), 0)
    assert await parked_streams(pool) == []
    assert (await verify_store(pool.connection, world.store, (STATUS,))).differences == ()


async def test_what_waits_outlives_the_projector_and_grows(projecting: Projecting, pool: Pool) -> None:
    """The next projector, whose code is right, folds nothing of it unasked: what came before is not there."""
    world = history(seed=23, steps=60)
    bad = poisoned(STATUS, lambda event: event.type == "JobQueued")
    async with projecting(world.store, (bad,)):
        before = {each.stream: each for each in await parked_streams(pool)}
    assert len(before) > 3, "each job's stream for itself"
    for _ in range(120):
        world.step()
    async with projecting(world.store, (STATUS,)):
        after = {each.stream: each for each in await parked_streams(pool)}
        assert (await verify_store(pool.connection, world.store, (STATUS,))).differences == ()
    assert after.keys() == before.keys()
    assert {stream: each.position for stream, each in after.items()} == {stream: each.position for stream, each in before.items()}
    assert sum(each.waiting for each in after.values()) > sum(each.waiting for each in before.values())


async def test_retry_with_code_that_is_still_wrong_keeps_what_waits(projecting: Projecting, pool: Pool, connect: Connect) -> None:
    """It gets as far as it can: what could not be folded first can be now, and something behind it cannot."""
    world = history(seed=24, steps=200)
    poison = busiest(world, "JobAcquired")
    folded = {kind for table in STATUS.tables for kind in table.rules}
    later = next(
        event for event in world.log if event.stream == poison.stream and event.version > poison.version and type(event.data) in folded
    )
    async with projecting(world.store, (poisoned(STATUS, lambda event: event.position == poison.position),)):
        pass
    better = poisoned(STATUS, lambda event: event.position == later.position)
    connection = await connect()
    done = await retry(connection, world.store, better)
    assert (done.streams, done.parked) == (0, 1)
    (found,) = await parked_streams(pool)
    assert (found.position, found.waiting) == (later.position, waiting(world, later))
    assert (await verify_store(pool.connection, world.store, (better,))).differences == ()
    assert (await retry(connection, world.store, STATUS)).parked == 0
    await connection.close()
    assert (await verify_store(pool.connection, world.store, (STATUS,))).differences == ()


async def test_retry_under_a_working_projector(projecting: Projecting, pool: Pool, connect: Connect) -> None:
    """The projector goes on with the rows that the retry has put there."""
    world = history(seed=25, steps=60)
    fixed = False
    bad = poisoned(STATUS, lambda event: event.type == "NodeExpanded" and not fixed)
    connection = await connect()
    async with projecting(world.store, (bad,)):
        assert await parked_streams(pool)
        fixed = True
        assert (await retry(connection, world.store, STATUS)).parked == 0
        for _ in range(60):
            world.step()
        assert await positions.wait(pool.connection, "status", await world.store.head(), 20)
        assert await parked_streams(pool) == []
        assert (await verify_store(pool.connection, world.store, (STATUS,))).differences == ()
    await connection.close()


@pytest.mark.parametrize("dirty_rows_max", [5, 400_000])
async def test_a_rebuild_parks_what_the_live_view_parks(
    dirty_rows_max: int, projecting: Projecting, pool: Pool, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rebuilt equals incremental for code that is wrong too; and a rebuild by right code leaves nothing parked."""
    world = history(seed=26, steps=200)
    bad = poisoned(STATUS, lambda event: event.type in {"NodeExpanded", "JobAcquired"} and event.position % 2 == 0)
    async with projecting(world.store, (bad,)):
        grown, parked = await content(pool, STATUS), [msgspec.structs.replace(each, parked_at=AT) for each in await parked_streams(pool)]
    assert len({each.type for each in parked}) == 2
    monkeypatch.setattr("projections.rebuild.DIRTY_ROWS_MAX", dirty_rows_max)
    monkeypatch.setattr("projections.rebuild.PAGE_EVENTS", 50)
    connection = await connect()
    await rebuild(connection, world.store, bad)
    assert await content(pool, STATUS) == grown
    assert [msgspec.structs.replace(each, parked_at=AT) for each in await parked_streams(pool)] == parked
    await rebuild(connection, world.store, STATUS)
    await connection.close()
    assert await parked_streams(pool) == []
    assert (await verify_store(pool.connection, world.store, (STATUS,))).differences == ()


@pytest.mark.parametrize("topic", ["FromTheFuture.v1", "JobQueued.v9", "JobStarted.v1"])
async def test_an_event_of_a_newer_version_is_parked_in_every_view_until_the_code_knows_it(
    topic: str, store: PostgresEventStore, projecting: Projecting, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unknown type, a newer schema and a row whose bytes fit no type: written by SQL, never skipped, drained when known."""
    known, other = ids.derive("a job"), ids.derive("another job")
    await store.append([write(known)])
    log: Any = Log(store, await PostgresFeed.open(store))
    with psycopg.connect(store.database_url, autocommit=True) as plain:
        state = b'{"at":"2026-03-01T10:00:00Z","tenant":"default","actor":"a","data":{"strange":1},"cause":"%s"}' % str(known).encode()
        plain.execute("INSERT INTO public.events_0 VALUES (%s, 2, %s, %s)", (known, topic, state))
    await store.append([write(known, 2, events=3), write(other, events=2)])
    async with projecting(log):
        found = await parked_streams(pool)
        assert {each.view for each in found} == set(VIEWS)
        assert {(each.stream, each.version, each.type, each.waiting) for each in found} == {(known, 2, topic.partition(".")[0], 4)}
        assert all(each.error for each in found)
        assert (await verify_store(pool.connection, store, ALL)).differences == ()
    know(topic, monkeypatch)
    for view in ALL:
        async with pool.connection() as connection:
            assert (await retry(connection, store, view)).parked == 0
    verified = await verify_store(pool.connection, store, ALL)
    assert (verified.differences, verified.parked) == ((), ())
    await log.feed.close()


class Log:
    """A store with its feed."""

    def __init__(self, store: PostgresEventStore, feed: PostgresFeed) -> None:
        self.feed = feed
        self.head, self.load, self.load_streams, self.pages = store.head, store.load, store.load_streams, feed.pages


def know(topic: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The code of a newer version: it knows the type, or reads the bytes."""
    name, _, schema = topic.partition(".v")
    shape = msgspec.defstruct(name, [("strange", int)])
    monkeypatch.setitem(register.REGISTER, name, (shape, int(schema)))
    monkeypatch.setattr(codec, "_readers", {})


async def test_a_row_that_postgres_cannot_hold_parks_its_stream(projecting: Projecting, pool: Pool, connect: Connect) -> None:
    """An exit code of 70 bits is a sound event and makes no row: live, rebuilt and proved alike."""
    log = MemoryEventStore()
    job, other = ids.derive("a job"), ids.derive("another job")
    good = StepCompleted(1, 1, 0, "success", "success", 0, "", AT, AT)
    await append(log, job, 0, good, msgspec.structs.replace(good, index=1, exit_code=2**70), msgspec.structs.replace(good, index=2))
    await append(log, other, 0, good)
    async with projecting(log, (STATUS,)):
        (found,) = await parked_streams(pool)
        assert (found.stream, found.version, found.waiting) == (job, 2, 2)
        assert "steps.exit_code = 1180591620717411303424 is no 64-bit integer" in found.error
        grown = await content(pool, STATUS)
        connection = await connect()
        await rebuild(connection, log, STATUS)
        await connection.close()
        assert await content(pool, STATUS) == grown
        assert len(grown["steps"]) == 2
        assert (await verify_store(pool.connection, log, (STATUS,))).differences == ()


@pytest.mark.parametrize("view", ALL, ids=VIEWS)
def test_every_row_belongs_to_one_story(view: View) -> None:
    """A run with its jobs, or one other stream: what a retry folds from its beginning makes the rows that it replaces, whole."""
    for seed in range(3):
        world = history(seed, 200)
        run_of = {event.stream: event.data.run for event in world.log if event.type == "JobCreated"}
        owner: dict[Any, UUID] = {}
        for event in world.log:
            folder = Folder(view.tables, 0)
            for _, slot, _ in folder.claim([event]):
                table = next(cache.table.name for cache in folder.caches if cache.young.get(slot.key) is slot)
                story = run_of.get(event.stream, event.stream)
                assert owner.setdefault((table, slot.key), story) == story, f"{event.type} touches {table} {slot.key} of another story"
