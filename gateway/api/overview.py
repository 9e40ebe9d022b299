"""Read routes of everything around runs: repositories, workflows, queue, runners, audit, and the views themselves."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, LiteralString
from uuid import UUID

import msgspec
from fastapi import APIRouter, Query, Request, Response

from gateway.api import deeds
from gateway.api.deeds import DeedShape
from gateway.api.reads import (
    PER_PAGE,
    AtLeast,
    Cursor,
    Id,
    Listing,
    Mine,
    PerPage,
    Reads,
    bad_cursor,
    least,
    listing,
    page,
    read_cursor,
    respond,
)
from gateway.api.replay import Point, queue_at
from gateway.openapi import tells
from gateway.problems import problem
from projections import fleet, parking, positions
from projections.audit import AUDIT_TABLE
from projections.catalogue import VIEWS
from projections.fleet import Runner
from projections.holds import Hold, holds
from projections.rebuild import rebuild
from projections.repositories import REPOSITORY_TABLE, WORKFLOW_TABLE, RepositoryRow, WorkflowRow
from projections.retry import retry
from projections.select import Order, select
from projections.state import QueueState
from projections.table import Row, Table, View

BY_NAME = Order(("full_name", "id"))
BY_PATH = Order(("path", "id"))
NEWEST_FIRST = Order(("position",), descending=True)

Condition = tuple[LiteralString, Any]


class Queue(Listing[fleet.Waiting], frozen=True, kw_only=True):
    """What waits. depth: how many jobs; held: what concurrency groups and limits keep out of the queue."""

    depth: int
    held: tuple[Hold, ...]


class ProjectionShape(msgspec.Struct, frozen=True):
    """A view. lag: positions between it and the head of the log; parked: streams that wait in it."""

    name: str
    position: int
    lag: int
    rebuilds: int
    parked: tuple[parking.ParkedStream, ...]
    tables: tuple[str, ...]


class Projections(Listing[ProjectionShape], frozen=True, kw_only=True):
    """All views. head: the position of the log's last event."""

    head: int


class Rebuilt(msgspec.Struct, frozen=True):
    """A view was built anew, up to this position."""

    name: str
    position: int


class Retried(msgspec.Struct, frozen=True):
    """What could be folded now, and what is still parked."""

    name: str
    streams: int
    events: int
    parked: tuple[parking.ParkedStream, ...]


async def selected(
    reads: Reads, table: Table, conditions: Sequence[Condition], order: Order, *, per_page: int = 1, cursor: str | None = None
) -> list[Row]:
    """One page of rows and one more; 422 for a cursor of another list."""
    given = [each for each in conditions if each[1] is not None]
    async with reads.connections() as connection:
        try:
            return await select(connection, table, given, order, per_page + 1, after=read_cursor(cursor))
        except ValueError as error:
            raise bad_cursor(cursor) from error


def overview_routes() -> APIRouter:
    """`/api/v1/repositories`, `/workflows`, `/queue`, `/runners`."""
    router = APIRouter(prefix="/api/v1", tags=["overview"])

    @router.get("/repositories", summary="List repositories by name", openapi_extra=least("viewer"))
    @tells(Listing[RepositoryRow], returns=("Link",))
    async def repositories(
        request: Request, reads: Mine, *, at_least: AtLeast = None, per_page: PerPage = PER_PAGE, cursor: Cursor = None
    ) -> Response:
        await reads.reached(at_least, "repositories")
        found = await selected(reads, REPOSITORY_TABLE, [("tenant = %s", reads.tenant)], BY_NAME, per_page=per_page, cursor=cursor)
        return page(request, found, per_page, shape=same, cursor=BY_NAME.after)

    @router.get("/repositories/{id}", summary="One repository", openapi_extra=least("viewer"))
    @tells(RepositoryRow, returns=("ETag",))
    async def repository(reads: Mine, repository: Id, at_least: AtLeast = None) -> Response:
        await reads.reached(at_least, "repositories")
        conditions: list[Condition] = [("tenant = %s", reads.tenant), ("id = %s", repository)]
        row = only(await selected(reads, REPOSITORY_TABLE, conditions, BY_NAME), "repository", repository)
        return respond(row, headers={"ETag": f'"{row.version}"'})

    @router.get("/workflows", summary="List workflow files by path", openapi_extra=least("viewer"))
    @tells(Listing[WorkflowRow], returns=("Link",))
    async def workflows(
        request: Request,
        reads: Mine,
        *,
        repository: UUID | None = None,
        at_least: AtLeast = None,
        per_page: PerPage = PER_PAGE,
        cursor: Cursor = None,
    ) -> Response:
        await reads.reached(at_least, "repositories")
        conditions: list[Condition] = [("tenant = %s", reads.tenant), ("repository_id = %s", repository)]
        found = await selected(reads, WORKFLOW_TABLE, conditions, BY_PATH, per_page=per_page, cursor=cursor)
        return page(request, found, per_page, shape=same, cursor=BY_PATH.after)

    @router.get("/workflows/{id:uuid}", summary="One workflow file", openapi_extra=least("viewer"))
    @tells(WorkflowRow, returns=("ETag",))
    async def workflow(reads: Mine, workflow: Id, at_least: AtLeast = None) -> Response:
        await reads.reached(at_least, "repositories")
        conditions: list[Condition] = [("tenant = %s", reads.tenant), ("id = %s", workflow)]
        row = only(await selected(reads, WORKFLOW_TABLE, conditions, BY_PATH), "workflow", workflow)
        return respond(row, headers={"ETag": f'"{row.version}"'})

    @router.get(
        "/queue", summary="What waits for a runner, in the order of the turns, why, and for how long", openapi_extra=least("viewer")
    )
    @tells((Queue, QueueState))
    async def queue(
        request: Request,
        reads: Mine,
        at_least: AtLeast = None,
        at: Point = None,
    ) -> Response:
        if at is not None:
            return respond(await queue_at(reads, at))
        await reads.reached(at_least, "queue", "runners", "status", "holds", "repositories")
        async with reads.connections() as connection:
            lines = await fleet.waiting(connection, reads.tenant)
            held = await holds(connection, reads.tenant)
        return listing(request, lines, depth=sum(line.depth for line in lines), held=held)

    @router.get("/runners", summary="List runners and what they work on", openapi_extra=least("viewer"))
    @tells(Listing[Runner])
    async def runners(request: Request, reads: Mine, at_least: AtLeast = None) -> Response:
        await reads.reached(at_least, "runners", "status")
        async with reads.connections() as connection:
            return listing(request, await fleet.runners(connection, reads.tenant))

    @router.get("/runners/{id:uuid}", summary="One runner and what it works on", openapi_extra=least("viewer"))
    @tells(Runner, returns=("ETag",))
    async def runner(reads: Mine, runner: Id, at_least: AtLeast = None) -> Response:
        await reads.reached(at_least, "runners", "status")
        async with reads.connections() as connection:
            shown, version = only(await fleet.runner(connection, reads.tenant, runner), "runner", runner)
        return respond(shown, headers={"ETag": f'"{version}"'})

    return router


def record_routes() -> APIRouter:
    """`/api/v1/audit` and `/api/v1/projections`."""
    router = APIRouter(prefix="/api/v1", tags=["records"])

    @router.get(
        "/audit", summary="Who did what, to what, when, by which command; refusals too; newest first", openapi_extra=least("viewer")
    )
    @tells(Listing[DeedShape], returns=("Link",))
    async def audit(
        request: Request,
        reads: Mine,
        *,
        actor: str | None = None,
        type: Annotated[str | None, Query(description="The name of an event.")] = None,  # noqa: A002 - the parameter's name in the API
        target: str | None = None,
        since: datetime | None = None,
        people: Annotated[bool, Query(description="Only what people asked for, and whatever was refused to anybody.")] = False,
        at_least: AtLeast = None,
        per_page: PerPage = PER_PAGE,
        cursor: Cursor = None,
    ) -> Response:
        await reads.reached(at_least, "audit", "status")
        conditions: list[Condition] = [
            ("tenant = %s", reads.tenant),
            ("actor = %s", actor),
            ("type = %s", type),
            ("target = %s", target),
            ("at >= %s", since),
            ("(actor NOT LIKE %s OR outcome <> 'done')", "runner:%" if people else None),
            ("type <> %s", "RunNumbered" if people else None),  # RunTriggered of the same commit says more
        ]
        found = await selected(reads, AUDIT_TABLE, conditions, NEWEST_FIRST, per_page=per_page, cursor=cursor)
        async with reads.connections() as connection:
            names = await deeds.names(connection, reads.tenant, found)
        return page(request, found, per_page, shape=lambda row: deeds.deed(row, names), cursor=NEWEST_FIRST.after)

    @router.get("/projections", summary="The views, how far they are, and how far behind the log", openapi_extra=least("operator"))
    @tells(Projections)
    async def projections(request: Request, reads: Mine) -> Response:
        async with reads.connections() as connection:
            places = await positions.places(connection)
            parked = await parking.parked_streams(connection)
        head = await reads.log.head()
        shown = [
            ProjectionShape(
                name=place.view,
                position=place.position,
                lag=max(0, head - place.position),
                rebuilds=place.generation - 1,
                parked=tuple(each for each in parked if each.view == place.view),
                tables=tuple(f"views.{table.name}" for table in VIEWS[place.view].tables) if place.view in VIEWS else (),
            )
            for place in sorted(places, key=lambda place: place.view)
        ]
        return listing(request, shown, head=head)

    @router.post(
        "/projections/{name}/rebuild",
        summary="Build a view anew from position 0, then put it in its place",
        openapi_extra=least("operator"),
    )
    @tells(Rebuilt)
    async def rebuild_view(reads: Mine, name: str) -> Response:
        view = the_view(name)
        async with reads.connections() as connection:
            position = await rebuild(connection, reads.reading.feed, view)
        return respond(Rebuilt(name, position))

    @router.post(
        "/projections/{name}/retry", summary="Fold the streams that are parked in a view again, in order", openapi_extra=least("operator")
    )
    @tells(Retried)
    async def retry_view(reads: Mine, name: str) -> Response:
        view = the_view(name)
        async with reads.connections() as connection:
            done = await retry(connection, reads.reading.store, view)
            left = [each for each in await parking.parked_streams(connection) if each.view == name]
        return respond(Retried(name, done.streams, done.events, tuple(left)))

    return router


def the_view(name: str) -> View:
    """The view; 404 when there is none."""
    if name not in VIEWS:
        raise problem(404, "projection_not_found", f'there is no view "{name}"', hint=f"the views are {', '.join(VIEWS)}")
    return VIEWS[name]


def same(row: Any) -> Any:
    """Rows of small views are what the API shows."""
    return row


def only(found: list[Any], kind: str, identity: UUID) -> Any:
    """The one row; 404 when there is none."""
    if not found:
        raise problem(
            404, f"{kind}_not_found", f"there is no {kind} {identity}", hint=f"GET /api/v1/{kind}s lists them".replace("ys ", "ies ")
        )
    return found[0]
