"""Server-sent events over plain ASGI: one writer a client, bounded by the connection itself.

A client that does not read blocks its own writer, nobody else, and is dropped after a while: it is told why behind what
it has not yet taken, and if it does not take that either, the connection is cut. It resumes with Last-Event-ID. Silence
is broken by a comment every few seconds, so that neither side takes it for a dead connection.
"""

import asyncio
import contextlib
import time

import msgspec

from gateway.batches import Batch
from gateway.http import ClientGone, Request, Send

PING_SECONDS = 10.0
STUCK_SECONDS = 20.0

HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
]


class Dropped(msgspec.Struct, frozen=True):
    """Why a client is let go although there is more to come."""

    code: str
    detail: str
    hint: str


TOO_SLOW = Dropped("too_slow", f"nothing was taken for {STUCK_SECONDS:.0f} seconds", "come back with Last-Event-ID; nothing is lost")
TOKEN_REVOKED = Dropped("token_revoked", "the token that opened this stream is revoked", "use another token")
TOKEN_EXPIRED = Dropped("token_expired", "the token that opened this stream has expired", "use another token")


class EventStream:
    """The stream to one client. news: set when there may be something to send, and when the client has gone.

    Every method raises ClientGone when nobody reads any more.
    """

    def __init__(self, request: Request, send: Send, news: asyncio.Event) -> None:
        self._request = request
        self._send = send
        self._news = news
        self._written_at = time.monotonic()

    async def start(self) -> None:
        """Send the headers."""
        self._request.gone().add_done_callback(lambda _: self._news.set())
        await self._send({"type": "http.response.start", "status": 200, "headers": HEADERS})

    async def at(self, identity: str) -> None:
        """Tell where the stream begins: what a client sends back that is cut before its first event."""
        await self._write(b"id: %b\n\n" % identity.encode())

    async def send(self, batch: Batch) -> None:
        """Send a batch, piece by piece: who takes nothing holds up the next one."""
        for piece in batch.pieces:
            await self._write(piece)

    async def wait(self) -> None:
        """Until there is news; meanwhile the connection is kept alive.

        Also when there is news all the time that is nothing to this client, as heartbeats are to one that reads a log.
        """
        while True:
            silent = time.monotonic() - self._written_at
            if silent >= PING_SECONDS:
                await self._write(b": ping\n\n")
                silent = 0.0
            if self._news.is_set():
                break
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PING_SECONDS - silent):
                    await self._news.wait()
        if self._request.gone().done():
            raise ClientGone

    async def end(self, *, last: bool) -> None:
        """Close the answer. last: nothing will ever follow, so the client need not come back."""
        await self._write(b"event: end\ndata: {}\n\n" if last else b"", more=False)

    async def drop(self, reason: Dropped) -> None:
        """Let the client go, and tell it why, also where it takes nothing: as its last words, behind what waits for it."""
        self._request.let_go()
        body = b"event: dropped\ndata: %b\n\n" % msgspec.json.encode(reason)
        await self._send({"type": "http.response.body", "body": body, "more_body": False})

    async def _write(self, body: bytes, *, more: bool = True) -> None:
        if self._request.gone().done():
            raise ClientGone
        try:
            async with asyncio.timeout(STUCK_SECONDS):
                await self._send({"type": "http.response.body", "body": body, "more_body": more})
        except TimeoutError:
            await self.drop(TOO_SLOW)
            raise ClientGone from None
        self._written_at = time.monotonic()
