"""Read routes of the event log itself: immutable events, a page at a time or as lines."""

from collections.abc import AsyncIterator, Sequence

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse

from domain.envelope import Recorded
from gateway.api.reads import (
    PER_PAGE,
    POSITION_MAX,
    After,
    Cursor,
    Listing,
    Mine,
    PerPage,
    bad_cursor,
    least,
    listing,
    page,
    page_cursor,
    read_cursor,
    wants_lines,
)
from gateway.api.shapes import EventShape, event_json, event_shape
from gateway.openapi import tells
from gateway.tenant_log import TenantLog

NDJSON = "application/x-ndjson"
READ_EVENTS = 1000


def position_of(cursor: str | None) -> int:
    """The position in a cursor, 0 without one."""
    values = read_cursor(cursor)
    if values is None:
        return 0
    if len(values) != 1 or not isinstance(values[0], int) or not 0 <= values[0] <= POSITION_MAX:
        raise bad_cursor(cursor)
    return values[0]


def event_page(request: Request, events: Sequence[Recorded], after: int, per_page: int) -> Response:
    """The events after a position: all of them as lines, or a page of them."""
    rest = [event for event in events if event.position > after]
    if wants_lines(request):
        return Response(b"".join(event_json(event) + b"\n" for event in rest), media_type=NDJSON)
    return page(request, rest, per_page, shape=event_shape, cursor=lambda event: [event.position])


class EventPage(Listing[EventShape], frozen=True, kw_only=True):
    """A page of the log. head: the position of its last event."""

    head: int


def event_routes() -> APIRouter:
    """`/api/v1/events`."""
    router = APIRouter(prefix="/api/v1/events", tags=["events"])

    @router.get("", summary="The event log; NDJSON by Accept: everything up to now", openapi_extra=least("viewer"))
    @tells(EventPage, lines=True, returns=("Link",))
    async def events(
        request: Request,
        reads: Mine,
        *,
        after: After = 0,
        per_page: PerPage = PER_PAGE,
        cursor: Cursor = None,
    ) -> Response:
        head = await reads.log.head()
        after = max(after, position_of(cursor))
        if wants_lines(request):
            return StreamingResponse(_lines(reads.log, after, head), media_type=NDJSON)
        found = await reads.log.page(after, per_page)
        return listing(request, map(event_shape, found.events), page_cursor([found.through]) if found.more else None, head=head)

    return router


async def _lines(log: TenantLog, after: int, head: int) -> AsyncIterator[bytes]:
    more = True
    while more and after < head:
        found = await log.page(after, READ_EVENTS)
        yield b"".join(event_json(event) + b"\n" for event in found.events if event.position <= head)
        after, more = found.through, found.more
