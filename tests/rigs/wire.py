"""A wire between a runner and its server that drops packets, for tests whose other parts are processes."""

import asyncio
import threading
from typing import Self

from tests.proxy import Proxy
from tests.rigs.ports import free_port


class Wire:
    """A local port that leads to another one. Use as a context manager."""

    def __init__(self, target: int) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._proxy = Proxy.tcp(port, "127.0.0.1", target)

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._proxy.up(), self._loop).result(10)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._proxy.down(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def drop(self) -> None:
        """Nothing passes, in neither direction, and nobody is told."""
        self._loop.call_soon_threadsafe(self._proxy.requests.clear)
        self._loop.call_soon_threadsafe(self._proxy.answers.clear)

    def heal(self) -> None:
        """Everything passes again; what TCP has kept trying to send arrives late."""
        self._loop.call_soon_threadsafe(self._proxy.requests.set)
        self._loop.call_soon_threadsafe(self._proxy.answers.set)
