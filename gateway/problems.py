"""Errors of the HTTP API: RFC 9457 problems with a stable code, the concrete values and what to do about it.

Whatever goes wrong in a route becomes one `Problem`; the terminal text of the CLI is made from the same object. It must
never show a stack trace, a token or another tenant's facts.
"""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import msgspec
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.routing import Match

from domain.ports import CommitUnknown, StoreSilent, StoreUnavailable, StreamUnreadable
from domain.refusals import Refusal

MEDIA_TYPE = "application/problem+json"
UNREADABLE_RETRY_SECONDS = 60
TYPE = "urn:ledgermill:problem:"
"""`type` is this and the code; `ledgermill explain CODE` tells more."""


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The body of an error answer. instance: the request's id; errors: {pointer, line, column, message} where they apply.

    state: the one that forbids what was asked, where it is a state.
    """

    type: str
    title: str
    status: int
    code: str
    detail: str = ""
    hint: str = ""
    instance: str = ""
    retryable: bool = False
    state: str = ""
    errors: tuple[dict[str, Any], ...] = ()


class ProblemError(Exception):
    """Ends a request with a problem. headers: sent along, e.g. Retry-After."""

    def __init__(self, problem: Problem, headers: tuple[tuple[str, str], ...] = ()) -> None:
        self.problem = problem
        self.headers = headers
        super().__init__(f"{problem.status} {problem.code}: {problem.detail}")


def problem(
    status: int,
    code: str,
    detail: str,
    *,
    hint: str = "",
    errors: tuple[dict[str, Any], ...] = (),
    retry_after_seconds: int | None = None,
    state: str = "",
) -> ProblemError:
    """The error to raise. detail: one sentence with the concrete values. 429, 503 and 504 are retryable."""
    made = Problem(
        type=f"{TYPE}{code}",
        title=code.replace("_", " ").capitalize(),
        status=status,
        code=code,
        detail=detail,
        hint=hint,
        retryable=status in {429, 503, 504},
        state=state,
        errors=errors,
    )
    return ProblemError(made, () if retry_after_seconds is None else (("Retry-After", str(retry_after_seconds)),))


def refused(refusal: Refusal) -> ProblemError:
    """The answer to a command that the rules forbid: 404 where its target does not exist, else 409."""
    status = 404 if refusal.state == "absent" else 409
    return problem(status, refusal.code, refusal.message, hint=refusal.help or "", state=refusal.state or "")


def body(error: ProblemError, request_id: str = "") -> bytes:
    """The problem as JSON."""
    instance = f"/api/v1/requests/{request_id}" if request_id else ""
    return msgspec.json.encode(msgspec.structs.replace(error.problem, instance=instance))


def from_exception(error: Exception) -> ProblemError:
    """The problem behind any exception of a route; what nobody foresaw is a 500 without details."""
    match error:
        case ProblemError():
            return error
        case RequestValidationError():
            return _invalid(error)
        case HTTPException():
            phrase = HTTPStatus(error.status_code).phrase
            shown = problem(error.status_code, phrase.lower().replace(" ", "_"), str(error.detail))
            return ProblemError(shown.problem, tuple((error.headers or {}).items()))
        case StoreUnavailable():
            # To a runner 503 says that nobody is at work; where only this process is cut off, others may be.
            status = 504 if isinstance(error, StoreSilent) else 503
            hint = "send it again; it acts once" if isinstance(error, CommitUnknown) else "nothing was written; try again"
            return problem(status, "store_unavailable", str(error), hint=hint, retry_after_seconds=1)
        case StreamUnreadable():
            hint = "nothing was written; a server of the version that wrote the event can go on"
            return problem(503, "stream_unreadable", str(error), hint=hint, retry_after_seconds=UNREADABLE_RETRY_SECONDS)
        case _:
            return problem(500, "internal_error", "the server failed to answer this request", hint="the server's log names the cause")


def install(app: FastAPI, routes: Sequence[APIRoute]) -> None:
    """Make every error of the application's routes a problem, those of FastAPI itself too."""

    async def handle(request: Request, error: Exception) -> Response:
        unrouted = isinstance(error, HTTPException) and error.status_code in {404, 405}
        found = _no_route(routes, request) if unrouted else from_exception(error)
        identity = str(getattr(request.state, "request_id", ""))
        return Response(body(found, identity), found.problem.status, dict(found.headers), media_type=MEDIA_TYPE)

    for kind in (ProblemError, RequestValidationError, HTTPException, StoreUnavailable, StreamUnreadable):
        app.add_exception_handler(kind, handle)


def _nothing(path: str) -> ProblemError:
    return problem(404, "not_found", f"there is no {path} here", hint="/openapi.json describes what there is")


def _no_route(routes: Sequence[APIRoute], request: Request) -> ProblemError:
    """405 with the methods that the path has here, those of the hot routes too; 404 where it has none."""
    path, table = request.scope["path"], request.state.table
    methods: set[str] = set().union(*(route.methods or () for route in routes if route.path == path), table.fixed(path))
    if not methods:
        if table.misnamed(request.method, path):
            return _nothing(path)
        serving = (route for route in routes if route.matches(request.scope)[0] is not Match.NONE)
        methods = set().union(*(route.methods or () for route in serving), table.methods(path))
    if not methods:
        return _nothing(path)
    allowed = ", ".join(sorted(methods))
    shown = problem(405, "method_not_allowed", f"{request.method} is not for {path}", hint=f"it takes {allowed}")
    return ProblemError(shown.problem, (("Allow", allowed),))


def _invalid(error: RequestValidationError) -> ProblemError:
    """FastAPI's 422: each parameter that does not fit, by name."""
    errors = tuple(
        {"pointer": "/".join(["", *map(str, each.get("loc", ()))]), "message": str(each.get("msg", ""))} for each in error.errors()
    )
    named = ", ".join(each["pointer"].rpartition("/")[2] for each in errors)
    return problem(422, "bad_parameter", f"these parameters do not fit: {named}", hint="see /openapi.json", errors=errors)
