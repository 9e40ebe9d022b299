"""How git gets to a repository: held to an address that may be connected to, with the credential of its tenant and no other."""

import base64
import http.server
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from commands.answering import Away
from domain import egress, ids
from domain.repository import Repository, RepositoryRegistered
from infra import clone_route
from infra.clone_credentials import CloneCredentials, CredentialError, opens
from infra.clone_route import SSH, route
from infra.egress import Egress, Refused
from infra.git import git
from infra.mirrors import Mirrors
from tests.infra.test_mirrors import CI, LOOPBACK, Forge, push

NOWHERE = Egress()
TOKEN = "the-token-of-acme"


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:{port}/pay",
        "http://localhost:{port}/pay",
        "http://2130706433:{port}/pay",
        "http://[::1]:{port}/pay",
        "http://169.254.169.254/latest",
        "https://127.1:{port}/pay",
        "git://127.0.0.1:{port}/pay",
        "ssh://git@127.0.0.1:{port}/pay",
        "ssh://127.0.0.1/pay",
        "git@127.0.0.1:pay",
        "localhost:pay",
        "http://local%68ost:{port}/pay",
        "http://localhost.:{port}/pay",
        "http://-oProxyCommand=x/pay",
        "ssh://-oProxyCommand=x/pay",
        "ext::sh -c true",
        "file:///etc",
        "/etc",
    ],
)
def test_what_is_not_public_is_not_fetched_from(url: str) -> None:
    """By any scheme, however it is written."""
    with pytest.raises((Refused, OSError)):
        route(NOWHERE, url.format(port=1))


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """What names lead to."""
    known = {"forge.example": ["8.8.8.8", "10.0.0.1", "2606:4700::1111"]}
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda host, port, **_: [(0, 1, 6, "", (address, port)) for address in known.get(host, [host])]
    )
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return known


def test_git_is_held_to_the_address_that_was_judged(names: dict[str, list[str]]) -> None:
    """Over each scheme in its own way; the name stays what certificates and host keys are for."""
    found = route(NOWHERE, "https://forge.example/acme/pay.git")
    assert found.url == "https://forge.example/acme/pay.git"
    assert found.config == {"http.followRedirects": "false", "http.curloptResolve": "forge.example:443:8.8.8.8,2606:4700::1111"}
    assert route(NOWHERE, "http://forge.example:8080/x").config["http.curloptResolve"] == "forge.example:8080:8.8.8.8,2606:4700::1111"
    assert route(NOWHERE, "git://forge.example/acme/pay").url == "git://8.8.8.8:9418/acme/pay"
    for url in ("ssh://git@forge.example/acme/pay", "ssh://git@forge.example:22/acme/pay", "git@forge.example:acme/pay"):
        assert (route(NOWHERE, url).url, route(NOWHERE, url).ssh) == (url, f"{SSH} -oHostName=8.8.8.8 -oHostKeyAlias=forge.example")
    assert route(NOWHERE, "ssh://git@forge.example:2222/x").ssh == f"{SSH} -oHostName=8.8.8.8 -oHostKeyAlias=[forge.example]:2222"
    names["forge.example"] = ["10.0.0.1"]
    with pytest.raises(Refused, match=r"forge\.example"):
        route(NOWHERE, "https://forge.example/acme/pay.git")
    assert "10.0.0.1" in route(Egress(egress.networks("10.0.0.0/8")), "https://forge.example/x").config["http.curloptResolve"]


def test_a_proxy_of_the_operator_looks_up_names_itself(names: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    """Redirections are not followed there either, and an address is judged all the same."""
    names["forge.example"] = []
    monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
    assert route(NOWHERE, "https://forge.example/x").config == {"http.followRedirects": "false"}
    with pytest.raises(Refused):
        route(NOWHERE, "https://10.0.0.1/x")


def test_a_git_that_cannot_be_held_fetches_nothing(names: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    """Rather than from wherever the name leads to by then."""
    assert clone_route.git_version() >= (2, 0)
    monkeypatch.setattr(clone_route, "git_version", lambda: (2, 30))
    with pytest.raises(Refused, match=r"git 2\.37"):
        route(NOWHERE, "https://forge.example/x")


class WebForge:
    """Serves a repository over plain HTTP to who knows the token.

    seen: the paths; leaked: arguments of processes in which the token stood; asked_by: those of git.
    """

    def __init__(self, forge: Forge) -> None:
        self.seen: list[str] = []
        self.leaked: list[str] = []
        self.asked_by: list[str] = []
        self.elsewhere = ""
        basic = base64.b64encode(f"x-access-token:{TOKEN}".encode()).decode()
        git("update-server-info", directory=forge.tree)
        served = self

        class Handler(http.server.SimpleHTTPRequestHandler):
            timeout = 30

            def __init__(self, *given: Any) -> None:
                super().__init__(*given, directory=str(forge.tree / ".git"))

            def do_GET(self) -> None:
                served.look(basic)
                served.seen.append(self.path)
                self.path = self.path.removeprefix("/pay")
                given = self.headers.get("Authorization")
                if served.elsewhere:
                    self.send_response(302)
                    self.send_header("Location", served.elsewhere + self.path)
                    self.end_headers()
                elif given != f"Basic {basic}":
                    self.send_response(401)
                    self.send_header("WWW-Authenticate", "Basic")
                    self.end_headers()
                else:
                    super().do_GET()

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = False  # then closing waits for them, and they for their sockets
        self.url = f"http://127.0.0.1:{self.server.server_port}/"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def look(self, basic: str) -> None:
        """At the arguments of all processes, while git runs."""
        for each in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                arguments = each.read_text(errors="replace")
            except OSError:
                continue
            if "git" in arguments:
                self.asked_by.append(arguments)
            if TOKEN in arguments or basic in arguments:
                self.leaked.append(arguments)

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def web(tmp_path: Path) -> Iterator[WebForge]:
    """A private repository with one workflow file."""
    forge = Forge(tmp_path / "forge")
    forge.commit(_github__workflows__ci_yml="on: push")
    served = WebForge(forge)
    yield served
    served.close()


def credentials(tmp_path: Path, text: str) -> CloneCredentials:
    """The operator's file, and a token beside it."""
    (tmp_path / "token").write_text(TOKEN + "\n")
    file = tmp_path / "credentials.toml"
    file.write_text(text.format(token=tmp_path / "token"))
    return CloneCredentials(file)


ENTRY = '[[credential]]\nurl = "{url}"\ntoken_file = "{{token}}"\n'


async def read(mirrors: Mirrors, url: str, tenant: str = "default") -> Any:
    """The newest commit of the branch, as a tenant's repository."""
    facts = RepositoryRegistered("acme/pay", "git", url)
    return await mirrors.read(ids.repository_id(tenant, "git", "acme/pay"), Repository(facts), push(""))


async def test_a_private_repository_is_fetched_by_its_tenants_token(web: WebForge, tmp_path: Path) -> None:
    """It stands in no argument of any process; another tenant's repository at the same URL is not opened."""
    mirrors = Mirrors(tmp_path / "mirrors", LOOPBACK, credentials(tmp_path, ENTRY.format(url=web.url)))
    found = await read(mirrors, web.url + "pay")
    assert [(file.path, file.text) for file in found.files] == [(CI, "on: push")]
    assert web.asked_by, "git was looked at while it ran"
    assert web.leaked == []
    assert TOKEN not in "".join(path.read_text(errors="replace") for path in (tmp_path / "mirrors").rglob("*") if path.is_file())
    with pytest.raises(Away) as away:
        await read(mirrors, web.url + "pay", "acme")
    assert TOKEN not in str(away.value)


async def test_a_redirection_is_not_followed(web: WebForge, tmp_path: Path) -> None:
    """It may lead to where nobody may connect; and the token would go along."""
    other = http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
    heard: list[Any] = []
    other.process_request = lambda *given: heard.append(given)  # type: ignore[method-assign]  # it only has to hear
    threading.Thread(target=other.serve_forever, args=(0.01,), daemon=True).start()
    web.elsewhere = f"http://127.0.0.1:{other.server_port}"
    try:
        with pytest.raises(Away, match="redirections are not followed"):
            await read(Mirrors(tmp_path / "mirrors", LOOPBACK), web.url + "pay")
    finally:
        other.shutdown()
        other.server_close()
    assert web.seen
    assert heard == []


async def test_a_forge_on_this_machine_is_refused_unless_the_operator_allows_it(web: WebForge, tmp_path: Path) -> None:
    """The forge hears nothing, and the reason names the setting."""
    with pytest.raises(Away, match="LEDGERMILL_ALLOWED_NETWORKS"):
        await read(Mirrors(tmp_path / "mirrors"), web.url + "pay")
    assert web.seen == []


def test_the_longest_entry_that_fits_counts_and_the_token_may_be_a_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read anew each time."""
    text = (
        '[[credential]]\nurl = "https://a.example/"\ntoken_file = "{token}"\n'
        '[[credential]]\nurl = "https://a.example/acme"\nusername = "bot"\ntoken_env = "FORGE_TOKEN"\n'
        '[[credential]]\nurl = "https://a.example/"\ntenant = "acme"\ntoken_file = "{token}"\n'
    )
    known = credentials(tmp_path, text)
    monkeypatch.setenv("FORGE_TOKEN", "other")

    def shown(url: str, tenant: str = "default") -> str:
        (value,) = known.config(url, lambda each: each == tenant).values()
        return base64.b64decode(value.rpartition(" ")[2]).decode()

    assert shown("https://a.example/x/y.git") == f"x-access-token:{TOKEN}"
    assert shown("https://a.example/acme/y.git") == "bot:other"
    assert shown("https://a.example/acme/y.git", "acme") == f"x-access-token:{TOKEN}"
    assert list(known.config("https://a.example/x", lambda _: True)) == ["http.https://a.example/x.extraHeader"]
    assert known.config("https://a.example/x", lambda _: False) == {}
    (tmp_path / "token").write_text("newer")
    assert shown("https://a.example/x/y.git") == "x-access-token:newer"


@pytest.mark.parametrize(
    "url",
    [
        "https://forge.example/acme2/pay",
        "https://forge.example/acm",
        "https://forge.example/acme/../other/pay",
        "https://forge.example/acme/%2e%2e/other/pay",
        "https://forge.example/acme/..%2fother/pay",
        "https://forge.example/acme/./pay",
        "https://forge.example/acme\\..\\other",
        "https://forge.example:8443/acme/pay",
        "https://forge.example.evil.example/acme/pay",
        "http://forge.example/acme/pay",
        "ssh://forge.example/acme/pay",
        "git@forge.example:acme/pay",
        "https://[/acme",
    ],
)
def test_an_entry_opens_nothing_beside_it(url: str) -> None:
    """Other paths, hosts, ports and schemes, and ways around."""
    assert opens("https://forge.example/acme", "https://forge.example/acme/pay.git")
    assert opens("https://forge.example/acme/", "https://FORGE.example/acme/pay.git")
    assert not opens("https://forge.example/acme", url)
    assert not opens("https://forge.example/acme/", url)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("no toml", "cannot be read"),
        ('[[credential]]\ntoken = "secret-by-mistake"', "cannot be read"),
        ('[[credential]]\nurl = "https://a.example/"', "one of token_file and token_env"),
        ('[[credential]]\nurl = "https://a.example/"\ntoken_file = "{token}"\ntoken_env = "X"', "one of token_file and token_env"),
        ('[[credential]]\nurl = "https://a.example/"\ntoken_file = "/nowhere/token"', "/nowhere/token"),
        ('[[credential]]\nurl = "https://a.example/"\ntoken_env = "NOT_SET_ANYWHERE"', "NOT_SET_ANYWHERE is empty"),
    ],
)
def test_a_file_that_cannot_be_read_is_told_without_its_content(text: str, words: str, tmp_path: Path) -> None:
    """The operator reads it where deliveries wait."""
    with pytest.raises(CredentialError, match=words) as told:
        credentials(tmp_path, text).config("https://a.example/x", lambda _: True)
    assert "secret-by-mistake" not in str(told.value)
    with pytest.raises(CredentialError, match="LEDGERMILL_CLONE_CREDENTIALS"):
        CloneCredentials(tmp_path / "none").config("https://a.example/x", lambda _: True)
