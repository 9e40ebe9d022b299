"""HTTP/1.1 as the runner needs it: a POST and its whole answer, on connections to one server that are kept open.

A library that can do everything costs the runner a quarter of a second at its start and most of what a report costs
afterwards. Here is what RFC 9112 asks of a client that sends bodies of known length: answers with a length, in chunks or
up to the connection's end, interim answers, and a server that closes. It must never send a request twice, unless it left
on a kept connection that the server closed without a byte of answer: that happens when both change their minds at once.
"""

import asyncio
import contextlib
import socket
import ssl
import time
from urllib.parse import urlsplit

IDLE_SECONDS = 60.0
"""A kept connection that was idle for longer is not used again: the server may be about to close it."""

Answer = tuple[int, bytes]
"""Status and body."""


class DisconnectedError(OSError):
    """The server closed the connection before its answer was whole."""


class MalformedError(OSError):
    """The answer is not HTTP."""


class Connections:
    """All connections to one server. headers: sent with each request."""

    def __init__(self, url: str, headers: dict[str, str]) -> None:
        place = urlsplit(url)
        self._host = place.hostname or ""
        self._tls = ssl.create_default_context() if place.scheme == "https" else None
        self._port = place.port or (443 if self._tls else 80)
        self._prefix = place.path
        fixed = {"Host": place.netloc.rpartition("@")[2], "Accept": "application/json", **headers}
        self._head = "".join(f"{name}: {value}\r\n" for name, value in fixed.items())
        self._idle: list[Connection] = []

    async def post(self, path: str, body: bytes, seconds: float) -> Answer:
        """The answer. Raises OSError (ConnectionRefusedError where every address refuses), TimeoutError."""
        request = f"POST {self._prefix}{path} HTTP/1.1\r\n{self._head}Content-Length: {len(body)}\r\n\r\n".encode("latin-1") + body
        async with asyncio.timeout(seconds):
            kept = self._kept()
            if kept is not None:
                with contextlib.suppress(DisconnectedError):
                    return await self._send(kept, request)
                if kept.answered:
                    raise DisconnectedError("the server closed the connection in the middle of its answer")
            return await self._send(await self._open(), request)

    def close(self) -> None:
        """Close what is idle; a connection in use ends with its request."""
        for connection in self._idle:
            connection.transport.close()
        self._idle.clear()

    def _kept(self) -> "Connection | None":
        usable = time.monotonic() - IDLE_SECONDS
        while self._idle:
            connection = self._idle.pop()
            if connection.since > usable and not connection.transport.is_closing():
                return connection
            connection.transport.close()
        return None

    async def _send(self, connection: "Connection", request: bytes) -> Answer:
        try:
            answer = await connection.send(request)
        except BaseException:
            connection.transport.close()  # what still comes belongs to nobody
            raise
        if connection.reusable:
            connection.since = time.monotonic()
            self._idle.append(connection)
        else:
            connection.transport.close()
        return answer

    async def _open(self) -> "Connection":
        """A new connection to the first of the server's addresses that takes it."""
        loop = asyncio.get_running_loop()
        failures: list[OSError] = []
        for family, _, _, _, address in await loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM):
            try:
                _, connection = await loop.create_connection(
                    Connection,
                    str(address[0]),
                    self._port,
                    family=family,
                    ssl=self._tls,
                    server_hostname=self._host if self._tls else None,
                )
            except OSError as error:
                failures.append(error)
            else:
                return connection
        raise next((failure for failure in failures if not isinstance(failure, ConnectionRefusedError)), failures[0])


class Connection(asyncio.Protocol):
    """One connection, one request at a time. answered: whether a byte of the present answer has come."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self.since = 0.0
        self.answered = False
        self.reusable = False
        self._received = bytearray()
        self._waiting: asyncio.Future[Answer] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        self.transport = transport  # type: ignore[assignment]  # create_connection makes a Transport

    async def send(self, request: bytes) -> Answer:
        """One request and its answer. Raises DisconnectedError, MalformedError."""
        if self.transport.is_closing():
            raise DisconnectedError("the server has closed the connection")
        self.answered = False
        self._waiting = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return await self._waiting

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        self.answered = True
        self._received += data
        self._look(ended=False)

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        self._look(ended=True)
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(DisconnectedError(f"the server closed the connection ({exc or 'end of file'})"))

    def _look(self, *, ended: bool) -> None:
        """Settle the request when its answer is whole."""
        if self._waiting is None or self._waiting.done():
            self.transport.close()  # nobody asked
            return
        try:
            answer = self._whole(bytes(self._received), ended=ended)
        except ValueError as error:
            self._waiting.set_exception(MalformedError(f"the answer is not HTTP: {error}"))
            return
        if answer is not None:
            self._received.clear()
            self._waiting.set_result(answer)

    def _whole(self, data: bytes, *, ended: bool) -> Answer | None:
        """The answer in `data`, or None while something is missing. Raises ValueError."""
        head, end, body = data.partition(b"\r\n\r\n")
        if not end:
            return None
        first, *lines = head.decode("latin-1").split("\r\n")
        version, _, rest = first.partition(" ")
        status = int(rest[:3])
        if not version.startswith("HTTP/1."):
            raise ValueError(f"{first[:40]!r}")
        if status < 200:  # an interim answer: the real one follows
            del self._received[: len(head) + len(end)]
            return self._whole(body, ended=ended)
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        self.reusable = version != "HTTP/1.0" and headers.get("connection", "").lower() != "close"
        if status in (204, 304):
            return status, b""
        if "chunked" in headers.get("transfer-encoding", "").lower():
            joined = dechunked(body)
            return None if joined is None else (status, joined)
        if "content-length" in headers:
            length = int(headers["content-length"])
            return (status, body[:length]) if len(body) >= length else None
        self.reusable = False
        return (status, body) if ended else None


def dechunked(data: bytes) -> bytes | None:
    """The content of a chunked body, or None while it is not whole. Raises ValueError."""
    parts: list[bytes] = []
    at = 0
    while (line_end := data.find(b"\r\n", at)) >= 0:
        size = int(data[at:line_end].partition(b";")[0], 16)
        start = line_end + 2
        if size == 0:  # what may follow are trailers, up to an empty line
            return b"".join(parts) if data.find(b"\r\n\r\n", line_end) >= 0 else None
        if len(data) < start + size + 2:
            return None
        parts.append(data[start : start + size])
        at = start + size + 2
    return None
