"""Read routes of jobs: one job, its attempts, its events."""

from collections.abc import Sequence
from uuid import UUID

import msgspec
from fastapi import APIRouter, Request, Response

from domain.envelope import Unreadable
from domain.job.events import JobCreated
from gateway.api.events import event_page, position_of
from gateway.api.reads import PER_PAGE, After, AtLeast, Cursor, Id, Listing, Mine, PerPage, Reads, least, listing, respond
from gateway.api.shapes import AttemptShape, EventShape, JobShape, job_shape
from gateway.openapi import tells
from gateway.problems import problem
from projections.holds import holds
from projections.rows import Connection
from projections.status import AttemptRow, JobRow, StepRow
from projections.status.reads import attempts_of, find_job


async def the_job(connection: Connection, tenant: str, job: UUID) -> JobRow:
    """The job; 404 when there is none."""
    found = await find_job(connection, tenant, job)
    if found is None:
        raise problem(404, "job_not_found", f"there is no job {job}", hint="GET /api/v1/runs/{id}/jobs lists a run's jobs")
    return found


async def held_jobs(connection: Connection, reads: Reads, run: UUID, rows: Sequence[JobRow]) -> dict[UUID, str]:
    """What jobs of a run wait for; those of a call that is not let in yet, for what the call waits for."""
    waiting = [row for row in rows if row.status == "waiting"]
    found = await holds(connection, reads.tenant, [row.id for row in waiting], calls_of=run) if waiting else []
    reasons = {row.id: hold.reason for hold in found if hold.call for row in waiting if row.key.startswith(f"{hold.call}/")}
    return reasons | {hold.id: hold.reason for hold in found}


def job_routes() -> APIRouter:
    """The routes below /api/v1/jobs."""
    router = APIRouter(prefix="/api/v1/jobs", tags=["jobs"])

    @router.get("/{id}", summary="One job with the steps of its last attempt", openapi_extra=least("viewer"))
    @tells(JobShape)
    async def one(reads: Mine, job: Id, at_least: AtLeast = None) -> Response:
        await reads.reached(at_least, "status", "holds", about=job)
        async with reads.connections() as connection:
            row = await the_job(connection, reads.tenant, job)
            reasons = await held_jobs(connection, reads, row.run_id, [row])
            return respond(job_shape(row, *await attempts_of(connection, [job]), reasons.get(job, "")))

    @router.get("/{id}/attempts", summary="Every acquisition of a job, with the steps that began in it", openapi_extra=least("viewer"))
    @tells(Listing[AttemptShape])
    async def attempts(request: Request, reads: Mine, job: Id, at_least: AtLeast = None) -> Response:
        await reads.reached(at_least, "status", about=job)
        async with reads.connections() as connection:
            row = await the_job(connection, reads.tenant, job)
            found, steps = await attempts_of(connection, [job])
        return listing(request, (_attempt(row, attempt, steps) for attempt in found))

    @router.get("/{id}/events", summary="The events of a job, in order; NDJSON by Accept", openapi_extra=least("viewer"))
    @tells(Listing[EventShape], lines=True, returns=("Link",))
    async def events(
        request: Request,
        reads: Mine,
        job: Id,
        *,
        after: After = 0,
        per_page: PerPage = PER_PAGE,
        cursor: Cursor = None,
    ) -> Response:
        found = await reads.log.load(job)
        if not found or not isinstance(found[0].data, JobCreated | Unreadable):
            raise problem(404, "job_not_found", f"there is no job {job}", hint="GET /api/v1/runs/{id}/jobs lists a run's jobs")
        return event_page(request, found, max(after, position_of(cursor)), per_page)

    return router


def _attempt(job: JobRow, attempt: AttemptRow, steps: list[StepRow]) -> AttemptShape:
    was = msgspec.structs.replace(job, attempt=attempt.attempt)
    return AttemptShape(**msgspec.structs.asdict(attempt), steps=job_shape(was, [attempt], steps).steps)
