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

TITLE = "Ledgermill"


class Health(msgspec.Struct, frozen=True):
    """What `/readyz` tells. parts: "ok" or what is wrong, by name; ready: whether requests can be served.

    parked_streams: how many streams wait in a view because an event of theirs could not be folded; see `projection list`.
    """

    ready: bool
    parts: dict[str, str]
    parked_streams: int = 0


def rest(routers: Sequence[APIRouter], hot: Sequence[Route], reading: Reading, health: Callable[[], Awaitable[Health]]) -> FastAPI:
    """The FastAPI application behind the table. Raises TypeError where a route does not name the role that it needs."""
    app = FastAPI(title=TITLE, version=release(), redoc_url=None, swagger_ui_oauth2_redirect_url=None)
    app.state.reading = reading
    guarded = [Depends(authorised)]
    problems.install(app)
    for router in routers:
        for route in router.routes:
            if not isinstance(route, APIRoute) or LEAST not in (route.openapi_extra or {}):
                raise TypeError(f"{route} does not name the least role that it needs: openapi_extra=least(...)")
        app.include_router(router, dependencies=guarded)

    @app.get("/healthz", summary="Whether this process is alive", tags=["health"])
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/readyz", summary="Whether this process can serve", tags=["health"])
    async def readyz() -> JSONResponse:
        found = await health()
        return JSONResponse(msgspec.to_builtins(found), 200 if found.ready else 503, None if found.ready else {"Retry-After": "1"})

    standard = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            add_hot(standard(), hot)
        assert app.openapi_schema is not None  # noqa: S101 - the call above has made it
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend the document
    return app


async def authorised(request: Request) -> None:
    """Each route of FastAPI's names its least role; this is where it is asked for."""
    authorise(request.state.identity, request.scope["route"].openapi_extra[LEAST])


def add_hot(document: dict[str, Any], hot: Sequence[Route]) -> None:
    """Describe the hot routes in an OpenAPI document."""
    kinds = [kind for route in hot for kind in (route.body, route.answers) if kind is not None]
    shapes, components = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")
    schema = dict(zip(map(id, kinds), shapes, strict=True))
    document.setdefault("components", {}).setdefault("schemas", {}).update(components)
    document["components"].setdefault("securitySchemes", {})["bearer"] = {"type": "http", "scheme": "bearer"}
    document["security"] = [{"bearer": []}]
    problem = {"description": "An RFC 9457 problem", "content": {problems.MEDIA_TYPE: {"schema": {"type": "object"}}}}
    for route in hot:
        described: dict[str, Any] = {
            "summary": route.summary,
            "tags": ["runner protocol" if route.least == "runner" else "api"],
            LEAST: route.least,
            "responses": {str(route.status): {"description": "Done"}, "default": problem},
        }
        if "{id}" in route.path:
            parameter = {"name": "id", "in": "path", "required": True, "schema": {"type": "string", "format": "uuid"}}
            described["parameters"] = [parameter]
        described.setdefault("parameters", []).extend(
            {"name": each.name, "in": each.place, "description": each.about, "schema": {"type": each.kind}} for each in route.parameters
        )
        if route.starts_work:
            described["responses"]["429"] = {"description": "The views lag too far behind; send it again after Retry-After"}
        described["responses"].update({str(status): {"description": meaning} for status, meaning in route.more_answers.items()})
        if route.body is not None:
            described["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema[id(route.body)]}}}
        if route.answers is not None:
            described["responses"][str(route.status)]["content"] = {"application/json": {"schema": schema[id(route.answers)]}}
        if route.stream is not None:
            described["responses"]["200"]["content"] = {kind: {"schema": {"type": "string"}} for kind in route.sends}
        document["paths"].setdefault(route.path, {})[route.method.lower()] = described


def release() -> str:
    """The version that is installed."""
    try:
        return version("ledgermill")
    except PackageNotFoundError:
        return "0"
