"""The projector on a real Postgres: what it keeps up to date equals the fold, whatever interrupts it."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from domain import ids
from domain.envelope import Meta
from domain.job.events import LogSegmentStored, StepCompleted
from domain.ports import NewEvent, StreamWrite
from infra.pool import Pool
from projections import positions
from projections.catalogue import VIEWS
from projections.projector import Projector
from projections.rebuild import rebuild
from projections.table import View
from projections.verify import verify_store
from tests.fakes import MemoryEventStore
from tests.projections.histories import history
from tests.samples import AT

Projecting = Callable[..., AbstractAsyncContextManager[Projector]]
ALL = tuple(VIEWS.values())


async def content(pool: Pool, view: View) -> dict[str, list[str]]:
    """All rows of a view as sorted text."""
    found = {}
    async with pool.connection() as connection:
        for table in view.tables:
            cursor = await connection.execute(f"SELECT t::text FROM views.{table.name} t ORDER BY 1".encode())
            found[table.name] = [row[0] for row in await cursor.fetchall()]
    return found


async def until_made_from(pool: Pool, view: View) -> None:
    """Wait, at most 20 s, until the view's tables were made from this definition."""
    async with asyncio.timeout(20), pool.connection() as connection:
        while [place.digest for place in await positions.places(connection)] != [view.digest]:
            await asyncio.sleep(0)


async def append(log: MemoryEventStore, stream: Any, expected: int, *data: Any) -> None:
    """Append events to a stream as a command from outside."""
    meta = Meta(AT, "default", "someone", command=ids.command_id("test", "1"), correlation=ids.run_id("default", "x"))
    await log.append([StreamWrite(stream, expected, tuple(NewEvent(each, meta) for each in data))])


async def test_live_views_equal_the_fold(projecting: Projecting, pool: Pool) -> None:
    """Every cell of every view is what the log says (invariant 9)."""
    world = history(seed=1, steps=150)
    async with projecting(world.store):
        found = await verify_store(pool.connection, world.store, ALL)
    assert found.differences == ()
    assert found.events == len(world.log)
    assert found.rows > 100


@pytest.mark.parametrize("view", ALL, ids=VIEWS)
async def test_rebuilt_equals_incremental(view: View, projecting: Projecting, pool: Pool, connect: Callable[[], Any]) -> None:
    """A view built anew from position 0 holds the same rows as the one that grew event by event."""
    world = history(seed=2, steps=150)
    async with projecting(world.store, (view,)):
        grown = await content(pool, view)
    connection = await connect()
    reached = await rebuild(connection, world.store, view)
    await connection.close()
    assert reached == await world.store.head()
    assert await content(pool, view) == grown


@pytest.mark.parametrize("view", ALL, ids=VIEWS)
async def test_twice_equals_once(view: View, projecting: Projecting, pool: Pool) -> None:
    """Folding the whole log a second time onto the rows that are there changes nothing."""
    world = history(seed=3, steps=150)
    async with projecting(world.store, (view,)):
        once = await content(pool, view)
    async with pool.connection() as connection:
        await connection.execute("UPDATE views.view_positions SET position = 0")
    async with projecting(world.store, (view,)):
        assert await content(pool, view) == once


async def test_a_projector_goes_on_where_it_was(projecting: Projecting, pool: Pool) -> None:
    """What was appended while none ran is folded by the next one, onto rows that are read back from the database."""
    world = history(seed=4, steps=60)
    for _ in range(4):
        async with projecting(world.store):
            pass
        for _ in range(30):
            world.step()
    async with projecting(world.store):
        found = await verify_store(pool.connection, world.store, ALL)
    assert found.differences == ()


async def test_a_projector_survives_the_loss_of_its_connection(projecting: Projecting, pool: Pool) -> None:
    """The server ends its session; it connects again and misses nothing."""
    world = history(seed=5, steps=60)
    async with projecting(world.store):
        async with pool.connection() as connection:
            await connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND pid <> pg_backend_pid()"
            )
        for _ in range(60):
            world.step()
        assert await positions.wait(pool.connection, "status", await world.store.head(), 20)
        found = await verify_store(pool.connection, world.store, (VIEWS["status"],))
    assert found.differences == ()


async def test_what_a_dying_database_took_of_the_views_is_folded_again_though_nothing_happens(projecting: Projecting, pool: Pool) -> None:
    """Its last commits of views may be lost with it; no event has to come before the projector looks."""
    world = history(seed=5, steps=100)
    async with projecting(world.store), pool.connection() as connection:
        whole = [await content(pool, view) for view in ALL]
        async with connection.transaction():
            await connection.execute("UPDATE views.view_positions SET position = 0")
            for table in (table for view in ALL for table in view.tables):
                await connection.execute(f"DELETE FROM views.{table.name}".encode())
            await connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND pid <> pg_backend_pid()"
                " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
            )
        for view in ALL:
            assert await positions.wait(pool.connection, view.name, len(world.log), 20)
        assert [await content(pool, view) for view in ALL] == whole


async def test_two_projectors_apply_each_page_once(connect: Callable[[], Any], projecting: Projecting, pool: Pool) -> None:
    """The second one stands by; when the first one goes, it takes over."""
    world = history(seed=6, steps=40)
    async with projecting(world.store):
        second = asyncio.create_task(Projector(connect, world.store, ALL).run())
        for _ in range(40):
            world.step()
        assert await positions.wait(pool.connection, "status", await world.store.head(), 20)
    for _ in range(40):
        world.step()
    assert await positions.wait(pool.connection, "logs", await world.store.head(), 20)
    found = await verify_store(pool.connection, world.store, ALL)
    second.cancel()
    await asyncio.gather(second, return_exceptions=True)
    assert found.differences == ()


async def test_the_compare_on_the_position_refuses_a_projector_that_slept(
    projecting: Projecting, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two projectors that both hold themselves elected: the position moves by compare, so no page counts twice."""

    async def always(*_: object) -> bool:
        return True

    monkeypatch.setattr(Projector, "_elected", always)
    world = history(seed=7, steps=40)
    async with projecting(world.store), projecting(world.store):
        for _ in range(10):
            for _ in range(10):
                world.step()
            assert await positions.wait(pool.connection, "audit", await world.store.head(), 20)
        found = await verify_store(pool.connection, world.store, ALL)
    assert found.differences == ()


async def test_a_view_is_rebuilt_under_a_working_projector(connect: Callable[[], Any], projecting: Projecting, pool: Pool) -> None:
    """A rebuild repairs what SQL broke while events go on; the projector starts afresh on the new rows."""
    world = history(seed=8, steps=60)
    async with projecting(world.store):
        async with pool.connection() as connection:
            await connection.execute("UPDATE views.jobs SET status = 'gone', name = 'x'")
        connection = await connect()
        await rebuild(connection, world.store, VIEWS["status"])
        await connection.close()
        for _ in range(60):
            world.step()
        assert await positions.wait(pool.connection, "status", await world.store.head(), 20)
        found = await verify_store(pool.connection, world.store, ALL)
    assert found.differences == ()


async def test_a_rebuild_and_a_working_projector_never_wait_for_each_other_in_a_circle(
    connect: Callable[[], Any], projecting: Projecting, pool: Pool, caplog: pytest.LogCaptureFixture
) -> None:
    """The projector's one statement takes tables, then positions; a rebuild that took them the other way round would deadlock."""
    world = history(seed=12, steps=20)
    async with projecting(world.store):
        connection = await connect()
        work = asyncio.create_task(_rebuild_often(connection, world))
        while not work.done():
            world.step()
            await asyncio.sleep(0.001)
        await work
        await connection.close()
        assert await positions.wait(pool.connection, "status", await world.store.head(), 20)
        found = await verify_store(pool.connection, world.store, ALL)
    assert found.differences == ()
    assert "views stand still" not in caplog.text


async def _rebuild_often(connection: Any, world: Any) -> None:
    for _ in range(20):
        await rebuild(connection, world.store, VIEWS["status"])


async def test_a_new_definition_is_rebuilt_at_the_start(projecting: Projecting, pool: Pool) -> None:
    """The digest beside the position tells that the rows were made by another fold."""
    world = history(seed=9, steps=60)
    status = VIEWS["status"]
    async with projecting(world.store, (status,)):
        pass
    async with pool.connection() as connection:
        await connection.execute("UPDATE views.runs SET title = 'made by an older version'")
    newer = View("status", status.tables, version=2)
    async with projecting(world.store, (newer,)):
        await until_made_from(pool, newer)
        found = await verify_store(pool.connection, world.store, (newer,))
    assert found.differences == ()


async def test_readers_never_see_a_half_built_view(connect: Callable[[], Any], projecting: Projecting, pool: Pool) -> None:
    """While the view is rebuilt again and again, each read finds all rows."""
    world = history(seed=10, steps=60)
    async with projecting(world.store, (VIEWS["status"],)):
        pass
    full = len((await content(pool, VIEWS["status"]))["jobs"])
    connection = await connect()

    async def rebuild_often() -> None:
        for _ in range(8):
            await rebuild(connection, world.store, VIEWS["status"])

    work = asyncio.create_task(rebuild_often())
    counts = set()
    while not work.done():
        async with pool.connection() as reader:
            found = await (await reader.execute("SELECT count(*) FROM views.jobs")).fetchone()
            counts.add(found[0] if found else None)
    await work
    await connection.close()
    assert counts == {full}


async def test_text_that_postgres_cannot_hold_is_kept_readable(connect: Callable[[], Any], projecting: Projecting, pool: Pool) -> None:
    """U+0000 in a message becomes U+FFFD, live and rebuilt alike, and the verifier knows it."""
    log = MemoryEventStore()
    job = ids.derive("a job")
    text, outputs = "a\0b\\u0000", {"k\0": "\0"}
    await append(log, job, 0, StepCompleted(1, 1, 0, "failure", "failure", 1, "", AT, AT, outputs, text))
    status = VIEWS["status"]
    async with projecting(log, (status,)):
        live = await content(pool, status)
        connection = await connect()
        await rebuild(connection, log, status)
        await connection.close()
        assert await content(pool, status) == live
        assert "a\ufffdb\\\\u0000" in live["steps"][0]
        assert (await verify_store(pool.connection, log, (status,))).differences == ()


async def test_a_rebuild_in_several_loads_equals_one(
    connect: Callable[[], Any], projecting: Projecting, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows that are loaded, forgotten, fetched again and merged are the same as rows that are loaded once."""
    world = history(seed=11, steps=150)
    async with projecting(world.store):
        grown = {view.name: await content(pool, view) for view in ALL}
    monkeypatch.setattr("projections.rebuild.DIRTY_ROWS_MAX", 5)
    monkeypatch.setattr("projections.rebuild.PAGE_EVENTS", 7)
    connection = await connect()
    for view in ALL:
        await rebuild(connection, world.store, view)
        assert await content(pool, view) == grown[view.name]
    await connection.close()


async def test_a_reader_that_waits_for_a_position_beyond_the_head_is_told_in_time(projecting: Projecting, pool: Pool) -> None:
    """It waits as long as it said, then learns that the view is not there."""
    log = MemoryEventStore()
    await append(log, ids.derive("j"), 0, LogSegmentStored(1, 1, 1, 1, 1, 1, "0" * 64))
    async with projecting(log, (VIEWS["logs"],)):
        assert await positions.wait(pool.connection, "logs", 1, 0)
        assert not await positions.wait(pool.connection, "logs", 2, 0.05)


async def test_a_page_larger_than_the_sockets_buffer_is_written(projecting: Projecting, pool: Pool) -> None:
    """Rows of several megabytes in one page go out whole: views do not stand still on a large message."""
    log = MemoryEventStore()
    for number in range(20):
        done = StepCompleted(1, 1, number, "failure", "failure", 1, "", AT, AT, message="x" * 200_000)
        await append(log, ids.derive("test", number), 0, done)
    async with projecting(log):
        found = await verify_store(pool.connection, log, ALL)
    assert found.differences == ()
    assert found.rows >= 20
