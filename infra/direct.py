"""Prepared statements over libpq itself, for the few that every event passes through.

The driver's own cursor looks at each statement anew, dumps each parameter by its type, and for each piece of an answer
watches the socket anew with a future and a timer: most of the time of a small statement, and as much again as the rows
of a page cost. Here parameters are bytes already, and the socket is watched from the question to the end of the answer.
Rows are still loaded by the driver, in C. Statements that are not asked hundreds of times a second go through a cursor,
on the same connection if need be: both take its lock.
"""

import asyncio
import select
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec
import psycopg
from psycopg import pq
from psycopg.adapt import Transformer

from infra.connections import Connection

UUID_OID = 2950
BIGINT_OID = 20
TEXT_OID = 25

bigint = struct.Struct(">q").pack


class Statement(msgspec.Struct, frozen=True, eq=False):
    """A statement with $1, $2, ... and the type of each. name: its own among those of a connection."""

    name: bytes
    sql: bytes
    oids: tuple[int, ...] = ()


class Direct:
    """Runs statements on one connection, one after the other. A run that is cancelled ends the connection."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._pgconn = connection.pgconn
        self._prepared: set[bytes] = set()
        self._waiting: asyncio.Future[None] | None = None
        self._lost: psycopg.OperationalError | None = None
        self._watching: int | None = None
        self._more = select.poll()

    async def run(self, statement: Statement, parameters: Sequence[bytes] = ()) -> list[Any]:
        """All rows, as tuples. parameters: in binary form. Raises psycopg.Error."""
        async with self.connection.lock:
            if self.connection.closed:
                raise psycopg.OperationalError("the connection is closed")
            with self._watched():
                if statement.name not in self._prepared:
                    self._pgconn.send_prepare(statement.name, statement.sql, list(statement.oids))
                    await self._result()
                    self._prepared.add(statement.name)
                formats = [pq.Format.BINARY] * len(parameters)
                self._pgconn.send_query_prepared(statement.name, parameters, formats, result_format=pq.Format.BINARY)
                result = await self._result()
        transformer = Transformer(self.connection)
        transformer.set_pgresult(result)
        return transformer.load_rows(0, result.ntuples, tuple)

    async def _result(self) -> pq.abc.PGresult:
        """The one result of what was sent. Raises psycopg.Error when it is one, or the connection is lost."""
        while self._pgconn.flush():
            loop, descriptor = asyncio.get_running_loop(), self._pgconn.socket
            loop.add_writer(descriptor, self._settle)
            await self._wait()
            loop.remove_writer(descriptor)
        found = None
        while True:
            if self._pgconn.is_busy():
                await self._wait()
            result = self._pgconn.get_result()
            if result is None:
                break
            found = result
        if found is None:
            raise psycopg.OperationalError("the server gave no result")
        if found.status not in (pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK):
            raise psycopg.errors.error_from_result(found)
        return found

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """Take in what the server says. Left in the middle of an answer, the connection is of no use to anybody."""
        self._watching = self._pgconn.socket
        self._more.register(self._watching, select.POLLIN)
        asyncio.get_running_loop().add_reader(self._watching, self._take_in)
        try:
            yield
        except psycopg.Error:
            raise
        except BaseException:
            self._unwatch()
            self._pgconn.finish()
            raise
        finally:
            self._unwatch()

    def _unwatch(self) -> None:
        """Before anybody else runs: libpq may have closed the socket, and a new connection may get its number."""
        if self._watching is not None:
            loop = asyncio.get_running_loop()
            loop.remove_reader(self._watching)
            loop.remove_writer(self._watching)
            self._watching = None

    def _take_in(self) -> None:
        """Take in all that is there. libuv tells of a socket with an error once and never again, so the end must not be left behind."""
        try:
            self._pgconn.consume_input()
            while self._more.poll(0):
                self._pgconn.consume_input()
            busy = self._pgconn.is_busy()
        except psycopg.OperationalError as lost:
            self._unwatch()
            self._lost = lost
            self._settle()
        else:
            if not busy:
                self._settle()

    async def _wait(self) -> None:
        """Return when there is an answer, or room in a socket that a statement was too large for. Raises OperationalError.

        The loss of the connection may be seen while nobody waits, between two parts of an answer; nothing comes after it.
        """
        if self._lost is None:
            self._waiting = asyncio.get_running_loop().create_future()
            await self._waiting
        if self._lost is not None:
            raise self._lost

    def _settle(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)
