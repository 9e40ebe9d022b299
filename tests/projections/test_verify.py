"""The verifier finds what SQL did to a view: every cell, every row that is missing, every row that was added."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from uuid import UUID

import pytest

from domain.envelope import Recorded
from infra.pool import Pool
from projections.catalogue import VIEWS
from projections.projector import Projector
from projections.table import Column, Table
from projections.verify import Difference, verify_run, verify_store
from tests.domain.world import World
from tests.projections.histories import history, seed_of_all_tables

ALL = tuple(VIEWS.values())
TABLES = [(view, table) for view in ALL for table in view.tables]
OF_RUNS = [(view, table) for view, table in TABLES if table.scope and table.scope != table.key[0]]
NAMED_BY_RUNS = ("runners", "repositories", "workflows", "concurrency_groups")
"""Tables that are no run's own and have rows that a run names."""
CELLS = [(view, table, column) for view, table in TABLES for column in table.columns]

STEPS = 150

OTHER = {
    "uuid": "'00000000-0000-0000-0000-000000000001'::uuid",
    "text": "'changed'",
    "bigint": "4711",
    "boolean": 'NOT coalesce("{column}", false)',
    "timestamptz": "'1999-12-31T23:59:59.000001Z'::timestamptz",
    "jsonb": """'{{"changed": [1]}}'::jsonb""",
}


@pytest.fixture
async def projected(projecting: Callable[..., AbstractAsyncContextManager[Projector]]) -> AsyncIterator[World]:
    """A world whose views are up to date; nothing moves any more."""
    world = history(seed_of_all_tables(STEPS), STEPS)
    async with projecting(world.store):
        pass
    return world


def events_of(world: World, run: UUID) -> list[Recorded]:
    """The events of a run's stream and its jobs' streams."""
    jobs = {event.stream for event in world.log if event.type == "JobCreated" and event.data.run == run}
    return [event for event in world.log if event.stream == run or event.stream in jobs]


async def execute(pool: Pool, statement: str) -> int:
    """Change a view behind the projector's back."""
    async with pool.connection() as connection:
        return (await connection.execute(statement.encode())).rowcount


async def test_every_cell_that_sql_changes_is_found(projected: World, pool: Pool) -> None:
    """One cell at a time, of every column of every table: the difference names view, table, key and both values."""
    for view, table, column in CELLS:
        changed = OTHER[column.sql].format(column=column.name)
        place = f"(SELECT ctid FROM views.{table.name} LIMIT 1)"
        async with put_back(pool, table):
            assert await execute(pool, f'UPDATE views.{table.name} SET "{column.name}" = {changed} WHERE ctid = {place}') == 1
            found = (await verify_store(pool.connection, projected.store, (view,))).differences
        assert found, f"{table.name}.{column.name}"
        assert {(each.view, each.table) for each in found} == {(view.name, table.name)}
        if column.name in table.key:
            assert sorted(each.expected is None for each in found) == [False, True], "one row is missing, one was added"
        else:
            assert [each.column for each in found] == [column.name]
            assert found[0].expected != found[0].found


@asynccontextmanager
async def put_back(pool: Pool, table: Table) -> AsyncIterator[None]:
    """What the block does to a table is undone at its end."""
    await execute(pool, f"CREATE TABLE saved AS TABLE views.{table.name}")
    yield
    await execute(pool, f"TRUNCATE views.{table.name}")
    await execute(pool, f"INSERT INTO views.{table.name} SELECT * FROM saved")
    await execute(pool, "DROP TABLE saved")


async def test_a_removed_row_is_found(projected: World, pool: Pool) -> None:
    """Of every table: the difference shows the row that the log makes."""
    for view, table in TABLES:
        async with put_back(pool, table):
            await execute(pool, f"DELETE FROM views.{table.name} WHERE ctid = (SELECT ctid FROM views.{table.name} LIMIT 1)")
            (found,) = (await verify_store(pool.connection, projected.store, ALL)).differences
        assert (found.view, found.table, found.column, found.found) == (view.name, table.name, None, None)
        assert found.expected["tenant" if "tenant" in found.expected else "run_id"]


async def test_an_added_row_is_found(projected: World, pool: Pool) -> None:
    """In every table: a row whose key no event names, a copy of a real one in all else."""
    for view, table in TABLES:
        async with put_back(pool, table):
            await execute(pool, copy_of_a_row(table))
            (found,) = (await verify_store(pool.connection, projected.store, ALL)).differences
        assert (found.view, found.table, found.column, found.expected) == (view.name, table.name, None, None)


def copy_of_a_row(table: Table, where: str = "true") -> str:
    """SQL that adds a row like another one under a key that the log does not know."""

    def cell(column: Column) -> str:
        return OTHER[column.sql] if column.name == table.key[0] else f'"{column.name}"'

    return f"INSERT INTO views.{table.name} SELECT {', '.join(map(cell, table.columns))} FROM views.{table.name} WHERE {where} LIMIT 1"


async def check_run(world: World, pool: Pool, run: UUID) -> tuple[Difference, ...]:
    """What verifying one run finds."""
    return (await verify_run(pool.connection, world.store, ALL, run, events_of(world, run))).differences


def busiest_run(world: World) -> UUID:
    """The run with the most events, of those that a registered runner worked on, where there are any."""
    registered = {event.stream for event in world.log if event.type == "RunnerRegistered"}

    def weight(run: UUID) -> tuple[bool, int]:
        events = events_of(world, run)
        return any(event.type == "JobAcquired" and event.data.runner in registered for event in events), len(events)

    return max(world.runs, key=weight)


async def test_each_run_of_a_sound_store_is_clean(projected: World, pool: Pool) -> None:
    """Verifying a run needs no more than the streams that it names."""
    for run in dict.fromkeys(projected.runs):
        verified = await verify_run(pool.connection, projected.store, ALL, run, events_of(projected, run))
        assert verified.differences == ()
        assert verified.rows > 0


async def test_verifying_a_run_finds_its_removed_rows(projected: World, pool: Pool) -> None:
    """Whatever table rows of the run are taken from, as far as it has some there; a row that is nobody's is not its matter."""
    run = busiest_run(projected)
    for view, table in TABLES:
        where = "true" if table.scope is None else f"\"{table.scope}\" = '{run}'"
        async with put_back(pool, table):
            removed = await execute(pool, f"DELETE FROM views.{table.name} WHERE {where}")
            found = await check_run(projected, pool, run)
        assert {(each.view, each.table, each.found) for each in found} <= {(view.name, table.name, None)}
        assert bool(found) == bool(removed and (table.scope is not None or table.name in NAMED_BY_RUNS)), table.name


async def test_verifying_a_run_finds_an_added_row_that_claims_it(projected: World, pool: Pool) -> None:
    """No event of the run names the row, but the row names the run."""
    run = busiest_run(projected)
    for view, table in OF_RUNS:
        async with put_back(pool, table):
            await execute(pool, copy_of_a_row(table))
            claim = f'"{table.scope}" = \'{run}\' WHERE "{table.key[0]}" = {OTHER[key_type(table)]}'
            await execute(pool, f"UPDATE views.{table.name} SET {claim}")
            (found,) = await check_run(projected, pool, run)
        assert (found.view, found.table, found.expected) == (view.name, table.name, None)


def key_type(table: Table) -> str:
    """The SQL type of the first key column."""
    return next(column.sql for column in table.columns if column.name == table.key[0])
