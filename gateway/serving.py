"""The HTTP server around the application: a socket that is bound before anything heavy starts, and an orderly end.

While the servers behind it start or recover, which may take minutes, the socket answers 503: to a runner a control plane
that refuses is away and its jobs go on, while one that is silent may be at work behind a broken network.
Keep-alive is longer than the longest poll, so that a runner's connection is not closed under it. Away from loopback
there must be TLS: tokens and logs travel over this socket.
"""

import asyncio
import contextlib
import re
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import msgspec
import uvicorn

from gateway.connection import Connection
from gateway.http import AsgiApp

KEEP_ALIVE_SECONDS = 90
STOP_SECONDS = 1
BACKLOG = 2048
MESSAGE_BYTES_MAX = 4096
"""So long a message over a WebSocket may be; nothing that clients say there is read."""
UNSENT_BYTES = 128 * 1024
"""So much is handed to the network ahead of what a client takes; a client that goes and comes back gets the rest again."""


class Tls(msgspec.Struct, frozen=True):
    """Certificate chain and key, PEM files. client_ca: whoever connects must show a certificate of this authority."""

    certificate: Path
    key: Path
    client_ca: Path | None = None


class Listening:
    """A running server."""

    def __init__(self, app: AsgiApp, bound: socket.socket, tls: Tls | None) -> None:
        config = uvicorn.Config(
            app,
            http=Connection,
            ws="none",  # see gateway.connection
            ws_max_size=MESSAGE_BYTES_MAX,
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            backlog=BACKLOG,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=STOP_SECONDS,
            ssl_certfile=tls.certificate if tls else None,
            ssl_keyfile=tls.key if tls else None,
            ssl_ca_certs=str(tls.client_ca) if tls and tls.client_ca else None,
            ssl_cert_reqs=ssl.CERT_REQUIRED if tls and tls.client_ca else ssl.CERT_NONE,
        )
        self._server = _Server(config)
        self._socket = bound
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Accept connections."""
        self._task = asyncio.create_task(self._server.serve([self._socket]), name="http")
        while not self._server.started:
            if self._task.done():
                await self._task
                raise RuntimeError("the HTTP server ended before it had started")
            await asyncio.sleep(0.002)

    async def stop(self) -> None:
        """Let what is under way end, for a moment, then close."""
        self._server.should_exit = True
        if self._task is not None:
            await self._task


_STARTING = b'{"code":"starting","title":"the server is starting","status":503,"hint":"try again soon"}'
NOT_READY = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\nretry-after: 1\r\nconnection: close\r\n"
    b"content-length: %d\r\n\r\n%b" % (len(_STARTING), _STARTING)
)
PATIENCE_SECONDS = 5.0


async def refuse(bound: socket.socket, tls: Tls | None) -> asyncio.Server:
    """Answer 503 to everybody who comes, until the returned server is closed; the socket then holds them for the real one."""
    context = None
    if tls is not None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(tls.certificate, tls.key)
        if tls.client_ca is not None:
            context.load_verify_locations(tls.client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
    return await asyncio.start_server(_not_ready, sock=bound.dup(), ssl=context)


async def _not_ready(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError):
        async with asyncio.timeout(PATIENCE_SECONDS):
            # All of the request is read: closing a socket with unread bytes would destroy the answer on its way.
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"\r\ncontent-length: *(\d+)", head, re.IGNORECASE)
            await reader.readexactly(int(length[1]) if length else 0)
            writer.write(NOT_READY)
            await writer.drain()
    writer.close()


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: the process decides when to end."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone."""
        yield


def bind(host: str, port: int, ports_max: int = 100) -> socket.socket:
    """A bound socket on `port` (0: any), or on the next free one of ports_max. Raises OSError when all are taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for candidate in range(port, port + ports_max) if port else (0,):
        bound = socket.socket(family, socket.SOCK_STREAM)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)
        try:
            bound.bind((host, candidate))
            # A port that somebody listens on can be bound with SO_REUSEADDR until listen() says no.
            bound.listen(BACKLOG)
        except OSError as error:
            bound.close()
            failure = error
        else:
            return bound
    raise failure
