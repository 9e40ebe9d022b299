"""Statuses told to a real HTTP server in a forge's place, which keeps what it was sent and answers as the test says."""

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from commands.statuses import NotTold, Report
from domain.repository import RepositoryRegistered
from infra.forges import CALLS, ForgeStatuses, place_of

SHA = "0123456789abcdef0123456789abcdef01234567"
REPORT = Report(SHA, "ledgermill/ci (push)", "failure", "Run #7: failure", "https://ci.example.org/api/v1/runs/1")
TOKEN = "the-token-of-the-forge"


class Forge:
    """Keeps (path, headers, body) of each request. answers: (status, headers, body) of the next ones, then 201."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, str], Any]] = []
        self.answers: list[tuple[int, dict[str, str], Any]] = []
        told = self

        class Handler(BaseHTTPRequestHandler):
            """One request."""

            def do_POST(self) -> None:
                """Keep it, and answer."""
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                told.requests.append((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
                status, headers, content = told.answers.pop(0) if told.answers else (201, {}, {})
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(json.dumps(content).encode())

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def close(self) -> None:
        """End the server."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def forge() -> Iterator[Forge]:
    """A forge that is up."""
    made = Forge()
    yield made
    made.close()


def keep(tokens: Path, host: str, tenant: str = "default", token: str = TOKEN) -> ForgeStatuses:
    """A directory with one token."""
    (tokens / tenant).mkdir(parents=True, exist_ok=True)
    (tokens / tenant / host).write_text(f"{token}\n")
    return ForgeStatuses(tokens)


def facts(provider: str, url: str) -> RepositoryRegistered:
    """A repository."""
    return RepositoryRegistered("acme/pay", provider, url)


@pytest.mark.parametrize(
    ("provider", "expected"),
    [
        ("github", (f"/api/v3/repos/acme/pay/statuses/{SHA}", "authorization", f"Bearer {TOKEN}", "failure")),
        ("gitea", (f"/api/v1/repos/acme/pay/statuses/{SHA}", "authorization", f"token {TOKEN}", "failure")),
        ("gitlab", (f"/api/v4/projects/acme%2Fpay/statuses/{SHA}", "private-token", TOKEN, "failed")),
    ],
)
async def test_each_forge_is_told_as_it_documents(forge: Forge, tmp_path: Path, provider: str, expected: tuple[str, ...]) -> None:
    """Path, token and body of the request."""
    path, name, value, state = expected
    statuses = keep(tmp_path, forge.host)
    await statuses.tell("default", facts(provider, f"http://{forge.host}/acme/pay.git"), REPORT)
    ((asked, headers, body),) = forge.requests
    assert (asked, headers[name], headers["content-type"]) == (path, value, "application/json")
    assert body == {"state": state, "target_url": REPORT.url, "description": REPORT.description, "context": REPORT.context}


@pytest.mark.parametrize(
    ("provider", "url", "place", "api"),
    [
        ("github", "https://github.com/acme/pay.git", "github.com", "https://api.github.com/repos/"),
        ("github", "git@github.com:acme/pay.git", "github.com", "https://api.github.com/repos/"),
        ("github", "https://acme.ghe.com/acme/pay", "acme.ghe.com", "https://api.acme.ghe.com/repos/"),
        ("github", "ssh://git@github.example:22/acme/pay", "github.example", "https://github.example/api/v3/repos/"),
        ("gitea", "https://host.example:3000/git/acme/pay.git", "host.example:3000", "https://host.example:3000/git/api/v1/repos/"),
        ("gitlab", "git://host.example/acme/pay", "host.example", "https://host.example/api/v4/projects/"),
    ],
)
def test_the_api_is_found_by_the_clone_url(provider: str, url: str, place: str, api: str) -> None:
    """The cloud's own hosts, and servers of one's own, below a path too."""
    assert place_of(facts(provider, url))[0] == place
    assert CALLS[provider](facts(provider, url), REPORT).url.startswith(api)


async def test_a_refusal_tells_whether_to_try_again_and_no_token(forge: Forge, tmp_path: Path) -> None:
    """Later, where the forge is broken, busy or does not take the token; never, where it says that there is no such commit."""
    statuses = keep(tmp_path, forge.host)
    repository = facts("github", f"http://{forge.host}/acme/pay")
    elsewhere = {"Location": "http://127.0.0.1:1/"}
    forge.answers = [
        (503, {}, {}),
        (429, {"Retry-After": "90"}, {}),
        (401, {}, {"message": f"bad token {TOKEN}"}),
        (422, {}, {"message": "No commit found"}),
        (307, elsewhere, {}),
    ]
    told = []
    for _ in range(5):
        with pytest.raises(NotTold) as refused:
            await statuses.tell("default", repository, REPORT)
        told.append((refused.value.final, refused.value.pause_seconds))
        assert TOKEN not in str(refused.value)
    assert told == [(False, 0), (False, 90), (False, 0), (True, 0), (True, 0)]
    assert len(forge.requests) == 5


async def test_gitlab_has_what_it_was_told_before(forge: Forge, tmp_path: Path) -> None:
    """It refuses the state that it is in; that is as good as taking it."""
    statuses = keep(tmp_path, forge.host)
    forge.answers = [(400, {}, {"message": "Cannot transition status via :enqueue from :pending"}), (400, {}, {"message": "bad sha"})]
    repository = facts("gitlab", f"http://{forge.host}/acme/pay")
    await statuses.tell("default", repository, REPORT)
    with pytest.raises(NotTold, match="answered 400: bad sha"):
        await statuses.tell("default", repository, REPORT)


async def test_a_forge_that_nobody_hears_of_may_be_there_later(tmp_path: Path) -> None:
    """Nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(NotTold, match="cannot be reached") as refused:
            await keep(tmp_path, host).tell("default", facts("gitea", f"http://{host}/acme/pay"), REPORT)
    assert not refused.value.final


def test_a_token_is_its_tenants_and_its_hosts(tmp_path: Path) -> None:
    """No other tenant's repository is told with it, nor one elsewhere; a name leads out of the directory nowhere."""
    statuses = keep(tmp_path / "tokens", "github.com")
    (tmp_path / "x").write_text("x")
    here = facts("github", "https://github.com/acme/pay")
    assert [statuses.knows(tenant, here) for tenant in ("default", "other", "..", "")] == [True, False, False, False]
    for url in ("https://gitea.example/acme/pay", "https://../acme/pay", "..:acme/pay", "https://github.com:1/acme/pay"):
        assert not statuses.knows("default", facts("github", url))
    assert not ForgeStatuses(None).knows("default", here)
