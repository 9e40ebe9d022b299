"""The log of an attempt as a document: text, or NDJSON records where the client accepts them; whole, or a part of it.

A part is named by lines (`from_line`, `to_line`), by what its lines hold (`grep`), or by bytes (`Range`). Only the segments
that hold lines of the part are read; how long each is as text stands in its event. While an attempt lives its document
grows at the end and changes nowhere else, so a client that has the first n bytes goes on with `Range: bytes=n-`.
"""

from collections.abc import AsyncIterator, Callable
from uuid import UUID

from domain.log_records import Extent, as_text, texts
from domain.ports import EventStore
from gateway.attempts import attempts_of
from gateway.byte_range import ByteRange, asked
from gateway.http import Parameter, Request, Route, Send
from gateway.ports import Logs
from gateway.problems import ProblemError, problem
from gateway.tenant_log import TenantLog

RECORDS, TEXT = b"application/x-ndjson", b"text/plain; charset=utf-8"
PARAMETERS = (
    Parameter(name="attempt", about="Of this attempt; by default the last."),
    Parameter(name="from_line", about="From this line on; lines count from 1."),
    Parameter(name="to_line", about="Up to this line."),
    Parameter(name="grep", about="Only lines that hold this text.", kind="string", example="error"),
    Parameter(
        name="Range",
        about="One range of bytes of the whole document; it cannot be joined with lines or grep.",
        kind="string",
        place="header",
        example="bytes=0-99",
    ),
)
ANSWERS = {
    206: "The bytes that Range asks for; Content-Range says which",
}


class LogDocuments:
    """Serves them."""

    def __init__(self, store: EventStore, logs: Logs) -> None:
        self._store = store
        self._logs = logs

    def routes(self) -> list[Route]:
        """The route."""
        return [
            Route(
                method="GET",
                path="/api/v1/jobs/{id}/logs",
                least="viewer",
                summary="The log of an attempt",
                stream=self.document,
                sends=(TEXT.decode(), RECORDS.decode()),
                parameters=PARAMETERS,
                more_answers=ANSWERS,
                problems=(416,),
            )
        ]

    async def document(self, request: Request, send: Send) -> None:
        """All of it, the lines that the query names, or the bytes that Range names."""
        job = request.params[0]
        attempt = request.number("attempt", (await attempts_of(TenantLog(self._store, request.identity.tenant), job)).last)
        records = b"json" in request.headers.get(b"accept", b"")
        wanted = asked(request.headers)
        if wanted is not None and not request.query.keys() & {"from_line", "to_line", "grep"}:
            await self._bytes(send, job, attempt, wanted, records=records)
            return
        first, last = request.number("from_line", 1), request.number("to_line", 0)
        await _start(send, 200, (b"accept-ranges", b"bytes"), records=records)
        encode = _encoder(records=records)
        async for found in self._matching(job, attempt, max(first, 1), last or None, request.query.get("grep", "")):
            await send({"type": "http.response.body", "body": encode(found), "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _matching(self, job: UUID, attempt: int, first: int, last: int | None, text: str) -> AsyncIterator[list[bytes]]:
        async for _, records in self._logs.read(job, attempt, first, last):
            found = [record for record, said in zip(records, texts(records), strict=True) if text in said] if text else records
            if found:
                yield found

    async def _bytes(self, send: Send, job: UUID, attempt: int, wanted: ByteRange, *, records: bool) -> None:
        extents = await self._logs.extents(job, attempt)
        sizes = [extent.bytes if records else extent.text_bytes for extent in extents]
        whole = sum(sizes)
        within = wanted.within(whole)
        if within is None:
            shown = problem(416, "no_such_bytes", f"the log has {whole} bytes", hint="a log that grows has more later").problem
            raise ProblemError(shown, (("Content-Range", f"bytes */{whole}"),))
        first, last = within
        touched: list[Extent] = []
        start = skip = 0
        for extent, size in zip(extents, sizes, strict=True):
            if start + size > first and start <= last:
                skip = skip if touched else first - start
                touched.append(extent)
            start += size
        left = last - first + 1
        content_range = b"bytes %d-%d/%d" % (first, last, whole)
        await _start(send, 206, (b"content-range", content_range), (b"content-length", b"%d" % left), records=records)
        encode = _encoder(records=records)
        async for _, found in self._logs.read(job, attempt, touched[0].first_line, touched[-1].first_line + touched[-1].lines - 1):
            body = encode(found)
            part = body[skip : skip + left]
            skip, left = max(0, skip - len(body)), left - len(part)
            await send({"type": "http.response.body", "body": part, "more_body": True})
        if left:
            raise RuntimeError(f"{left} bytes of the log of {job} are gone: its attempt ended before they were stored")
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def _encoder(*, records: bool) -> Callable[[list[bytes]], bytes]:
    return (lambda found: b"\n".join([*found, b""])) if records else as_text


async def _start(send: Send, status: int, *headers: tuple[bytes, bytes], records: bool) -> None:
    kind = RECORDS if records else TEXT
    sent = [(b"content-type", kind), (b"cache-control", b"no-store"), (b"vary", b"accept"), *headers]
    await send({"type": "http.response.start", "status": status, "headers": sent})
