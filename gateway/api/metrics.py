"""`GET /metrics`, for Prometheus. It tells of all tenants together, so only the tenant that runs the server sees it."""

from collections.abc import Awaitable, Callable

from fastapi import APIRouter, Response

from gateway.api.reads import least
from gateway.metrics.exposition import CONTENT_TYPE
from gateway.openapi import tells


def metrics_routes(page: Callable[[], Awaitable[bytes]]) -> APIRouter:
    """`/metrics`."""
    router = APIRouter(tags=["health"])

    @router.get("/metrics", summary="The figures of this server in Prometheus' text format", openapi_extra=least("observer"))
    @tells(None, text=CONTENT_TYPE)
    async def metrics() -> Response:
        return Response(await page(), media_type=CONTENT_TYPE)

    return router
