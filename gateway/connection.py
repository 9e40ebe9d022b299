"""uvicorn's connections, with two things more: the application can let a client go that takes nothing, and WebSockets cost no start.

uvicorn holds an application back while a client does not take what was sent, and an answer that is given up stays until
the client takes it or goes. That may be never. So: what is said last is said at once, and after a while the connection
is cut, with whatever was not taken.
"""

import asyncio
import socket
import struct
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gateway.http import LET_GO

LAST_WORDS_SECONDS = 10.0
"""So long a client that was let go may take what waits for it."""
AT_ONCE = struct.pack("ii", 1, 0)
"""SO_LINGER: closing throws away what was not taken. Without it the kernel would go on offering it, for many minutes."""


def cut_later(loop: asyncio.AbstractEventLoop, transport: asyncio.Transport) -> asyncio.TimerHandle:
    """Cut a connection after a while. Cancel it when the connection is lost: its descriptor may then be another's."""

    def cut() -> None:
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
        transport.abort()

    return loop.call_later(LAST_WORDS_SECONDS, cut)


class Connection(HttpToolsProtocol):
    """One connection of HTTP/1.1."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._cut: asyncio.TimerHandle | None = None
        self.ws_protocol_class = web_socket  # type: ignore[assignment]  # it is only called

    def on_message_begin(self) -> None:
        """A request: tell the application how to let go."""
        super().on_message_begin()
        self.scope["extensions"] = {LET_GO: self._let_go}  # type: ignore[dict-item]  # an extension of our own

    def _let_go(self) -> None:
        self.cycle.keep_alive = False
        self.flow.resume_writing()
        self._cut = cut_later(self.loop, self.transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over."""
        if self._cut is not None:
            self._cut.cancel()
        super().connection_lost(exc)


def web_socket(**given: Any) -> asyncio.Protocol:
    """The rest of a connection that becomes a WebSocket; its library is loaded by the first one."""
    from gateway.web_socket import WebSocket  # noqa: PLC0415 - see above

    return WebSocket(**given)
