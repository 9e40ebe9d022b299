"""Where the views stand: found and moved at the same cost however many versions an old snapshot keeps."""

from collections.abc import Callable
from typing import Any

import pytest
from psycopg import AsyncConnection

from infra.pool import Pool
from projections import positions, rows
from projections.catalogue import VIEWS
from projections.positions import Moved, Place

MOVES = 2_000
EVENTS = 10
"""How many positions a move goes on by."""


async def pages(connection: AsyncConnection[Any], query: str, *parameters: Any) -> int:
    """How many pages of the database a query touches; what it changes is taken back."""
    async with connection.transaction(force_rollback=True):
        cursor = await connection.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {query}".encode(), parameters)
        explained = await cursor.fetchone()
    assert explained is not None
    plan = explained[0][0]["Plan"]
    return int(plan["Shared Hit Blocks"]) + int(plan["Shared Read Blocks"])


async def costs(connection: AsyncConnection[Any], standing: list[Place]) -> tuple[int, int]:
    """Of a move to the next position, and of finding a view's place."""
    after = standing[0].position + 1
    moving = await pages(connection, "SELECT views.move(%s, %s::json)", after, rows.encode(standing))
    return moving, await pages(connection, "SELECT views.place(%s)", standing[0].view)


async def test_moving_costs_the_same_under_an_old_snapshot(pool: Pool, connect: Callable[[], Any]) -> None:
    """Thousands of versions of the places cannot be removed; a move and a look touch few of them."""
    async with await connect() as connection, await connect() as old:
        await positions.prepare(connection, tuple(VIEWS.values()))
        standing = await positions.places(connection)
        standing = await moved(connection, standing, 10)
        before = await costs(connection, standing)
        await old.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        await old.execute("SELECT count(*) FROM views.view_positions")
        standing = await moved(connection, standing, MOVES)
        moving, finding = await costs(connection, standing)
        assert moving <= before[0] + 15 * len(standing), (before, moving)
        assert finding <= before[1] + 60, (before, finding)
        assert sorted(await positions.places(connection), key=lambda place: place.view) == standing


async def test_a_move_from_elsewhere_changes_nothing(connect: Callable[[], Any]) -> None:
    """Neither within a span of the log nor into the next one."""
    async with await connect() as connection:
        await positions.prepare(connection, tuple(VIEWS.values()))
        (first, *others) = await moved(connection, await positions.places(connection), 3)
        for after in (40, 5_000):
            for wrong in (Place(first.view, 29, first.digest, 1), Place(first.view, 30, first.digest, 2)):
                with pytest.raises(Moved):
                    await positions.move(connection, [wrong, *others], after, [])
        assert {place.position for place in await positions.places(connection)} == {3 * EVENTS}


async def moved(connection: AsyncConnection[Any], standing: list[Place], times: int) -> list[Place]:
    """The places after so many moves, one commit each."""
    for _ in range(times):
        after = standing[0].position + EVENTS
        await positions.move(connection, standing, after, [])
        standing = [Place(each.view, after, each.digest, each.generation) for each in standing]
    return sorted(standing, key=lambda place: place.view)
