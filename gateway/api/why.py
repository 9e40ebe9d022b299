"""Why: the reasons behind a run, a job or a delivery, from its events and what stands around them. Shapes: domain.why.reason."""

from typing import Protocol
from uuid import UUID

from fastapi import APIRouter, Response

from domain.envelope import Recorded
from domain.job.events import AttemptLost, HeartbeatRecorded, JobCreated, LogSegmentStored
from domain.why import why_delivery, why_job, why_run
from domain.why.reason import DeliveryWhy, JobWhy, RunWhy
from gateway.api.jobs import the_job
from gateway.api.reads import AtLeast, Id, Mine, RunName, least, respond
from gateway.api.runs import run_id
from gateway.openapi import tells
from gateway.problems import problem
from projections.run_history import Log, run_history
from projections.surroundings import surroundings

QUIET = (HeartbeatRecorded, LogSegmentStored)
VIEWS_AROUND = ("queue", "runners", "status", "holds")


def why_routes() -> APIRouter:
    """`/api/v1/runs/{id}/why`, `/api/v1/jobs/{id}/why` and `/api/v1/deliveries/{id}/why`."""
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
        found = why_run(await told_by(reads.log, identity), around)
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
            run = _run_of(await reads.log.load_only(job, (JobCreated,))) or (await the_job(connection, reads.tenant, job)).run_id
            around = await surroundings(connection, reads.log, reads.tenant, run)
        found = why_job(await told_by(reads.log, run), job, around)
        if found is None:
            raise problem(404, "job_not_found", f"there is no job {job}", hint="GET /api/v1/runs/{id}/jobs lists a run's jobs")
        return respond(found)

    @router.get(
        "/deliveries/{id}/why",
        summary="What a webhook delivery came to: which workflows it started, which filter kept each other one away",
        openapi_extra=least("viewer"),
    )
    @tells(DeliveryWhy)
    async def delivery_why(reads: Mine, delivery: Id) -> Response:
        found = why_delivery(await reads.log.load(delivery))
        if found is None:
            raise problem(404, "delivery_not_found", f"there is no delivery {delivery}", hint="GET /api/v1/deliveries lists them")
        return respond(found)

    return router


class Told(Log, Protocol):
    """The log that reasons are told from."""

    async def head(self) -> int:
        """The position of its last event."""


async def told_by(log: Told, run: UUID) -> list[Recorded]:
    """The events of a run that a reason may come of: heartbeats only of runners that were lost, and no log segments.

    A run that takes hours consists of these two.
    """
    through = await log.head()
    events = await run_history(log, run, through, QUIET)
    lost = {event.stream: None for event in events if isinstance(event.data, AttemptLost)}
    if lost:
        known = {event.position for event in events}
        events += [event for event in await log.load_streams(list(lost), through) if event.position not in known]
        events.sort(key=lambda event: event.position)
    return events


def _run_of(events: tuple[Recorded, ...]) -> UUID | None:
    """The run of a job that exists; a node that is still pending has no stream."""
    return events[0].data.run if events and isinstance(events[0].data, JobCreated) else None
