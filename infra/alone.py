"""Work that one process of a database does at a time: whoever holds an advisory lock, for as long as its connection lives.

The others ask for the lock now and then and never wait inside the database, where a statement that waits would keep old rows
from being cleaned up. Whoever loses the connection stops, and asks again.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

import psycopg

from domain.ports import StoreUnavailable
from infra import tasks
from infra.connections import connect, session_name

LOOK_SECONDS = 2.0

log = logging.getLogger(__name__)

Work = Callable[[], Coroutine[Any, Any, None]]


async def alone(database_url: str, lock: int, name: str, work: Work, shard: int = 0) -> None:
    """Do the work, which has no end of its own, whenever no other process does. Raises what it raises."""
    while True:
        try:
            await _while_held(database_url, (lock, shard), name, work)
        except (psycopg.Error, StoreUnavailable) as error:
            log.warning("%s are left to another process until the database is back: %s", name, error)
        await asyncio.sleep(LOOK_SECONDS)


async def _while_held(database_url: str, lock: tuple[int, int], name: str, work: Work) -> None:
    connection = await connect(database_url, session_name(name))
    try:
        while not await _got(connection, lock):  # noqa: ASYNC110 - whoever lets go tells nobody
            await asyncio.sleep(LOOK_SECONDS)
        working = asyncio.create_task(work(), name=name)
        try:
            while not (await asyncio.wait({working}, timeout=LOOK_SECONDS))[0]:
                await connection.execute("SELECT 1")
            working.result()
        finally:
            await tasks.end(working)
    finally:
        await connection.close()


async def _got(connection: psycopg.AsyncConnection[tuple[bool]], lock: tuple[int, int]) -> bool:
    row = await (await connection.execute("SELECT pg_try_advisory_lock(%s, %s)", lock)).fetchone()
    return row is not None and row[0]
