"""The OpenAPI 3.1 document over both kinds of routes: those of the table and those that FastAPI serves.

What a route can answer is written once: its type by the route, the errors that follow from what it reads by the rules
here. Nothing stands for "any other status", so that a test can tell an answer that nobody described.
"""

from collections.abc import Callable, Iterable, Sequence
from http import HTTPStatus
from typing import Any, TypeVar

import msgspec
from fastapi.routing import APIRoute

from gateway.api.orders import IF_MATCH, KEY
from gateway.api.reads import LEAST
from gateway.examples import RUN, example, word
from gateway.http import Parameter, Route
from gateway.problems import MEDIA_TYPE, TYPE, Problem

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])

JSON, NDJSON = "application/json", "application/x-ndjson"
SCHEMAS = "#/components/schemas/"

HEADERS = {
    "X-Request-Id": ("The id of this request, as the server's log has it.", {"type": "string"}, "3f9d0c7be2a84b15"),
    "X-Event-Position": ("Position of the command's last event; queries take it as at_least.", {"type": "integer"}, 4711),
    "Idempotency-Replayed": ("true where the answer is that of an earlier request with the same key.", {"type": "string"}, "true"),
    "ETag": ("The version; If-Match takes it.", {"type": "string"}, '"3"'),
    "Link": ('The next page, rel="next"; absent on the last one.', {"type": "string"}, '</api/v1/runs?cursor=Wzc>; rel="next"'),
    "Content-Range": ("Which bytes of how many.", {"type": "string"}, "bytes 0-99/4711"),
    "Retry-After": ("Seconds to wait before asking again.", {"type": "integer"}, 1),
}
MEANT = {
    400: "The request is no HTTP that this server reads, or its body is no JSON",
    401: "There is no bearer token (or signature, where one is asked for), or it is not known here",
    403: "The token's role does not allow this",
    404: "There is no such thing",
    409: "The state of the target forbids it",
    412: "If-Match names another version",
    413: "The body is longer than the limit",
    416: "The document has no such bytes; Content-Range says how many it has",
    422: "A parameter, a header or the body does not fit; errors name the places",
    429: "The views lag too far behind for new work",
    503: "The database is away, or a view has not come as far as was asked for",
    504: "The database is silent",
}


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What FastAPI cannot know of an operation. answers: type of the JSON, or several; body: of the request's; see gateway.http.Route.

    lines: also as NDJSON, by Accept. text: the media type of an answer that is no JSON.
    """

    answers: Any = None
    body: Any = None
    lines: bool = False
    text: str = ""
    problems: tuple[int, ...] = ()
    returns: tuple[str, ...] = ()
    more_answers: tuple[int, ...] = ()


def tells(answers: Any, **facts: Any) -> Callable[[Endpoint], Endpoint]:
    """Say what an endpoint of FastAPI answers, for the document: see Told."""

    def told(endpoint: Endpoint) -> Endpoint:
        endpoint.__told__ = Told(answers=answers, **facts)  # type: ignore[attr-defined]  # read by `document` below
        return endpoint

    return told


class Types:
    """The schemas of all types that operations name."""

    def __init__(self, kinds: Iterable[Any]) -> None:
        unique = list({id(each): each for kind in kinds if kind not in (None, bytes) for each in _each(kind)}.values())
        schemas, self.components = msgspec.json.schema_components(unique, ref_template=f"{SCHEMAS}{{name}}")
        self._schemas = {id(kind): schema for kind, schema in zip(unique, schemas, strict=True)}
        for component in self.components.values():
            _instants(component.get("properties", {}))

    def content(self, kind: Any) -> dict[str, Any]:
        """A JSON media type with its schema and an example; of several types, one of them."""
        kinds = _each(kind)
        schemas = [self._schemas[id(each)] for each in kinds]
        return {"schema": schemas[0] if len(schemas) == 1 else {"anyOf": schemas}, "example": example(kinds[0])}


def _each(kind: Any) -> tuple[Any, ...]:
    return kind if isinstance(kind, tuple) else (kind,)


def document(routes: Sequence[APIRoute], standard: dict[str, Any], hot: Sequence[Route], public: frozenset[str]) -> dict[str, Any]:
    """The whole document. routes: those of FastAPI; standard: what it makes of them by itself; public: paths that need no token."""
    cold = [(route, getattr(route.endpoint, "__told__", Told())) for route in routes]
    types = Types(
        [Problem, *(kind for _, told in cold for kind in (told.answers, told.body)), *(k for r in hot for k in (r.body, r.answers))]
    )
    paths: dict[str, dict[str, Any]] = {}
    for route, told in cold:
        for method in sorted(route.methods or ()):
            given = standard["paths"][route.path_format][method.lower()]
            paths.setdefault(route.path_format, {})[method.lower()] = _cold(given, told, types, public=route.path in public)
    for each in hot:
        paths.setdefault(each.path, {})[each.method.lower()] = _hot(each, types)
    return {
        "openapi": "3.1.0",
        "info": standard["info"],
        "security": [{"bearer": []}],
        "paths": {path: paths[path] for path in sorted(paths)},
        "components": {
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
            "schemas": dict(sorted(types.components.items())),
            "headers": {name: _header(name) for name in HEADERS},
            "responses": {str(status): _problem(status, types) for status in MEANT},
        },
    }


def _cold(given: dict[str, Any], told: Told, types: Types, *, public: bool) -> dict[str, Any]:
    parameters = [_exemplified(each) for each in given.get("parameters", [])]
    problems = (
        set(told.problems) | ({422} if parameters else set()) | ({404} if any(each["in"] == "path" for each in parameters) else set())
    )
    content = {JSON: types.content(told.answers)} if told.answers is not None else {}
    if told.lines:
        content[NDJSON] = {"schema": {"type": "string"}, "example": "{...}\n{...}\n"}
    if told.text:
        content[told.text] = {"schema": {"type": "string"}, "example": "ledgermill_queue_depth 0.0\n"}
    answers: dict[str, Any] = {"200": _answer("Done", content, told.returns)}
    answers |= {str(status): _answer(HTTPStatus(status).phrase, content, ("Retry-After",)) for status in told.more_answers}
    made = {key: given[key] for key in ("summary", "tags", "operationId", LEAST) if key in given} | {"parameters": parameters}
    return _operation(made, types, body=told.body, answers=answers, problems=problems, public=public)


def _hot(route: Route, types: Types) -> dict[str, Any]:
    parameters: list[dict[str, Any]] = []
    problems = set(route.problems)
    added, returns, refusals = _conventions(route)
    problems |= refusals | ({429} if route.starts_work else set()) | ({400, 401, 503, 504} if route.least == "signed" else set())
    if "{id}" in route.path:
        identity = {"type": "string", "format": "uuid"}
        parameters.append({"name": "id", "in": "path", "required": True, "schema": identity, "example": _id_of(route.path)})
        problems.add(404)
    for each in (*route.parameters, *added):
        schema: dict[str, Any] = {"type": each.kind} | ({"minimum": 0, "maximum": 10**18 - 1} if each.kind == "integer" else {})
        schema |= {"pattern": each.pattern} if each.pattern else {}
        described = {"name": each.name, "in": each.place, "description": each.about, "schema": schema, "example": each.example}
        parameters.append(described | ({"required": True} if each.required else {}))
        problems.add(422)
    content: dict[str, Any] = {}
    if route.answers is not None:
        content = {JSON: types.content(route.answers)}
    elif route.stream is not None:
        content = {kind: {"schema": _sent(kind), "example": STREAMED.get(kind, "hello\n")} for kind in route.sends}
    answers = {str(route.status): _answer("Done", content, returns)}
    answers |= {str(status): _answer(meaning, content, returns) for status, meaning in route.more_answers.items()}
    made = {
        "summary": route.summary,
        "tags": ["runner protocol" if route.path.startswith("/runner/") else route.path.split("/")[3]],
        "operationId": _operation_id(route),
        LEAST: route.least,
        "parameters": parameters,
    }
    return _operation(made, types, body=route.body, answers=answers, problems=problems, public=route.least == "signed")


def _conventions(route: Route) -> tuple[tuple[Parameter, ...], tuple[str, ...], set[int]]:
    """What all commands read, return and refuse beside their own. A POST that viewers may send changes nothing."""
    if route.method == "GET" or route.least == "viewer":
        return (), route.returns, set()
    if route.least == "runner":
        return (), route.returns, {409}
    if route.least == "signed":
        return (), (*route.returns, "X-Event-Position", "Idempotency-Replayed"), set()
    returns = (*route.returns, "X-Event-Position")
    if route.method == "POST":
        return (KEY,), returns, {409}
    return ((IF_MATCH,), returns, {409, 412}) if route.conditional else ((), returns, {409})


def _sent(kind: str) -> dict[str, Any]:
    """The schema of a stream: 3.1 has no words for its events, so the text as a whole stands for them."""
    return {} if kind == "text/event-stream" else {"type": "string"}


RAW = {"required": True, "content": {JSON: {"schema": {"type": "object"}, "example": {}}}}
"""A body that is signed as it comes, whose shape is its sender's."""

STREAMED = {
    "text/event-stream": 'id: 4711\ndata: {"type": "RunCompleted"}\n\nevent: end\ndata: {}\n\n',
    NDJSON: '{"line":1,"step":0,"at":"2026-11-21T14:02:00Z","stream":"stdout","text":"hello"}\n',
}


def _operation(
    made: dict[str, Any], types: Types, *, body: Any, answers: dict[str, Any], problems: set[int], public: bool
) -> dict[str, Any]:
    """What all operations have: the errors that follow from what they read, and the id of the request."""
    if body is not None:
        made["requestBody"] = RAW if body is bytes else {"required": _required(body), "content": {JSON: types.content(body)}}
        problems |= {400, 413, 422}
    if public:
        made["security"] = []
    else:
        problems |= {400, 401, 403, 503, 504}
    made["responses"] = answers | {str(status): {"$ref": f"#/components/responses/{status}"} for status in sorted(problems)}
    return made


def _required(body: Any) -> bool:
    """Whether an empty body, which stands for {}, would not do."""
    return any(field.required for field in msgspec.structs.fields(body))


def _answer(meaning: str, content: dict[str, Any], returns: Iterable[str]) -> dict[str, Any]:
    headers = {name: {"$ref": f"#/components/headers/{name}"} for name in ("X-Request-Id", *returns)}
    return {"description": meaning, "headers": headers} | ({"content": content} if content else {})


def _header(name: str) -> dict[str, Any]:
    about, schema, shown = HEADERS[name]
    return {"description": about, "schema": schema, "example": shown} | ({"required": True} if name == "X-Request-Id" else {})


def _problem(status: int, types: Types) -> dict[str, Any]:
    code = HTTPStatus(status).phrase.lower().replace(" ", "_")
    shown = Problem(
        type=f"{TYPE}{code}",
        title=code.replace("_", " ").capitalize(),
        status=status,
        code=code,
        detail=MEANT[status],
        retryable=status in {429, 503, 504},
        instance="/api/v1/requests/3f9d0c7be2a84b15",
    )
    content = {MEDIA_TYPE: {"schema": types.content(Problem)["schema"], "example": msgspec.to_builtins(shown)}}
    return _answer(MEANT[status], content, {429: ("Retry-After",), 503: ("Retry-After",), 416: ("Content-Range",)}.get(status, ()))


def _exemplified(parameter: dict[str, Any]) -> dict[str, Any]:
    """A parameter of FastAPI with an example; optional ones are left out, never null."""
    schema = {key: value for key, value in parameter["schema"].items() if key != "title"}
    options = [each for each in schema.pop("anyOf", []) if each != {"type": "null"}]
    schema |= options[0] if options else {}
    shown = schema.get("default", word(parameter["name"], EXAMPLES.get(parameter["name"])))
    return {**parameter, "schema": schema} | ({"example": shown} if shown is not None else {})


EXAMPLES = {"after": 0, "at": "4711", "at_least": 4711, "since": "2026-11-21T10:00:00Z", "target": RUN}


def _id_of(path: str) -> str:
    collection = path.partition("/{id}")[0].rpartition("/")[2]
    return str(word(collection.removesuffix("s"), RUN)) if collection in {"runs", "jobs"} else str(word("id"))


def _operation_id(route: Route) -> str:
    return "_".join([route.method.lower(), *(part.strip("{}").replace("-", "_") for part in route.path.split("/")[2:])])


def _instants(properties: dict[str, Any]) -> None:
    """Msgspec leaves out the format of instants, since a type may take naive ones; no message here has any."""
    for name, schema in properties.items():
        for each in (schema, *schema.get("anyOf", ())):
            if each.get("type") == "string" and (name in {"at", "now", "since"} or name.endswith("_at")):
                each["format"] = "date-time"
