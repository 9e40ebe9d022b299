"""The HTTP server around the application: a socket that is bound before anything heavy starts, and an orderly end.

Keep-alive is longer than the longest poll, so that a runner's connection is not closed under it. Away from loopback
there must be TLS: tokens and logs travel over this socket.
"""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import msgspec
import uvicorn

from gateway.http import AsgiApp

KEEP_ALIVE_SECONDS = 90
STOP_SECONDS = 1
BACKLOG = 2048


class Tls(msgspec.Struct, frozen=True):
    """Certificate chain and key, PEM files."""

    certificate: Path
    key: Path


class Listening:
    """A running server."""

    def __init__(self, app: AsgiApp, bound: socket.socket, tls: Tls | None) -> None:
        config = uvicorn.Config(
            app,
            http="httptools",
            ws="none",
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
