"""A few connections to lend, opened when somebody asks and none is idle.

Nothing here tries again on its own: while the database is away whoever asks is told so at once, and whoever asks when it is
back gets a connection at once. A pool that tries again in growing pauses is, after an outage, away for as long once more.
It must never lend a connection that was lost or left in the middle of something.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg
from psycopg.pq import TransactionStatus

from domain.ports import StoreUnavailable
from infra.connections import Connection, alive, connect, session_name, unavailable

SIZE = 4
PATIENCE_SECONDS = 5.0


class Pool:
    """The connections of one role of a process. Construct anywhere, end with `close`; belongs to one event loop."""

    def __init__(self, database_url: str, role: str, size: int = SIZE) -> None:
        """role: see `session_name`. size: how many are lent at a time."""
        self._url = database_url
        self._role = role
        self._free = asyncio.Semaphore(size)
        self._idle: list[Connection] = []
        self._closed = False

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Lend one, in autocommit mode. Raises StoreUnavailable, also for what the block itself runs into."""
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await self._free.acquire()
        except TimeoutError as error:
            reason = f"STO013: all connections for reading were busy for {PATIENCE_SECONDS:g} s. Help: try again; look for slow queries."
            raise StoreUnavailable(reason) from error
        try:
            connection = await self._open()
            try:
                yield connection
            except psycopg.OperationalError as error:
                raise unavailable(error) from error
            finally:
                await self._take_back(connection)
        finally:
            self._free.release()

    async def close(self) -> None:
        """Disconnect. What is lent is closed when it comes back."""
        self._closed = True
        idle, self._idle = self._idle, []
        for connection in idle:
            await connection.close()

    async def _open(self) -> Connection:
        """An idle one that stands, the last used first, else a new one."""
        while self._idle:
            connection = self._idle.pop()
            if alive(connection):
                return connection
            await connection.close()
        return await connect(self._url, session_name(self._role))

    async def _take_back(self, connection: Connection) -> None:
        if not self._closed and connection.info.transaction_status == TransactionStatus.IDLE:
            self._idle.append(connection)
        else:
            await connection.close()
