"""The HTTP client of the verbs: JSON, lists with cursors, NDJSON and event streams that resume, on the standard library.

The standard library, because a verb that only asks a question must start in a tenth of a second, and aiohttp alone takes
longer to import. A connection per request, or per stream. It must never print, and never send a command (POST) again,
unless the server says that it did nothing and wants it later (429): else only reads and streams are asked again.
"""

import http.client
import json
import ssl
import time
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from gateway.cli.errors import CliError, Exit, from_problem
from runner.problems import UNANSWERED, explained

API = "/api/v1"
PIECE_BYTES = 64 * 1024
PATIENCE_SECONDS = 30
"""How long a stream may be broken, or a server have too much to do, before the verb gives up; the run goes on in any case."""


class ServerSent(msgspec.Struct, frozen=True):
    """One server-sent event. data: its JSON, None for an empty one."""

    id: str
    event: str
    data: Any


class Client:
    """A server and the token for it. Safe for use by several threads: it holds no connection."""

    def __init__(self, url: str, token: str, tls: ssl.SSLContext | None = None) -> None:
        self.url = url.rstrip("/")
        self.token = token
        parts = urlsplit(self.url)
        self._secure = parts.scheme == "https"
        self._tls = tls
        self._place = parts.netloc
        self._prefix = parts.path

    def get(self, path: str, **params: Any) -> Any:
        """The JSON answer of a query. Raises CliError for any problem."""
        with self._open("GET", _with(path, params), timeout=60) as response:
            return json.loads(response.read())

    def content(self, path: str, **params: Any) -> bytes:
        """The bytes of an answer that is no JSON object."""
        with self._open("GET", _with(path, params), timeout=120, accept="application/x-ndjson") as response:
            return response.read()

    def post(self, path: str, body: Any = None) -> Any:
        """The JSON answer of a command, None where it has none."""
        with self._open("POST", path, timeout=120, body=msgspec.json.encode({} if body is None else body)) as response:
            content = response.read()
            return json.loads(content) if content else None

    def patch(self, path: str, body: Any) -> Any:
        """The JSON answer of a change."""
        with self._open("PATCH", path, timeout=60, body=msgspec.json.encode(body)) as response:
            return json.loads(response.read())

    def delete(self, path: str) -> None:
        """Remove something."""
        with self._open("DELETE", path, timeout=60) as response:
            response.read()

    def items(self, path: str, **params: Any) -> Iterator[dict[str, Any]]:
        """All items of a list, page by page as they are needed."""
        cursor: str | None = None
        while True:
            page = self.get(path, cursor=cursor, **params)
            yield from page["items"]
            cursor = page.get("next_cursor")
            if not cursor:
                return

    def lines(self, path: str, **params: Any) -> Iterator[dict[str, Any]]:
        """The records of an NDJSON answer, as they arrive."""
        with self._open("GET", _with(path, params), timeout=60, accept="application/x-ndjson") as response:
            for line in body_lines(response):
                if line:
                    yield msgspec.json.decode(line)

    def stream(self, path: str, after: str | None = None, **params: Any) -> Iterator[ServerSent]:
        """Server-sent events until `event: end`. A broken connection is opened again after the last id seen."""
        last, broken_at = after, None
        while True:
            try:
                events = self._listen(_with(path, params), last)
                broken_at = None
                for sent in events:
                    last = sent.id or last
                    if sent.event == "end":
                        return
                    if sent.event == "dropped":
                        reason: Exception = ConnectionError(sent.data["detail"])
                        break
                    yield sent
                else:
                    reason = ConnectionError("the server closed the stream")
            except (OSError, http.client.HTTPException) as error:
                reason = error
            except CliError as error:
                if error.code != "API001":
                    raise
                reason = error
            broken_at = broken_at or time.monotonic()
            if time.monotonic() - broken_at > PATIENCE_SECONDS:
                raise CliError("API002", f"the stream {path} broke and did not come back", because=str(reason)) from reason
            time.sleep(0.25)  # a server that went away tells nobody that it is back

    def _listen(self, path: str, last: str | None) -> Iterator[ServerSent]:
        """Opens the stream at once; what it gives comes as it is read."""
        headers = {"Last-Event-ID": last} if last else {}
        answer = self._open("GET", path, timeout=60, accept="text/event-stream", headers=headers)

        def events() -> Iterator[ServerSent]:
            with answer as response:
                yield from parse_events(body_lines(response))

        return events()

    def _open(
        self, method: str, path: str, *, timeout: float, body: bytes | None = None, accept: str = "application/json", headers: Any = ()
    ) -> "_Answer":
        """The answer, for which a server that has too much to do is given time. Raises CliError."""
        began = time.monotonic()
        while True:
            connection, response = self._send(method, path, timeout=timeout, body=body, accept=accept, headers=headers)
            if response.status < 400:
                return _Answer(connection, response)
            content, later = response.read(), response.headers.get("Retry-After", "1")
            connection.close()
            if response.status != 429 or time.monotonic() - began > PATIENCE_SECONDS:
                raise from_problem(response.status, _problem(content), f"{method} {path}")
            time.sleep(int(later) if later.isdigit() else 1)  # as the server says

    def _send(
        self, method: str, path: str, *, timeout: float, body: bytes | None, accept: str, headers: Any
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        connection = (
            http.client.HTTPSConnection(self._place, timeout=timeout, context=self._tls)
            if self._secure
            else http.client.HTTPConnection(self._place, timeout=timeout)
        )
        sent = {"Authorization": f"Bearer {self.token}", "Accept": accept, **dict(headers)}
        if body is not None:
            sent["Content-Type"] = "application/json"
        try:
            connection.request(method, f"{self._prefix}{API}{path}", body=body, headers=sent)
            return connection, connection.getresponse()
        except ssl.SSLError as error:
            connection.close()
            raise CliError(
                "API003", f"{self.url} and this machine do not trust each other", because=explained(error), exit_code=Exit.AUTHENTICATION
            ) from error
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            ended = self._secure and isinstance(error, ConnectionResetError | BrokenPipeError)
            because = UNANSWERED if ended else str(error) or type(error).__name__
            raise CliError("API001", f"no answer from {self.url}", because=because, help="ledgermill status") from error


class _Answer:
    """A response whose connection is closed with it."""

    def __init__(self, connection: http.client.HTTPConnection, response: http.client.HTTPResponse) -> None:
        self._connection = connection
        self._response = response

    def __enter__(self) -> http.client.HTTPResponse:
        return self._response

    def __exit__(self, *_: object) -> None:
        self._response.close()
        self._connection.close()


def body_lines(response: http.client.HTTPResponse) -> Iterator[bytes]:
    """The lines of a body as they arrive, without their ends; its own `readline` looks into a chunked body several times a line."""
    rest = b""
    while piece := response.read1(PIECE_BYTES):
        *whole, rest = (rest + piece).split(b"\n")
        yield from whole
    if rest:
        yield rest


def parse_events(lines: Iterable[bytes]) -> Iterator[ServerSent]:
    """The events of an event stream (WHATWG): fields until an empty line; comments and unknown fields are ignored."""
    identity, event, data = "", "message", list[bytes]()
    for raw in lines:
        line = raw.rstrip(b"\r\n")
        if not line:
            if data or event != "message":
                text = b"\n".join(data)
                yield ServerSent(identity, event, msgspec.json.decode(text) if text else None)
            event, data = "message", []
            continue
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            data.append(value)
        elif field == b"id":
            identity = value.decode("utf-8", errors="replace")
        elif field == b"event":
            event = value.decode("utf-8", errors="replace")


def _with(path: str, params: dict[str, Any]) -> str:
    given = {key.rstrip("_"): value for key, value in params.items() if value is not None}
    return f"{quote(path)}?{urlencode(given, doseq=True)}" if given else quote(path)


def _problem(content: bytes) -> dict[str, Any]:
    try:
        found = json.loads(content)
    except ValueError:
        return {"detail": content.decode(errors="replace").strip()[:300]}
    return found if isinstance(found, dict) else {}
