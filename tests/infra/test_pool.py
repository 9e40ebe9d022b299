"""Connections that are lent: used again, never while lost, and there at once when the database is back."""

import asyncio
import time
from collections.abc import AsyncIterator

import psycopg
import pytest

from domain.ports import StoreSilent, StoreUnavailable
from infra import pool as module
from infra.pool import Pool
from tests.proxy import Proxy


@pytest.fixture
async def pool(wire: Proxy) -> AsyncIterator[Pool]:
    """Two connections over a wire that can be cut."""
    opened = Pool(wire.url, "views", size=2)
    yield opened
    await opened.close()


async def session(pool: Pool) -> int:
    """The server's process behind the connection that is lent next."""
    async with pool.connection() as connection:
        row = await (await connection.execute("select pg_backend_pid()")).fetchone()
        return int(row[0]) if row else 0


async def test_a_connection_is_lent_again(pool: Pool) -> None:
    """One after the other share one; at the same time there are two."""
    first = await session(pool)
    assert await session(pool) == first
    async with pool.connection():
        assert await session(pool) != first


async def test_after_an_outage_of_any_length_the_first_who_asks_is_served(pool: Pool, wire: Proxy) -> None:
    """While the database is away everybody is told so at once; nothing has to wait for a pause to end when it is back."""
    before = await session(pool)
    await wire.down()
    asked_at = time.monotonic()
    for _ in range(20):
        with pytest.raises(StoreUnavailable, match="STO005") as refused:
            await session(pool)
        assert not isinstance(refused.value, StoreSilent)
    assert time.monotonic() - asked_at < module.PATIENCE_SECONDS / 2
    await wire.up()
    assert await session(pool) not in {0, before}


async def test_who_waits_for_too_long_is_told_so(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    """All are lent and none comes back."""
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.01)
    async with pool.connection(), pool.connection():
        with pytest.raises(StoreUnavailable, match="STO013"):
            await session(pool)
    assert await session(pool)


async def test_what_was_left_in_the_middle_is_not_lent_again(pool: Pool) -> None:
    """A transaction that nobody ended, a query that was cancelled."""
    first = await session(pool)
    async with pool.connection() as connection:
        await connection.execute("begin")
    second = await session(pool)
    assert second != first
    querying = asyncio.create_task(_sleep(pool))
    await asyncio.sleep(0)
    querying.cancel()
    with pytest.raises(asyncio.CancelledError):
        await querying
    assert await session(pool)


async def _sleep(pool: Pool) -> None:
    async with pool.connection() as connection:
        await connection.execute("select pg_sleep(60)")


async def test_an_error_of_the_statement_is_the_caller_s(pool: Pool) -> None:
    """Only what is wrong with the database itself becomes StoreUnavailable; the connection is lent again."""
    first = await session(pool)
    with pytest.raises(psycopg.errors.UndefinedTable):
        async with pool.connection() as connection:
            await connection.execute("select * from nowhere")
    assert await session(pool) == first
