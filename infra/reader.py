"""Reads of the store on a connection of their own."""

import asyncio
from collections.abc import Sequence
from typing import Any

import psycopg

from infra.connections import connect, session_name, unavailable
from infra.direct import Direct, Statement


class Reader:
    """Reads on one connection, opened on first use; a lost one is replaced once per read."""

    def __init__(self, database_url: str) -> None:
        self._url = database_url
        self._direct: Direct | None = None
        self._opening = asyncio.Lock()

    async def fetch(self, statement: Statement, parameters: Sequence[bytes] = ()) -> list[Any]:
        """All rows of a query. Raises StoreUnavailable."""
        try:
            return await self._fetch(statement, parameters)
        except psycopg.Error as error:
            if self._direct is not None and not self._direct.connection.closed:
                raise unavailable(error) from error
        try:
            return await self._fetch(statement, parameters)
        except psycopg.Error as error:
            raise unavailable(error) from error

    async def _fetch(self, statement: Statement, parameters: Sequence[bytes]) -> list[Any]:
        direct = self._direct
        if direct is None or direct.connection.closed:
            direct = await self._open()
        return await direct.run(statement, parameters)

    async def _open(self) -> Direct:
        async with self._opening:
            if self._direct is None or self._direct.connection.closed:
                self._direct = Direct(await connect(self._url, session_name("reader")))
            return self._direct

    async def close(self) -> None:
        """Disconnect."""
        if self._direct is not None:
            await self._direct.connection.close()
