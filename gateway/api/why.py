"""Why: the reasons behind a run or a job, from its events and what stands around them. Shapes: domain.why.reason."""

from uuid import UUID

from fastapi import APIRouter, Response

from domain.envelope import Recorded
from domain.job.events import JobCreated
from domain.why import why_job, why_run
from domain.why.reason import JobWhy, RunWhy
from gateway.api.jobs import the_job
from gateway.api.reads import AtLeast, Id, Mine, RunName, least, respond
from gateway.api.replay import history
from gateway.api.runs import run_id
from gateway.openapi import tells
from gateway.problems import problem
from projections.surroundings import surroundings

VIEWS_AROUND = ("queue", "runners", "status", "holds")


def why_routes() -> APIRouter:
    """`/api/v1/runs/{id}/why` and `/api/v1/jobs/{id}/why`."""
    router = APIRouter(prefix="/api/v1", tags=["why"])

    @router.get(
        "/runs/{id}/why",
        summary="Why a run stands or ended so: root causes, each job's reasons, where the time went",
        openapi_extra=least("viewer"),
    )
    @tells(RunWhy, problems=(409,))
    async def run_why(reads: Mine, run: RunName, at_least: AtLeast = None) -> Response:
        await reads.reached(at_least, *VIEWS_AROUND)
        identity = await run_id(reads, run)
        async with reads.connections() as connection:
            around = await surroundings(connection, reads.log, reads.tenant, identity)
        found = why_run(await history(reads, identity), around)
        if found is None:
            raise problem(404, "run_not_found", f"there is no run {identity}", hint="GET /api/v1/runs lists them")
        return respond(found)

    @router.get(
        "/jobs/{id}/why",
        summary="Why a job stands or ended so, why it was tried again, where its time went",
        openapi_extra=least("viewer"),
    )
    @tells(JobWhy)
    async def job_why(reads: Mine, job: Id, at_least: AtLeast = None) -> Response:
        await reads.reached(at_least, *VIEWS_AROUND, about=job)
        async with reads.connections() as connection:
            run = _run_of(await reads.log.load(job)) or (await the_job(connection, reads.tenant, job)).run_id
            around = await surroundings(connection, reads.log, reads.tenant, run)
        found = why_job(await history(reads, run), job, around)
        if found is None:
            raise problem(404, "job_not_found", f"there is no job {job}", hint="GET /api/v1/runs/{id}/jobs lists a run's jobs")
        return respond(found)

    return router


def _run_of(events: tuple[Recorded, ...]) -> UUID | None:
    """The run of a job that exists; a node that is still pending has no stream."""
    return events[0].data.run if events and isinstance(events[0].data, JobCreated) else None
