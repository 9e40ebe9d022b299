"""Server-sent events over plain ASGI: one writer a client, bounded by the connection itself.

A client that does not read blocks its own writer, nobody else, and is let go after a while; it resumes with
Last-Event-ID. Silence is broken by a comment every few seconds, so that neither side takes it for a dead connection.
"""

import asyncio
import time
from collections.abc import Iterable

from gateway.http import ClientGone, Request, Send
from gateway.hub import Follower

PING_SECONDS = 10.0
STUCK_SECONDS = 30.0
PIECE_BYTES = 64 * 1024

HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
]


class EventStream:
    """The stream to one client. Every method raises ClientGone when nobody reads any more."""

    def __init__(self, request: Request, send: Send) -> None:
        self._request = request
        self._send = send
        self._written_at = time.monotonic()

    async def start(self) -> None:
        """Send the headers."""
        await self._send({"type": "http.response.start", "status": 200, "headers": HEADERS})

    async def events(self, events: Iterable[tuple[str, bytes]]) -> None:
        """Send (id, JSON) pairs; the JSON has no line break."""
        await self._pieces(b"id: %b\ndata: %b\n\n" % (identity.encode(), data) for identity, data in events)

    async def records(self, attempt: int, first: int, records: Iterable[bytes]) -> None:
        """Send the records of a log from line `first` on; their ids are attempt:line."""
        await self._pieces(b"id: %d:%d\ndata: %b\n\n" % (attempt, line, record) for line, record in enumerate(records, first))

    async def _pieces(self, encoded: Iterable[bytes]) -> None:
        piece: list[bytes] = []
        size = 0
        for event in encoded:
            piece.append(event)
            size += len(event)
            if size >= PIECE_BYTES:
                await self._write(b"".join(piece))
                piece, size = [], 0
        if piece:
            await self._write(b"".join(piece))

    async def wait(self, follower: Follower) -> None:
        """Until there is news; meanwhile the connection is kept alive.

        Also when there is news all the time that is nothing to this client, as heartbeats are to one that reads a log.
        """
        gone = self._request.gone()
        while True:
            silent = time.monotonic() - self._written_at
            if silent >= PING_SECONDS:
                await self._write(b": ping\n\n")
            if follower.news.is_set():
                break
            news = asyncio.ensure_future(follower.news.wait())
            try:
                await asyncio.wait((news, gone), timeout=max(PING_SECONDS - silent, 0), return_when=asyncio.FIRST_COMPLETED)
            finally:
                news.cancel()
            if gone.done():
                raise ClientGone
        follower.news.clear()

    async def end(self, *, last: bool) -> None:
        """Close the answer. last: nothing will ever follow, so the client need not come back."""
        await self._write(b"event: end\ndata: {}\n\n" if last else b"", more=False)

    async def _write(self, body: bytes, *, more: bool = True) -> None:
        if self._request.gone().done():
            raise ClientGone
        try:
            async with asyncio.timeout(STUCK_SECONDS):
                await self._send({"type": "http.response.body", "body": body, "more_body": more})
        except TimeoutError:
            raise ClientGone from None
        self._written_at = time.monotonic()
