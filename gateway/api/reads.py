"""What the read routes share: where they read, how they wait for a position, how lists are cut into pages, how they answer.

Bodies are encoded by msgspec from Structs; FastAPI only finds the route and reads the query. A read must never write.
"""

import base64
import binascii
from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Any, TypeVar
from urllib.parse import urlencode

import msgspec
from fastapi import Query, Request, Response

from domain.ports import EventStore, Feed
from gateway.problems import problem
from projections import positions
from projections.positions import Connections

WAIT_SECONDS = 2.0
PER_PAGE = 30
PER_PAGE_MAX = 100

T = TypeVar("T")

_json = msgspec.json.Encoder()

AtLeast = Annotated[int | None, Query(ge=0, description="Wait for this event position (X-Event-Position of a command), at most 2 s.")]
PerPage = Annotated[int, Query(ge=1, le=PER_PAGE_MAX, description="Items of a page.")]
Cursor = Annotated[str | None, Query(description="next_cursor of the page before.")]


class Reads:
    """Where the read routes read. public_url: of this server, for links."""

    def __init__(self, connections: Connections, store: EventStore, feed: Feed, tenant: str, public_url: str) -> None:
        self.connections = connections
        self.store = store
        self.feed = feed
        self.tenant = tenant
        self.public_url = public_url.rstrip("/")

    async def reached(self, at_least: int | None, *views: str) -> None:
        """Wait until these views show the event at this position; 503 when they do not within two seconds."""
        for view in views if at_least else ():
            if not await positions.wait(self.connections, view, at_least or 0, WAIT_SECONDS):
                raise problem(
                    503,
                    "view_behind",
                    f"the view {view} has not reached position {at_least} within {WAIT_SECONDS:g} s",
                    hint="ask again; ledgermill projection lag shows how far the views are",
                    retry_after_seconds=1,
                )


def respond(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A JSON answer."""
    return Response(_json.encode(value), status, headers, media_type="application/json")


def read_cursor(cursor: str | None) -> list[Any] | None:
    """The values in a cursor; 422 for one that this server did not make."""
    if not cursor:
        return None
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(cursor.encode() + b"=="), type=list[Any])
    except (msgspec.DecodeError, binascii.Error, UnicodeEncodeError) as error:
        raise bad_cursor(cursor) from error


def bad_cursor(cursor: str | None) -> Exception:
    """422: the cursor belongs to no list, or to another one."""
    return problem(422, "bad_cursor", f"{cursor!r} is no cursor of this list", hint="send next_cursor of the page before, unchanged")


def page(
    request: Request, items: Sequence[T], size: int, *, shape: Callable[[T], Any], cursor: Callable[[T], Sequence[Any]], **more: Any
) -> Response:
    """A page of a list. items: one more than `size` where there is more; cursor: the values where the page ends."""
    shown = items[:size]
    following = None
    if len(items) > size:
        following = base64.urlsafe_b64encode(_json.encode(list(cursor(shown[-1])))).decode().rstrip("=")
    return listing(request, map(shape, shown), following, **more)


def listing(request: Request, items: Iterable[Any], following: str | None = None, **more: Any) -> Response:
    """{items, next_cursor} with the next page in Link."""
    headers = {}
    if following is not None:
        query = [(name, value) for name, value in request.query_params.multi_items() if name != "cursor"]
        headers["Link"] = f'<{request.url.path}?{urlencode([*query, ("cursor", following)])}>; rel="next"'
    return respond({"items": list(items), "next_cursor": following, **more}, headers=headers)


def wants_lines(request: Request) -> bool:
    """Whether the client asked for one JSON object a line."""
    return "ndjson" in request.headers.get("accept", "")
