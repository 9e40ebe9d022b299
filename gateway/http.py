"""HTTP without a framework, for the hot routes: a table of (method, path, role, body type, handler) over plain ASGI.

A request through this table costs about a third of one through FastAPI. The table is also what the OpenAPI document is
made from, so a route that is served is a route that is described. It must never hold a rule of the domain.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any
from urllib.parse import parse_qs
from uuid import UUID

import msgspec

from domain.access import Least
from gateway.auth import Identity
from gateway.body import decoded
from gateway.problems import ProblemError, problem

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]

LET_GO = "ledgermill.let_go"
"""The extension of ASGI by which a client that takes nothing is let go: see gateway.connection."""

ID_LENGTH = 36
"""A path segment of this length stands for an id: no fixed segment is as long."""

DIGITS_MAX = 18
"""So many fit into the database's whole numbers."""


def _nothing() -> None:
    """Where there is no connection."""


class Reply(msgspec.Struct, frozen=True):
    """An answer that is complete. body: bytes of content_type."""

    status: int = 200
    body: bytes = b""
    headers: tuple[tuple[bytes, bytes], ...] = ()
    content_type: bytes = b"application/json"


def answer(value: Any, status: int = 200, headers: tuple[tuple[bytes, bytes], ...] = ()) -> Reply:
    """A JSON answer."""
    return Reply(status, msgspec.json.encode(value), headers)


class Request:
    """One request: its facts, its body under a limit, and its sender's going away."""

    def __init__(self, scope: Scope, receive: Receive, identity: Identity, request_id: str, params: tuple[UUID, ...]) -> None:
        self.scope = scope
        self.identity = identity
        self.request_id = request_id
        self.params = params
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self._receive = receive
        self._gone: asyncio.Task[None] | None = None
        self.let_go: Callable[[], None] = scope.get("extensions", {}).get(LET_GO, _nothing)

    @property
    def query(self) -> dict[str, str]:
        """The query's parameters, the last value of each."""
        return {key: values[-1] for key, values in parse_qs(self.scope["query_string"].decode("latin-1")).items()}

    def number(self, name: str, default: int) -> int:
        """A query parameter that is a whole number from 0; answers 422 for anything else."""
        text = self.query.get(name)
        if text is None:
            return default
        if not text.isascii() or not text.isdigit() or len(text) > DIGITS_MAX:
            place = {"pointer": f"/query/{name}", "message": "no whole number"}
            hint = f"give {name} as at most {DIGITS_MAX} digits, e.g. {name}=1"
            raise problem(422, "bad_query", f"{name}={text} is not a whole number", hint=hint, errors=(place,))
        return int(text)

    async def body(self, limit_bytes: int) -> bytes:
        """The whole body. More than limit_bytes, counted as it arrives, is answered 413."""
        return await read_body(self.headers, self._receive, limit_bytes)

    def gone(self) -> asyncio.Task[None]:
        """Done when the client has closed the connection. Call it after the body was read."""
        if self._gone is None:
            self._gone = asyncio.create_task(self._until_gone())
        return self._gone

    def close(self) -> None:
        """Stop looking for the client's going away."""
        if self._gone is not None:
            self._gone.cancel()

    async def _until_gone(self) -> None:
        while (await self._receive())["type"] not in {"http.disconnect", "websocket.disconnect"}:
            pass


async def read_body(headers: dict[bytes, bytes], receive: Receive, limit_bytes: int) -> bytes:
    """Read a body, refusing it with 413 as soon as it is known to be longer than limit_bytes."""
    declared = headers.get(b"content-length", b"0")
    if declared.isdigit() and int(declared) > limit_bytes:
        raise too_large(limit_bytes)
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > limit_bytes:
            raise too_large(limit_bytes)
        chunks.append(chunk)
        if not message.get("more_body", False):
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)


class ClientGone(Exception):  # noqa: N818 - nothing went wrong here: there is nobody to answer
    """The client closed the connection before its request was whole."""


def too_large(limit_bytes: int) -> ProblemError:
    """413: the body is longer than this route takes."""
    return problem(413, "body_too_large", f"the body is longer than {limit_bytes} bytes", hint="send less in one request")


Handle = Callable[[Request, Any], Awaitable[Reply | None]]
"""Answers a request; the second argument is the decoded body (None without one). None: it has sent the answer itself."""

Stream = Callable[[Request, Send], Awaitable[None]]
"""Answers a request by sending on its own."""


class Parameter(msgspec.Struct, frozen=True, kw_only=True):
    """What a route reads beside its path, for the OpenAPI document. kind: of JSON Schema; place: "query" or "header".

    example: a value that fits; pattern: of a text; required: without it the answer is 422.
    """

    name: str
    about: str
    kind: str = "integer"
    place: str = "query"
    example: Any = 1
    pattern: str = ""
    required: bool = False


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """One hot route. path: with `{id}` for ids. least: the least role that it needs. body: type of the JSON body; bytes: as it came.

    stream: sends by itself instead of handle. sends: media types of what a stream sends. more_answers: what other statuses
    than `status` mean. conditional: it reads If-Match. starts_work: refused while the views lag too far behind
    (gateway.view_lag). problems: statuses of errors beyond those that gateway.openapi knows by itself. returns: headers of
    an answer that is no error.
    """

    method: str
    path: str
    least: Least
    summary: str
    handle: Handle | None = None
    stream: Stream | None = None
    body: Any = None
    answers: Any = None
    status: int = 200
    limit_bytes: int = 1024 * 1024
    sends: tuple[str, ...] = ("text/event-stream",)
    parameters: tuple[Parameter, ...] = ()
    more_answers: Mapping[int, str] = {}
    starts_work: bool = False
    conditional: bool = False
    problems: tuple[int, ...] = ()
    returns: tuple[str, ...] = ()


class Table:
    """The hot routes, found by method and path in two dictionary look-ups."""

    def __init__(self, routes: list[Route]) -> None:
        self.routes = routes
        self._found = {(route.method, _shape(route.path)): route for route in routes}
        self._decoders = {id(route): msgspec.json.Decoder(route.body) for route in routes if route.body not in (None, bytes)}

    def find(self, method: str, path: str) -> tuple[Route, tuple[UUID, ...]] | None:
        """The route and the ids in the path."""
        route = self._found.get((method, self._shape_of(path)))
        if route is None:
            return None
        try:
            return route, tuple(UUID(part) for part in path.split("/") if len(part) == ID_LENGTH)
        except ValueError:
            return None

    def decode(self, route: Route, body: bytes) -> Any:
        """The body as the route's type; 422 with the place inside the JSON where it does not fit."""
        if route.body is bytes:
            return body
        decoder = self._decoders.get(id(route))
        return None if decoder is None else decoded(decoder, body or b"{}")

    def methods(self, path: str) -> set[str]:
        """The methods that the table knows for a path."""
        shape = self._shape_of(path)
        return {method for method, known in self._found if known == shape and self.find(method, path) is not None}

    def fixed(self, path: str) -> set[str]:
        """The methods of a path in which nothing stands for an id."""
        parts = tuple(path.split("/"))
        return {method for method, known in self._found if known == parts}

    def misnamed(self, method: str, path: str) -> bool:
        """Whether a route would serve this path if what stands in an id's place were an id."""
        parts = path.split("/")

        def fits(known: tuple[str, ...]) -> bool:
            return len(known) == len(parts) and all(segment in {"{id}", part} for segment, part in zip(known, parts, strict=True))

        return any(each == method and fits(known) for each, known in self._found)

    @staticmethod
    def _shape_of(path: str) -> tuple[str, ...]:
        return tuple("{id}" if len(part) == ID_LENGTH else part for part in path.split("/"))


def _shape(path: str) -> tuple[str, ...]:
    return tuple("{id}" if part.startswith("{") else part for part in path.split("/"))
