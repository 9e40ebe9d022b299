"""What is not hot: the read routes of the API, health, and the OpenAPI document over both kinds of routes."""

from collections.abc import Awaitable, Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import msgspec
from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute

from gateway import problems
from gateway.api.reads import LEAST, Reading
from gateway.auth import authorise
from gateway.http import Route
from gateway.openapi import document, tells

TITLE = "Ledgermill"
PUBLIC = frozenset({"/healthz", "/readyz", "/openapi.json", "/docs", "/docs/oauth2-redirect"})
"""Paths that need no token."""


class Alive(msgspec.Struct, frozen=True):
    """What `/healthz` tells."""

    status: str


class Health(msgspec.Struct, frozen=True):
    """What `/readyz` tells. parts: "ok" or what is wrong, by name; ready: whether requests can be served.

    lag: how many positions each view is behind the log. parked_streams: how many streams wait in a view because an event of
    theirs could not be folded; see `projection list`.
    """

    ready: bool
    parts: dict[str, str]
    parked_streams: int = 0
    lag: dict[str, int] = {}


def rest(routers: Sequence[APIRouter], hot: Sequence[Route], reading: Reading, health: Callable[[], Awaitable[Health]]) -> FastAPI:
    """The FastAPI application behind the table. Raises TypeError where a route does not name the role that it needs."""
    app = FastAPI(title=TITLE, version=release(), redoc_url=None, swagger_ui_oauth2_redirect_url=None)
    app.state.reading = reading
    guarded = [Depends(authorised)]
    for router in routers:
        for route in router.routes:
            if not isinstance(route, APIRoute) or LEAST not in (route.openapi_extra or {}):
                raise TypeError(f"{route} does not name the least role that it needs: openapi_extra=least(...)")
        app.include_router(router, dependencies=guarded)

    @app.get("/healthz", summary="Whether this process is alive", tags=["health"])
    @tells(Alive)
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/readyz", summary="Whether this process can serve", tags=["health"])
    @tells(Health, more_answers=(503,))
    async def readyz() -> JSONResponse:
        found = await health()
        return JSONResponse(msgspec.to_builtins(found), 200 if found.ready else 503, None if found.ready else {"Retry-After": "1"})

    # FastAPI keeps an included router as one entry, so the routes are taken from the routers themselves.
    routes = [route for holder in (app.router, *routers) for route in holder.routes if isinstance(route, APIRoute)]
    problems.install(app, routes)
    standard = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = document(routes, standard(), hot, PUBLIC)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend the document
    return app


async def authorised(request: Request) -> None:
    """Each route of FastAPI's names its least role; this is where it is asked for."""
    authorise(request.state.identity, request.scope["route"].openapi_extra[LEAST])


def release() -> str:
    """The version that is installed."""
    try:
        return version("ledgermill")
    except PackageNotFoundError:
        return "0"
