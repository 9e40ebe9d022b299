"""HTTP/1.1 as the runner needs it: a POST and its whole answer, on connections to its servers that are kept open.

A client library that can do everything costs the runner a quarter of a second at its start and most of what a report
costs afterwards. So answers are read by the parser that the server uses (httptools), and here are the connections. A
request must never be sent twice, unless it left on a kept connection that the server closed without a byte of answer:
that happens when both change their minds at once.

Where there are several servers, any of them will do: a request goes to the one that answered last, and on to the next
where nobody takes it, or where the answer is that it cannot be served now. One that was sent and got no answer is its
caller's to repeat, by then at the next server.
"""

import asyncio
import contextlib
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

import httptools

IDLE_SECONDS = 60.0
"""A kept connection that was idle for longer is not used again: the server may be about to close it."""
CONNECT_SECONDS = 10.0
"""So long a server may take to accept a connection while there are others to ask."""
AWAY = (502, 503)
"""Statuses of a server that cannot serve now, and says so."""

Answer = tuple[int, bytes]
"""Status and body."""


class DisconnectedError(OSError):
    """The server closed the connection before its answer was whole."""


class UnansweredError(DisconnectedError):
    """The server ended a new TLS connection without a byte of answer, as one does that wants another client certificate."""


class MalformedError(OSError):
    """The answer is not HTTP."""


class UnreachedError(Exception):
    """No connection was made, so nothing was sent; its cause tells why."""


class Gateways:
    """All servers of a control plane, the one that is asked first in front. See Connections for the arguments."""

    def __init__(self, urls: Sequence[str], headers: dict[str, str], bearer: Callable[[], str], tls: ssl.SSLContext | None = None) -> None:
        patience = CONNECT_SECONDS if len(urls) > 1 else None
        self._places = [Connections(url, headers, bearer, tls, connect_seconds=patience) for url in urls]

    async def post(self, path: str, body: bytes, seconds: float) -> Answer:
        """The answer. Raises OSError (ConnectionRefusedError only where every server refuses), TimeoutError."""
        failures: list[OSError] = []
        away: Answer | None = None
        place: Connections | None = None
        try:
            async with asyncio.timeout(seconds):
                for place in tuple(self._places):
                    try:
                        answer = await place.post(path, body)
                    except UnreachedError as error:
                        failures.append(error.__cause__)  # type: ignore[arg-type]  # it is raised from an OSError
                    else:
                        if answer[0] not in AWAY:
                            return answer
                        away = answer
                    self._leave(place)
        except OSError:
            self._leave(place)
            raise
        silent = next((failure for failure in failures if not isinstance(failure, ConnectionRefusedError)), None)
        if away is not None and silent is None:
            return away
        raise silent or next(iter(failures), ConnectionError("no server is named"))

    def close(self) -> None:
        """Close what is idle; a connection in use ends with its request."""
        for place in self._places:
            place.close()

    def _leave(self, place: "Connections | None") -> None:
        """Ask it last from now on; many requests may find out at once that it is gone."""
        self._places.sort(key=lambda each: each is place)


class Connections:
    """All connections to one server. headers: sent with each request, and the bearer token that is good now.

    connect_seconds: how long it may take to accept a connection; None: as long as the request has.
    """

    def __init__(
        self,
        url: str,
        headers: dict[str, str],
        bearer: Callable[[], str],
        tls: ssl.SSLContext | None = None,
        *,
        connect_seconds: float | None = None,
    ) -> None:
        place = urlsplit(url)
        self._host = place.hostname or ""
        self._tls = (tls or ssl.create_default_context()) if place.scheme == "https" else None
        self._bearer = bearer
        self._port = place.port or (443 if self._tls else 80)
        self._prefix = place.path
        self._connect_seconds = connect_seconds
        fixed = {"Host": place.netloc.rpartition("@")[2], "Accept": "application/json", **headers}
        self._head = "".join(f"{name}: {value}\r\n" for name, value in fixed.items())
        self._idle: list[Connection] = []

    async def post(self, path: str, body: bytes) -> Answer:
        """The answer, however long it takes. Raises UnreachedError, OSError."""
        varying = f"Authorization: Bearer {self._bearer()}\r\nContent-Length: {len(body)}\r\n\r\n"
        request = f"POST {self._prefix}{path} HTTP/1.1\r\n{self._head}{varying}".encode("latin-1") + body
        kept = self._kept()
        if kept is not None:
            with contextlib.suppress(DisconnectedError):
                return await self._send(kept, request)
            if kept.answered:
                raise DisconnectedError("the server closed the connection in the middle of its answer")
        try:
            connection = await self._open()
        except OSError as error:
            raise UnreachedError from error
        try:
            return await self._send(connection, request)
        except DisconnectedError as error:
            if self._tls and not connection.answered:
                raise UnansweredError(str(error)) from error
            raise

    def close(self) -> None:
        """Close what is idle; a connection in use ends with its request."""
        for connection in self._idle:
            connection.transport.abort()  # nothing is on its way; TLS would wait for the server's farewell
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
                async with asyncio.timeout(self._connect_seconds):
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
    """One connection, one request at a time. answered: whether a byte of the present answer has come.

    The methods that begin with `on_` are called by the parser.
    """

    transport: asyncio.Transport

    def __init__(self) -> None:
        self.since = 0.0
        self.answered = False
        self.reusable = False
        self._parser = httptools.HttpResponseParser(self)
        self._body: list[bytes] = []
        self._sized = False
        self._until_end = False
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
        if self._waiting is None or self._waiting.done():
            self.transport.close()  # nobody asked
            return
        self.answered = True
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail(MalformedError(f"the answer is not HTTP: {error}"))

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        if self._until_end and exc is None:
            self.on_message_complete()
        # a server that asks for a certificate says so after the handshake, when the request has left already
        self._fail(
            exc if isinstance(exc, ssl.SSLError) else DisconnectedError(f"the server closed the connection ({exc or 'end of file'})")
        )

    def on_message_begin(self) -> None:
        """An answer begins, perhaps an interim one."""
        self._body = []
        self._sized = False

    def on_header(self, name: bytes, _value: bytes) -> None:
        """One of these two tells where the body ends."""
        self._sized = self._sized or name.lower() in (b"content-length", b"transfer-encoding")

    def on_headers_complete(self) -> None:
        """The body follows; without a length it goes up to the connection's end."""
        self._until_end = not self._sized

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        self._body.append(body)

    def on_message_complete(self) -> None:
        """The answer is whole; after an interim one the real one follows."""
        status = self._parser.get_status_code()
        self.reusable = self._parser.should_keep_alive()
        self._until_end = False
        if status >= 200 and self._waiting is not None and not self._waiting.done():
            self._waiting.set_result((status, b"".join(self._body)))

    def _fail(self, error: OSError) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(error)
