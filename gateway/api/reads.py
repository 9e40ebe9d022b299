"""What the read routes share: where they read, how they wait for a position, how lists are cut into pages, how they answer.

Bodies are encoded by msgspec from Structs; FastAPI only finds the route and reads the query. A read must never write.
"""

import base64
import binascii
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Annotated, Any, Generic, TypeVar
from urllib.parse import urlencode
from uuid import UUID

import msgspec
from fastapi import Depends, Path, Query, Request, Response

from domain.access import Least, may
from domain.ports import Blobs, EventStore, Feed
from domain.transparency.entry import Row
from gateway.auth import Identity
from gateway.ports import Bundles, Signing
from gateway.problems import problem
from gateway.tenant_log import TenantLog
from projections import parking, positions
from projections.positions import Connections

WAIT_SECONDS = 2.0
PARKED_RETRY_SECONDS = 60
PER_PAGE = 30
PER_PAGE_MAX = 100

T = TypeVar("T")


class Listing(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """A page of a list. next_cursor: null on the last one."""

    items: tuple[T, ...]
    next_cursor: str | None


_json = msgspec.json.Encoder()

Rows = Callable[[int, int], Awaitable[tuple[int, Sequence[Row]]]]
"""(after, limit) -> the position before, and the stored rows with position > after, in order."""

POSITION_MAX = 2**63 - 1
INTEGER_MAX = 2**31 - 1

RunName = Annotated[str, Path(alias="id", description="An id, a unique prefix of one, latest, N, or WORKFLOW#N.")]
Id = Annotated[UUID, Path(alias="id")]
After = Annotated[int, Query(ge=0, le=POSITION_MAX, description="Only events after this position.")]
AtLeast = Annotated[
    int | None,
    Query(ge=0, le=POSITION_MAX, description="Wait for this event position (X-Event-Position of a command), at most 2 s."),
]
PerPage = Annotated[int, Query(ge=1, le=PER_PAGE_MAX, description="Items of a page.")]
Cursor = Annotated[str | None, Query(description="next_cursor of the page before.")]


LEAST = "x-least-role"
"""Where the OpenAPI document names the least role of a route."""


def least(role: Least) -> dict[str, Any]:
    """`openapi_extra` of a route that needs this role."""
    return {LEAST: role}


class Reading:
    """Where the read routes read, for all tenants. rows: the log as it is stored; blobs: what events name by digest.

    public_url: of this server, for links.

    A route asks for `Mine`, which is limited to its caller's tenant, and never for this.
    """

    def __init__(
        self,
        connections: Connections,
        store: EventStore,
        feed: Feed,
        *,
        rows: Rows,
        blobs: Blobs,
        public_url: str,
        signing: Signing,
        bundles: Bundles,
    ) -> None:
        self.connections = connections
        self.store = store
        self.rows = rows
        self.feed = feed
        self.blobs = blobs
        self.public_url = public_url.rstrip("/")
        self.signing = signing
        self.bundles = bundles


class Reads:
    """Where one caller's request reads. tenant: the caller's, an argument of every query. log: the tenant's events.

    operator: whether the caller may see what all tenants share. reading: what is not limited, for operators.
    """

    def __init__(self, reading: Reading, identity: Identity) -> None:
        tenant = identity.tenant
        self.operator = may(identity.role, tenant, "operator")
        self.reading = reading
        self.connections = reading.connections
        self.log = TenantLog(reading.store, tenant)
        self.tenant = tenant
        self.public_url = reading.public_url

    async def reached(self, at_least: int | None, *views: str, about: UUID | None = None) -> None:
        """Wait until these views show the event at this position; 503 when they do not within two seconds.

        about: the run or job that is read. Where it waits in one of the views, or the stream of the event at `at_least`
        does, the view shows less than was asked for, however long one waits: 503 too, and it says so.
        """
        if not at_least:
            return
        for view in views:
            if not await positions.wait(self.connections, view, at_least, WAIT_SECONDS):
                raise problem(
                    503,
                    "view_behind",
                    f"the view {view} has not reached position {at_least} within {WAIT_SECONDS:g} s",
                    hint="ask again; ledgermill projection lag shows how far the views are",
                    retry_after_seconds=1,
                )
        async with self.connections() as connection:
            if not await parking.any_parked(connection, views, at_least):
                return
            streams = [event.stream for event in await self.log.at(at_least)]
            waiting = await parking.concerned(connection, views, at_least, [*streams, about] if about else streams, about)
        if waiting is not None and await self.log.load(waiting.stream):
            raise problem(
                503,
                "stream_parked",
                f"the view {waiting.view} does not go beyond position {waiting.position} of stream {waiting.stream}:"
                f" {waiting.type} there could not be folded ({waiting.error})",
                hint=f"ledgermill projection list shows it; with code that can, ledgermill projection retry {waiting.view}",
                retry_after_seconds=PARKED_RETRY_SECONDS,
            )


async def mine(request: Request) -> Reads:
    """What the caller may read."""
    return Reads(request.app.state.reading, request.state.identity)


Mine = Annotated[Reads, Depends(mine)]


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
        following = page_cursor(cursor(shown[-1]))
    return listing(request, map(shape, shown), following, **more)


def page_cursor(values: Sequence[Any]) -> str:
    """The cursor that holds these values."""
    return base64.urlsafe_b64encode(_json.encode(list(values))).decode().rstrip("=")


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
