"""Read route of commit statuses: what forges were told of commits, and what they could not be told and why."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response

from gateway.api.overview import NEWEST_FIRST, Condition, same, selected
from gateway.api.reads import PER_PAGE, AtLeast, Cursor, Listing, Mine, PerPage, least, page
from gateway.openapi import tells
from projections.commit_statuses import COMMIT_STATUS_TABLE, CommitStatusRow


def commit_status_routes() -> APIRouter:
    """`/api/v1/commit-statuses`."""
    router = APIRouter(prefix="/api/v1", tags=["repositories"])

    @router.get("/commit-statuses", summary="List commit statuses, the newest first", openapi_extra=least("viewer"))
    @tells(Listing[CommitStatusRow], returns=("Link",))
    async def commit_statuses(
        request: Request,
        reads: Mine,
        *,
        repository: UUID | None = None,
        sha: str | None = None,
        progress: Annotated[str | None, Query(description="wanted, deferred, told or failed")] = None,
        at_least: AtLeast = None,
        per_page: PerPage = PER_PAGE,
        cursor: Cursor = None,
    ) -> Response:
        await reads.reached(at_least, "commit_statuses")
        conditions: list[Condition] = [
            ("tenant = %s", reads.tenant),
            ("repository_id = %s", repository),
            ("sha = %s", sha),
            ("progress = %s", progress),
        ]
        found = await selected(reads, COMMIT_STATUS_TABLE, conditions, NEWEST_FIRST, per_page=per_page, cursor=cursor)
        return page(request, found, per_page, shape=same, cursor=NEWEST_FIRST.after)

    return router
