"""Runs verbs in this process and hands back what they printed; and a server of canned answers for verbs that only ask."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

import pytest

from gateway.cli.main import main


class Said(NamedTuple):
    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)

    def json_lines(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]


@pytest.fixture
def ledgermill(capsys, monkeypatch, tmp_path) -> Callable[..., Said]:
    """`ledgermill("runs", "list")`: one command line on a data directory of the test's own."""
    monkeypatch.setenv("LEDGERMILL_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("NO_COLOR", "1")

    def run(*arguments: str) -> Said:
        capsys.readouterr()
        code = main(list(arguments))
        out, err = capsys.readouterr()
        return Said(code, out, err)

    return run


class Canned:
    """Answers by path: JSON values, lists of lines for NDJSON, or (status, problem). Remembers what was asked."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        self.asked: list[tuple[str, str, dict[str, list[str]], bytes]] = []
        self.tokens: set[str] = set()
        canned = self

        class Handler(BaseHTTPRequestHandler):
            def _answer(self) -> None:
                parts = urlsplit(self.path)
                path = parts.path.removeprefix("/api/v1")
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                canned.asked.append((self.command, path, parse_qs(parts.query), body))
                canned.tokens.add(self.headers["Authorization"])
                found = canned.answers.get(f"{self.command} {path}", (404, {"code": "not_found", "detail": f"nothing at {path}"}))
                status, value = found if isinstance(found, tuple) else (200, found)
                if isinstance(value, list):
                    content = b"".join(json.dumps(line).encode() + b"\n" for line in value)
                elif isinstance(value, bytes):
                    content = value
                else:
                    content = json.dumps(value).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PATCH = do_DELETE = _answer  # noqa: N815 - the base class's names

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def server(tmp_path) -> Iterator[Canned]:
    """A server that knows only what the test tells it."""
    canned = Canned()
    yield canned
    canned.close()


@pytest.fixture
def at(server, tmp_path) -> list[str]:
    """The options that lead a verb to that server."""
    token = tmp_path / "token-of-server"
    token.write_text("secret-of-the-test\n")
    return ["--server", server.url, "--token-file", str(token)]
