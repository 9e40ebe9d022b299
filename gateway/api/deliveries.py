"""Read routes of webhook deliveries: what came, what it started, and which filter kept the rest away."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response

from gateway.api.overview import NEWEST_FIRST, Condition, only, same, selected
from gateway.api.reads import PER_PAGE, AtLeast, Cursor, Id, Listing, Mine, PerPage, least, page, respond
from gateway.openapi import tells
from projections.deliveries import DELIVERY_TABLE, DeliveryRow


def delivery_routes() -> APIRouter:
    """`/api/v1/deliveries`."""
    router = APIRouter(prefix="/api/v1", tags=["webhooks"])

    @router.get("/deliveries", summary="List webhook deliveries, the newest first", openapi_extra=least("viewer"))
    @tells(Listing[DeliveryRow], returns=("Link",))
    async def deliveries(
        request: Request,
        reads: Mine,
        *,
        repository: UUID | None = None,
        status: Annotated[str | None, Query(description="received, deferred, ignored, answered or failed")] = None,
        key: Annotated[str | None, Query(max_length=255, description="The forge's own id of it.")] = None,
        at_least: AtLeast = None,
        per_page: PerPage = PER_PAGE,
        cursor: Cursor = None,
    ) -> Response:
        await reads.reached(at_least, "deliveries")
        conditions: list[Condition] = [
            ("tenant = %s", reads.tenant),
            ("repository_id = %s", repository),
            ("status = %s", status),
            ("key = %s", key),
        ]
        found = await selected(reads, DELIVERY_TABLE, conditions, NEWEST_FIRST, per_page=per_page, cursor=cursor)
        return page(request, found, per_page, shape=same, cursor=NEWEST_FIRST.after)

    @router.get("/deliveries/{id}", summary="One webhook delivery", openapi_extra=least("viewer"))
    @tells(DeliveryRow)
    async def delivery(reads: Mine, delivery: Id, at_least: AtLeast = None) -> Response:
        await reads.reached(at_least, "deliveries")
        conditions: list[Condition] = [("tenant = %s", reads.tenant), ("id = %s", delivery)]
        return respond(only(await selected(reads, DELIVERY_TABLE, conditions, NEWEST_FIRST), "delivery", delivery))

    return router
