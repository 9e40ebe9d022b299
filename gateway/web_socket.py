"""uvicorn's WebSockets, with one thing more: the application can let a client go that takes nothing. See gateway.connection."""

import asyncio

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request

from gateway.connection import cut_later
from gateway.http import LET_GO


class WebSocket(WebSocketsSansIOProtocol):
    """One connection."""

    _cut: asyncio.TimerHandle | None = None

    def handle_connect(self, event: Request) -> None:
        """A request; its task begins later, so the application finds this in its scope."""
        super().handle_connect(event)
        if self.response.status_code == 101:
            self.scope["extensions"][LET_GO] = self._let_go  # type: ignore[assignment]  # an extension of our own

    def _let_go(self) -> None:
        self.writable.set()
        self._cut = cut_later(self.loop, self.transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over."""
        if self._cut is not None:
            self._cut.cancel()
        super().connection_lost(exc)
