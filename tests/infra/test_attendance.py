"""Whether a gateway is there, as the database knows it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import pytest

from infra import attendance
from infra.attendance import attended, attending


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look often."""
    monkeypatch.setattr(attendance, "CHECK_SECONDS", 0.05)
    monkeypatch.setattr(attendance, "RETRY_SECONDS", 0.05)


async def test_a_gateway_is_there_as_long_as_one_lives(postgres_url: str, empty_postgres_url: str) -> None:
    """One of two leaves, then the other; a gateway of another database counts for nothing; a lost connection comes back."""

    @asynccontextmanager
    async def connections() -> AsyncIterator[Any]:
        async with await psycopg.AsyncConnection.connect(postgres_url, autocommit=True) as connection:
            yield connection

    async def until(expected: bool) -> None:
        async with asyncio.timeout(10):
            while await attended(connections) is not expected:
                await asyncio.sleep(0.01)

    async def holders() -> set[int]:
        query = "SELECT pid FROM pg_locks JOIN pg_database d ON d.oid = database WHERE classid = %s AND datname = current_database()"
        async with connections() as connection:
            return {row[0] for row in await (await connection.execute(query, (attendance.LOCK,))).fetchall()}

    async with attending(empty_postgres_url):
        await asyncio.sleep(0.1)
        assert not await attended(connections)
        async with attending(postgres_url):
            await until(expected=True)
            async with attending(postgres_url):
                await until(expected=True)
            await until(expected=True)
            before = await holders()
            async with connections() as connection:
                await connection.execute("SELECT pg_terminate_backend(pid) FROM unnest(%s::int[]) pid", (sorted(before),))
            async with asyncio.timeout(10):
                while not (await holders()) - before:
                    await asyncio.sleep(0.01)
        await until(expected=False)
