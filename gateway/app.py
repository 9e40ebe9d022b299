"""The one ASGI application: hot routes from the table, everything else from FastAPI, the same manners for both.

Every answer carries X-Request-Id; every error is an RFC 9457 problem, also the unexpected ones, whose traces go to the
log and never to a client; every path but the few public ones needs a bearer token of the right role; no body is read
further than its limit.
"""

import logging
import secrets
from collections.abc import Awaitable, Callable

from gateway.auth import Identity, authorise
from gateway.authentication import Authentication, Failure
from gateway.git_http import GitHttp
from gateway.http import AsgiApp, ClientGone, Message, Receive, Reply, Request, Route, Scope, Send, Table, too_large
from gateway.metrics.tallies import OTHER, Tallies
from gateway.problems import MEDIA_TYPE, body, from_exception, problem
from gateway.rest import PUBLIC

log = logging.getLogger(__name__)

REST_BYTES_MAX = 2 * 1024 * 1024
SIGNED: dict[str, Failure] = {"bad_signature": "signature", "wrong_time": "time"}
"""The 401s that are answered elsewhere, and what they are counted as."""
NOBODY = Identity(tenant="", role="viewer", actor="", token="")
"""Who asks by a signature: the route finds out; in no tenant there is anything."""


class App:
    """Serves one gateway. rest: what is not in the table. admit: raises the problem where no new work is let in now.

    sockets: what is served over WebSockets. git: serves the paths of repositories.
    """

    def __init__(
        self,
        table: Table,
        rest: AsgiApp,
        authentication: Authentication,
        admit: Callable[[], None],
        tallies: Tallies,
        *,
        sockets: Table,
        git: GitHttp,
    ) -> None:
        self._table = table
        self._sockets = sockets
        self._git = git
        self._admit = admit
        self._rest = rest
        self._authentication = authentication
        self._tallies = tallies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        answering = send if scope["type"] == "http" else before_handshake(send)
        answer = Answer(answering, secrets.token_hex(8), scope, self._tallies)
        try:
            if scope["type"] == "http":
                await self._serve(scope, receive, answer)
            elif scope["type"] == "websocket":
                await self._serve_socket(scope, receive, answer)
        except ClientGone:
            return
        except Exception as error:  # noqa: BLE001 - the outermost frame: whatever it is, the client gets a problem
            await self._fail(scope, answer, error)

    async def _serve(self, scope: Scope, receive: Receive, answer: "Answer") -> None:
        if "\0" in scope["path"] or b"%00" in scope["query_string"]:
            raise problem(400, "nul_in_url", "the path or the query holds NUL, which no text here does", hint="leave it out")
        found = self._table.find(scope["method"], scope["path"])
        if found is None:
            answer.route = self._git.route(scope["path"])
            if answer.route:
                await self._git.serve(scope, receive, answer, answer.request_id)
            else:
                await self._serve_rest(scope, receive, answer)
            return
        route, params = found
        answer.route = route.path
        identity = NOBODY if route.least == "signed" else await self._authenticated(scope)
        if route.least != "signed":
            authorise(identity, route.least)
        if route.starts_work:
            self._admit()
        request = Request(scope, receive, identity, answer.request_id, params)
        try:
            await self._serve_route(route, request, answer)
        finally:
            request.close()

    async def _serve_socket(self, scope: Scope, receive: Receive, answer: "Answer") -> None:
        """A WebSocket comes through the same doors; one that is refused is answered as a request is."""
        await receive()
        identity = await self._authenticated(scope)
        found = self._sockets.find("GET", scope["path"])
        if found is None:
            raise problem(404, "not_found", f"there is no WebSocket {scope['path']} here", hint="there is /api/v1/ws/runs/{id}")
        route, params = found
        answer.route = route.path
        authorise(identity, route.least)
        request = Request(scope, receive, identity, answer.request_id, params)
        try:
            assert route.stream is not None, "a WebSocket is a stream"  # noqa: S101 - a fact of the table
            await route.stream(request, answer)
        finally:
            request.close()

    async def _serve_route(self, route: Route, request: Request, answer: "Answer") -> None:
        content = await request.body(route.limit_bytes)
        if route.stream is not None:
            await route.stream(request, answer)
            return
        assert route.handle is not None, "a route has either a handler or a stream"  # noqa: S101 - a fact of the table
        reply = await route.handle(request, self._table.decode(route, content))
        if reply is not None:
            await answer.reply(reply)

    async def _serve_rest(self, scope: Scope, receive: Receive, answer: "Answer") -> None:
        state = scope.setdefault("state", {})
        state["request_id"] = answer.request_id
        state["table"] = self._table
        if scope["path"] not in PUBLIC:
            state["identity"] = identity = await self._authenticated(scope)
            authorise(identity, "viewer")
        await self._rest(scope, bounded(receive, REST_BYTES_MAX), answer)

    async def _authenticated(self, scope: Scope) -> Identity:
        authorization = next((value for name, value in scope["headers"] if name == b"authorization"), None)
        identity = await self._authentication.identify(authorization)
        if identity is None:
            what = (
                "this request carries no bearer token"
                if authorization is None
                else "the bearer token of this request is not known here, or is revoked or too old"
            )
            raise problem(
                401,
                "not_authenticated",
                what,
                hint="send Authorization: Bearer with a token of `ledgermill token create`, or with the text of DATA/token",
            )
        return identity

    async def _fail(self, scope: Scope, answer: "Answer", error: Exception) -> None:
        shown = from_exception(error)
        status = shown.problem.status
        if reason := SIGNED.get(shown.problem.code):
            self._authentication.failed(reason)
        if status == 500:
            self._tallies.errors["gateway", type(error).__name__] += 1
            log.error("%s %s failed (request %s)", scope.get("method", "GET"), scope["path"], answer.request_id, exc_info=error)
        if answer.started:
            raise error
        headers = [(name.lower().encode(), value.encode()) for name, value in shown.headers]
        if status == 413:
            headers.append((b"connection", b"close"))
        await answer.reply(Reply(status, body(shown, answer.request_id), tuple(headers), MEDIA_TYPE.encode()))


def before_handshake(send: Send) -> Send:
    """`send` of a WebSocket that takes answers to requests too, for what is refused before it is one."""

    async def sent(message: Message) -> None:
        kind = message["type"]
        await send({**message, "type": f"websocket.{kind}"} if kind.startswith("http.") else message)

    return sent


class Answer:
    """`send` of one request: adds X-Request-Id to the headers, counts the answer, and knows whether it has begun.

    route: the path of the table's route; "" where the table has none.
    """

    def __init__(self, send: Send, request_id: str, scope: Scope, tallies: Tallies) -> None:
        self._send = send
        self._scope = scope
        self._tallies = tallies
        self.request_id = request_id
        self.route = ""
        self.started = False

    async def __call__(self, message: Message) -> None:
        """ASGI send."""
        if message["type"] in {"http.response.start", "websocket.accept"}:
            self.started = True
            method, status = self._scope.get("method", "GET"), message.get("status", 101)  # a handshake is a GET, answered 101
            self._tallies.answered(method, self.route or path_of(self._scope), status)
            message["headers"] = [*message.get("headers", ()), (b"x-request-id", self.request_id.encode())]
        await self._send(message)

    async def reply(self, reply: Reply) -> None:
        """Send a whole answer."""
        headers = [(b"content-length", str(len(reply.body)).encode()), *reply.headers]
        if reply.status != 204:
            headers.append((b"content-type", reply.content_type))
        await self({"type": "http.response.start", "status": reply.status, "headers": headers})
        await self._send({"type": "http.response.body", "body": reply.body, "more_body": False})


def path_of(scope: Scope) -> str:
    """The path of the route by which FastAPI serves a request, never the path that was asked for."""
    return str(getattr(scope.get("route"), "path_format", OTHER))


def bounded(receive: Receive, limit_bytes: int) -> Callable[[], Awaitable[Message]]:
    """`receive` that refuses a body longer than limit_bytes as it arrives."""
    size = 0

    async def counted() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > limit_bytes:
            raise too_large(limit_bytes)
        return message

    return counted
