"""HTTP/1.1 for load generators: keep-alive connections on which a request costs a few microseconds of Python.

The machine is shared between the load and what is measured, so a comfortable client would be measured too.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import msgspec

LATER_SECONDS = 0.1
IDLE_SECONDS = 2.0
_json = msgspec.json.Encoder()


class HttpError(Exception):
    """An answer that is no success."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(f"{status}: {body[:300].decode(errors='replace')}")
        self.status = status


class Http:
    """Any number of requests at a time to one server, each on a connection of its own; connections are used again."""

    def __init__(self, url: str, token: str) -> None:
        place = urlsplit(url)
        self._host, self._port = place.hostname, place.port
        self._rest = f" HTTP/1.1\r\nhost: {place.netloc}\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n"
        self._idle: list[_Connection] = []
        self._all: list[_Connection] = []

    async def post(self, path: str, message: Any) -> bytes:
        """The body of the answer. Raises HttpError."""
        return await self.send("POST", path, _json.encode(message))

    async def get(self, path: str) -> bytes:
        """The body of the answer. Raises HttpError."""
        return await self.send("GET", path, b"")

    async def send(self, method: str, path: str, body: bytes) -> bytes:
        """One request with its answer. What the server wants later (429) is sent again a little later; that time counts."""
        status, answer = await self._once(method, path, body)
        while status == 429:
            await asyncio.sleep(LATER_SECONDS)
            status, answer = await self._once(method, path, body)
        if status >= 300:
            raise HttpError(status, answer)
        return answer

    async def _once(self, method: str, path: str, body: bytes) -> tuple[int, bytes]:
        connection = self._used_lately() or await self._open()
        status, answer = await connection.send(f"{method} {path}{self._rest}content-length: {len(body)}\r\n\r\n".encode() + body)
        connection.idle_since = time.monotonic()
        self._idle.append(connection)
        return status, answer

    async def stream(self, path: str) -> AsyncIterator[bytes]:
        """A GET whose answer comes in pieces (with the marks of chunked encoding between them), until its end."""
        reader, writer = await asyncio.open_connection(self._host, self._port, limit=1 << 20)
        try:
            writer.write(f"GET {path}{self._rest}\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            if int(head[9:12]) >= 300:
                raise HttpError(int(head[9:12]), head)
            end = b""
            while end != b"0\r\n\r\n":
                piece = await reader.read(1 << 18)
                yield piece
                if not piece:
                    return
                end = (end + piece)[-5:]
        finally:
            writer.close()

    def _used_lately(self) -> "_Connection | None":
        """A connection that was used a moment ago. Unused for longer, the server may close it just when a request is on its way."""
        while self._idle:
            connection = self._idle.pop()
            if not connection.transport.is_closing() and time.monotonic() - connection.idle_since < IDLE_SECONDS:
                return connection
            connection.transport.close()
        return None

    async def _open(self) -> "_Connection":
        _, connection = await asyncio.get_running_loop().create_connection(_Connection, self._host, self._port)
        self._all.append(connection)
        return connection

    def close(self) -> None:
        """Close every connection."""
        for connection in self._all:
            connection.transport.close()


class _Connection(asyncio.Protocol):
    """One connection, one request at a time. Answers carry a content-length."""

    transport: asyncio.Transport
    idle_since = 0.0

    def __init__(self) -> None:
        self._received = b""
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]  # create_connection makes a Transport

    def send(self, request: bytes) -> asyncio.Future[tuple[int, bytes]]:
        self._answer = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return self._answer

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        if not end:
            return
        _, _, rest = head.lower().partition(b"\r\ncontent-length:")
        length = int(rest.partition(b"\r\n")[0] or 0)
        if len(body) < length:
            return
        self._received = b""
        if self._answer is not None and not self._answer.done():
            self._answer.set_result((int(head[9:12]), body))

    def connection_lost(self, error: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error or ConnectionResetError("the server closed the connection"))
