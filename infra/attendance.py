"""Tells whether any gateway is there to hear runners: each holds a shared advisory lock for as long as it lives.

The lock ends with the gateway's connection, however that ends, and needs no clock and no row. So the reconciler, which
may be another process on another machine, knows when nobody could have stored a heartbeat. It must never be taken by
anything that does not serve runners.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import psycopg

from domain.ports import StoreUnavailable
from infra import tasks
from infra.connections import connect, session_name

log = logging.getLogger(__name__)

LOCK = 7301
CHECK_SECONDS = 5.0
RETRY_SECONDS = 0.5
VANISHED = {"tcp_keepalives_idle": 10, "tcp_keepalives_interval": 5, "tcp_keepalives_count": 3}
"""So soon the database notices that a gateway's machine is gone; its own default is two hours."""

_ANY = """
SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND classid = %s AND objid = %s AND granted
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))
"""


@asynccontextmanager
async def attending(database_url: str, shard: int = 0) -> AsyncIterator[None]:
    """This process is a gateway, within the block; it begins when the database knows it, or is away."""
    known = asyncio.Event()
    task = asyncio.create_task(_attend(database_url, shard, known), name="attendance")
    try:
        await known.wait()
        yield
    finally:
        await tasks.end(task)


async def attended(connections: Callable[[], AbstractAsyncContextManager[Any]], shard: int = 0) -> bool:
    """Whether a gateway is there. Raises StoreUnavailable."""
    async with connections() as connection:
        row = await (await connection.execute(_ANY, (LOCK, shard), prepare=True)).fetchone()
        return bool(row[0])


async def _attend(database_url: str, shard: int, known: asyncio.Event) -> None:
    while True:
        try:
            connection = await connect(database_url, session_name("attendance"))
            try:
                for name, value in VANISHED.items():
                    await connection.execute("SELECT set_config(%s, %s, false)", (name, str(value)))
                await connection.execute("SELECT pg_advisory_lock_shared(%s, %s)", (LOCK, shard))
                known.set()
                while True:
                    await asyncio.sleep(CHECK_SECONDS)
                    await connection.execute("SELECT 1")
            finally:
                await connection.close()
        except (StoreUnavailable, psycopg.Error) as error:
            log.debug("the database does not know that this gateway is here: %s", error)
        known.set()
        await asyncio.sleep(RETRY_SECONDS)
