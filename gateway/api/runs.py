"""Read routes of runs: list, one run, its jobs, its events. A run may be named as in the CLI: id, prefix, `latest`, N, NAME#N."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path, Query, Request, Response

from domain.run.events import RunTriggered
from gateway.api.events import event_page, position_of
from gateway.api.jobs import held_jobs
from gateway.api.reads import (
    INTEGER_MAX,
    PER_PAGE,
    After,
    AtLeast,
    Cursor,
    Listing,
    Mine,
    PerPage,
    Reads,
    RunName,
    bad_cursor,
    least,
    listing,
    page,
    read_cursor,
    respond,
)
from gateway.api.shapes import EventShape, JobShape, RunAttemptShape, RunShape, grouped, job_shape, run_attempt_shape, run_shape
from gateway.openapi import tells
from gateway.problems import problem
from projections.holds import holds
from projections.rows import Connection
from projections.run_history import run_history
from projections.status import RunAttemptRow, RunRow
from projections.status.reads import (
    AS_PLANNED,
    NEWEST_FIRST,
    RunFilter,
    attempts_of,
    find_runs,
    jobs_of,
    list_runs,
    run_attempt_row,
    run_attempts_of,
)

PER_PAGE_JOBS = 100


async def the_run(connection: Connection, tenant: str, name: str) -> RunRow:
    """The run that `name` means; 404 when there is none, 409 with the candidates when there are several."""
    found = await find_runs(connection, tenant, name)
    if not found:
        raise problem(404, "run_not_found", f'no run is called "{name}"', hint="GET /api/v1/runs lists them")
    if len(found) > 1:
        candidates = tuple({"pointer": str(run.id), "message": f"{run.workflow_path}#{run.number} {run.status}"} for run in found[:10])
        raise problem(
            409,
            "run_ambiguous",
            f'"{name}" may mean any of {len(found)} runs',
            hint="write WORKFLOW#N or more of the id",
            errors=candidates,
        )
    return found[0]


async def the_run_attempt(connection: Connection, run: RunRow, number: int) -> RunAttemptRow:
    """The run attempt with this number; 404 when there is none."""
    for attempt in await run_attempts_of(connection, run.id):
        if attempt.run_attempt == number:
            return attempt
    raise problem(
        404,
        "run_attempt_not_found",
        f"run {run.id} has no run attempt {number}; the last one is {run.run_attempt}",
        hint="GET /api/v1/runs/{id}/attempts lists them",
    )


RunAttemptNumber = Annotated[int, Path(alias="run_attempt", ge=1, le=INTEGER_MAX)]


def run_routes() -> APIRouter:
    """The routes below /api/v1/runs."""
    router = APIRouter(prefix="/api/v1/runs", tags=["runs"])

    @router.get("", summary="List runs, newest first", openapi_extra=least("viewer"))
    @tells(Listing[RunShape], returns=("Link",))
    async def list_(
        request: Request,
        reads: Mine,
        *,
        status: Annotated[str | None, Query(description="A status or a conclusion.")] = None,
        branch: str | None = None,
        event: str | None = None,
        actor: str | None = None,
        workflow: Annotated[str | None, Query(description="A workflow's name or path.")] = None,
        since: datetime | None = None,
        at_least: AtLeast = None,
        per_page: PerPage = PER_PAGE,
        cursor: Cursor = None,
    ) -> Response:
        await reads.reached(at_least, "status", "holds")
        wanted = RunFilter(reads.tenant, status, branch, event, actor, workflow, since)
        async with reads.connections() as connection:
            try:
                found = await list_runs(connection, wanted, per_page + 1, read_cursor(cursor))
            except ValueError as error:
                raise bad_cursor(cursor) from error
            reasons = await held(connection, reads, found)
        return page(
            request, found, per_page, shape=lambda run: run_shape(run, reads.public_url, reasons.get(run.id, "")), cursor=NEWEST_FIRST.after
        )

    @router.get("/{id}", summary="One run", openapi_extra=least("viewer"))
    @tells(RunShape, problems=(409,))
    async def one(reads: Mine, run: RunName, at_least: AtLeast = None) -> Response:
        await reads.reached(at_least, "status", "holds")
        async with reads.connections() as connection:
            row = await the_run(connection, reads.tenant, run)
            reasons = await held(connection, reads, [row])
        await reads.reached(at_least, "status", "holds", about=row.id)
        return respond(run_shape(row, reads.public_url, reasons.get(row.id, "")))

    @router.get("/{id}/jobs", summary="The jobs of a run with the steps of their last attempt", openapi_extra=least("viewer"))
    @tells(Listing[JobShape], problems=(409,), returns=("Link",))
    async def jobs(
        request: Request,
        reads: Mine,
        run: RunName,
        *,
        run_attempt: Annotated[int | None, Query(ge=1, le=INTEGER_MAX, description="1 + re-runs; the last one by default.")] = None,
        at_least: AtLeast = None,
        per_page: PerPage = PER_PAGE_JOBS,
        cursor: Cursor = None,
    ) -> Response:
        await reads.reached(at_least, "status", "holds")
        async with reads.connections() as connection:
            row = await the_run(connection, reads.tenant, run)
            if run_attempt is not None:
                await the_run_attempt(connection, row, run_attempt)
            try:
                found = await jobs_of(connection, row.id, run_attempt or row.run_attempt, per_page + 1, read_cursor(cursor))
            except ValueError as error:
                raise bad_cursor(cursor) from error
            attempts, steps = await attempts_of(connection, [job.id for job in found])
            reasons = await held_jobs(connection, reads, row.id, found)
        await reads.reached(at_least, "status", "holds", about=row.id)
        by_job = grouped(attempts, steps)
        return page(
            request, found, per_page, shape=lambda job: job_shape(job, *by_job[job.id], reasons.get(job.id, "")), cursor=AS_PLANNED.after
        )

    @router.get("/{id}/attempts", summary="The run attempts of a run: the first one and each re-run", openapi_extra=least("viewer"))
    @tells(Listing[RunAttemptShape], problems=(409,))
    async def run_attempts(request: Request, reads: Mine, run: RunName, at_least: AtLeast = None) -> Response:
        await reads.reached(at_least, "status")
        async with reads.connections() as connection:
            row = await the_run(connection, reads.tenant, run)
            found = await run_attempts_of(connection, row.id)
            rows = [await run_attempt_row(connection, row, attempt) for attempt in found]
        return listing(request, (run_attempt_shape(was, each, reads.public_url) for was, each in zip(rows, found, strict=True)))

    @router.get(
        "/{id}/attempts/{run_attempt}",
        summary="A run as it stands, or stood at its end, in one run attempt",
        openapi_extra=least("viewer"),
    )
    @tells(RunAttemptShape, problems=(409,))
    async def run_attempt(reads: Mine, run: RunName, run_attempt: RunAttemptNumber, at_least: AtLeast = None) -> Response:
        await reads.reached(at_least, "status")
        async with reads.connections() as connection:
            row = await the_run(connection, reads.tenant, run)
            attempt = await the_run_attempt(connection, row, run_attempt)
            return respond(run_attempt_shape(await run_attempt_row(connection, row, attempt), attempt, reads.public_url))

    @router.get("/{id}/events", summary="The events of a run and its jobs, in order; NDJSON by Accept", openapi_extra=least("viewer"))
    @tells(Listing[EventShape], lines=True, problems=(409,), returns=("Link",))
    async def events(
        request: Request,
        reads: Mine,
        run: RunName,
        *,
        after: After = 0,
        per_page: PerPage = PER_PAGE,
        cursor: Cursor = None,
    ) -> Response:
        identity = await run_id(reads, run)
        found = await run_history(reads.log, identity, await reads.log.head())
        return event_page(request, found, max(after, position_of(cursor)), per_page)

    return router


async def held(connection: Connection, reads: Reads, rows: Sequence[RunRow]) -> dict[UUID, str]:
    """What runs wait for that are ready and not let in yet."""
    ids = [row.id for row in rows if row.status == "pending"]
    return {hold.id: hold.reason for hold in await holds(connection, reads.tenant, ids)} if ids else {}


async def run_id(reads: Reads, name: str) -> UUID:
    """The id behind a name; an id needs no view, so it is found as soon as the run is in the log."""
    try:
        identity = UUID(name)
    except ValueError:
        async with reads.connections() as connection:
            return (await the_run(connection, reads.tenant, name)).id
    if not await reads.log.load_only(identity, (RunTriggered,)):
        raise problem(404, "run_not_found", f"there is no run {identity}", hint="GET /api/v1/runs lists them")
    return identity
