"""A wire that a test can cut: forwards bytes to a real server, holds them back, or is down."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Self

Connect = Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]
Serve = Callable[[Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]], Awaitable[asyncio.Server]]


class Proxy:
    """Between a client and a server. requests, answers: cleared, that direction is held back; set, it flows."""

    def __init__(self, serve: Serve, connect: Connect) -> None:
        self._serve = serve
        self.connect = connect
        self._server: asyncio.Server | None = None
        self._wires: set[asyncio.Task[None]] = set()
        self.requests = asyncio.Event()
        self.answers = asyncio.Event()
        self.requests.set()
        self.answers.set()
        self.held = asyncio.Event()
        """Set when bytes are being held back."""
        self.url = ""
        """Where clients find it, once whoever made it knows."""

    @classmethod
    def unix(cls, path: str, target: str) -> Self:
        """From one Unix socket to another."""
        return cls(lambda handler: asyncio.start_unix_server(handler, path), lambda: asyncio.open_unix_connection(target))

    @classmethod
    def tcp(cls, port: int, host: str, target: int) -> Self:
        """From a local port to host and port."""
        return cls(lambda handler: asyncio.start_server(handler, "127.0.0.1", port), lambda: asyncio.open_connection(host, target))

    async def up(self) -> None:
        """Take connections."""
        self._server = await self._serve(self._wire)

    async def down(self) -> None:
        """Cut what is there and refuse what comes."""
        if self._server is not None:
            self._server.close()
            self._server = None
        await self.cut()

    async def cut(self) -> None:
        """Break all connections, on both sides; what was held back is lost. Later ones flow."""
        wires = list(self._wires)
        for wire in wires:
            wire.cancel()
        await asyncio.gather(*wires, return_exceptions=True)
        self.requests.set()
        self.answers.set()
        self.held.clear()

    async def _wire(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._wires.add(task)
        upstream: asyncio.StreamWriter | None = None
        try:
            server, upstream = await self.connect()
            ends = [
                asyncio.create_task(self._pump(reader, upstream, self.requests)),
                asyncio.create_task(self._pump(server, writer, self.answers)),
            ]
            try:
                await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for end in ends:
                    end.cancel()
                await asyncio.gather(*ends, return_exceptions=True)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._wires.discard(task)
            for side in (writer, upstream):
                if side is not None:
                    side.transport.abort()
                    with contextlib.suppress(OSError):
                        await side.wait_closed()

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, gate: asyncio.Event) -> None:
        while data := await source.read(1 << 16):
            if not gate.is_set():
                self.held.set()
            await gate.wait()
            sink.write(data)
            await sink.drain()
