"""Repositories over git's smart HTTP, asked by real git clients and checked out by real runners."""

import asyncio
import gzip
import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from infra import snapshot
from runner import wire
from runner.agent import Agent, Options
from runner.server import Certificates, Server, tls
from tests.gateway.conftest import Answer, Gateway, serving
from tests.gateway.test_tls import secured
from tests.gateway.test_webhooks import JOBS, PUSH, SECRET, answered, deliver
from tests.infra.test_mirrors import Forge

INFO = "/acme/pay/info/refs?service=git-upload-pack"
WAIT_SECONDS = 60


async def git(*arguments: str, directory: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """A git client that knows nothing of this machine and asks nobody."""
    quiet = {"GIT_TERMINAL_PROMPT": "0", "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    return await asyncio.to_thread(
        subprocess.run, ["git", *arguments], cwd=directory, env=os.environ | quiet | variables, capture_output=True, text=True, check=False
    )


def place(gateway: Gateway, token: str | None = None, name: str = "acme/pay") -> str:
    """Where a client finds a repository, with its token."""
    parts = urlsplit(gateway.url)
    return f"{parts.scheme}://x-access-token:{token or gateway.tokens['admin']}@{parts.netloc}/{name}"


async def register(gateway: Gateway, forge: Forge, full_name: str = "acme/pay", role: str = "admin") -> None:
    """Make a forge's repository known."""
    body = {"full_name": full_name, "provider": "github", "clone_url": forge.url, "webhook_secret": SECRET}
    answer = await gateway.request("POST", "/api/v1/repositories", body, role)
    assert answer.status == 201, answer.json


async def pushed(gateway: Gateway, forge: Forge, jobs: str = JOBS) -> str:
    """The second of three commits, whose push was answered; the forge is away afterwards."""
    forge.commit(file="one", _github__workflows__ci_yml=f"on: push\n{jobs}")
    commit = forge.commit(file="two")
    forge.git("tag", "v1", commit)
    forge.commit(file="three")
    await register(gateway, forge)
    forge.up()
    try:
        taken = await deliver(gateway, "push", PUSH | {"after": commit})
        assert len((await answered(gateway, taken.json["delivery"]))["runs"]) == 1
    finally:
        forge.down()
    return commit


@pytest.fixture
def forge(tmp_path: Path) -> Forge:
    """A repository of a forge, which is not up."""
    return Forge(tmp_path / "forge")


@pytest.mark.timeout(180)
async def test_clients_get_commits_from_the_mirror_and_branches_from_the_forge(gateway: Gateway, forge: Forge, tmp_path: Path) -> None:
    """The event's commit with the forge away, deep as asked; another commit and branches once it is there; what was known when it goes."""
    sha = await pushed(gateway, forge)
    assert (await git("init", "--quiet", str(tmp_path / "work"), directory=tmp_path)).returncode == 0
    fetch = ("fetch", "--quiet", "--no-tags", "--depth=1")
    done = await git(*fetch, f"{place(gateway)}.git", f"+{sha}:refs/remotes/origin/main", directory=tmp_path / "work")
    assert done.returncode == 0, done.stderr
    shown = await git("show", f"{sha}:file", directory=tmp_path / "work")
    assert shown.stdout == "two"
    away = await git("clone", "--quiet", place(gateway), str(tmp_path / "none"), directory=tmp_path)
    assert away.returncode != 0
    assert f"remote error: {forge.url} cannot be fetched from" in away.stderr
    later = forge.commit(file="four")
    forge.up()
    try:
        for version in ("0", "1", "2"):
            asked = ("-c", f"protocol.version={version}", *fetch, place(gateway), f"+{later}:refs/remotes/origin/later")
            done = await git(*asked, directory=tmp_path / "work")
            assert done.returncode == 0, done.stderr
        for name in ("clone", "again"):  # the second one without the forge
            done = await git("clone", "--quiet", place(gateway), str(tmp_path / name), directory=tmp_path)
            assert done.returncode == 0, done.stderr
            facts = await git("log", "-1", "--format=%H %D", directory=tmp_path / name)
            assert facts.stdout.strip() == f"{later} HEAD -> main, origin/main, origin/HEAD"
            assert (await git("tag", directory=tmp_path / name)).stdout == "v1\n"
            forge.down()
    finally:
        forge.down()
    nowhere = await git(*fetch, place(gateway), "0" * 39 + "1", directory=tmp_path / "clone")
    assert nowhere.returncode != 0


async def test_who_may_fetch_and_that_nobody_pushes(gateway: Gateway, forge: Forge, tmp_path: Path) -> None:
    """No token and a wrong one 401 with a challenge, a runner's 403, another tenant's 404, a push and the old protocol 403."""
    sha = await pushed(gateway, forge)
    nobody = await gateway.request("GET", INFO, role=None)
    assert (nobody.status, nobody.headers["WWW-Authenticate"]) == (401, 'Basic realm="Ledgermill"')
    assert (await gateway.request("GET", INFO, role="runner")).json["code"] == "wrong_role"
    made = await gateway.request("POST", "/api/v1/tokens", {"name": "x", "role": "admin", "tenant": "other"})
    gateway.tokens["other"] = made.json["token"]
    refused = [
        await gateway.request("GET", INFO, role="other"),
        await gateway.request("GET", INFO.replace("pay", "none")),
        await gateway.request("POST", "/acme/pay/git-upload-pack", b"0000", role="other"),
        await gateway.request("GET", INFO.replace("upload", "receive")),
        await gateway.request("POST", "/acme/pay/git-receive-pack", b""),
        await gateway.request("GET", "/acme/pay/info/refs"),
        await gateway.request("GET", "/acme/pay/git-upload-pack"),
    ]
    codes = [answer.json["code"] for answer in refused]
    assert codes == [*["repository_not_found"] * 3, *["read_only"] * 2, "smart_http_only", "method_not_allowed"]
    wrong = await git("ls-remote", place(gateway, "lmt_wrong"), directory=tmp_path)
    assert (wrong.returncode, sha in wrong.stdout, "Authentication failed" in wrong.stderr) == (128, False, True)
    push = await git("push", place(gateway), "HEAD:refs/heads/mine", directory=forge.tree)
    assert (push.returncode, "403" in push.stderr) == (128, True)


async def test_a_bomb_and_rubbish_are_refused(gateway: Gateway, forge: Forge) -> None:
    """A gzipped body may be as long as a plain one; what is no gzip, and what git does not understand, is told."""
    await pushed(gateway, forge)
    path = "/acme/pay/git-upload-pack"
    bomb = gzip.compress(b" " * (9 * 1024 * 1024))
    assert (await gateway.request("POST", path, bomb, Content_Encoding="gzip")).status == 413
    assert (await gateway.request("POST", path, b"x", Content_Encoding="gzip")).json["code"] == "bad_gzip"
    assert (await gateway.request("POST", path, b"x", Content_Encoding="br")).json["code"] == "unknown_encoding"
    assert (await gateway.request("POST", path, b"rubbish")).json["code"] == "bad_git_request"


@pytest.mark.timeout(180)
async def test_a_path_of_the_servers_machine_is_the_operators_alone(gateway: Gateway, tmp_path: Path) -> None:
    """Another tenant's maintainer may say what is where: it is served nothing of it; nor is what lies beside the snapshots fetched."""
    secret = Forge(tmp_path / "elsewhere")
    secret.commit(file="on the default branch, which is read for schedules")
    secret.git("checkout", "--quiet", "-b", "other")
    sha = secret.commit(file="secret")
    made = await gateway.request("POST", "/api/v1/tokens", {"name": "x", "role": "admin", "tenant": "other"})
    gateway.tokens["other"] = made.json["token"]
    for role in ("other", "admin"):
        body = {"full_name": "acme/local", "provider": "local", "clone_url": str(secret.tree)}
        assert (await gateway.request("POST", "/api/v1/repositories", body, role)).status == 201
        token = gateway.tokens[role]
        await git("init", "--quiet", str(tmp_path / role), directory=tmp_path)
        done = await git("fetch", "--quiet", place(gateway, token, "acme/local"), sha, directory=tmp_path / role)
        assert done.returncode != 0
        assert ("not found" in done.stderr) == (role == "other")


async def test_a_running_job_reads_its_own_repository_with_its_own_credential(gateway: Gateway, forge: Forge, tmp_path: Path) -> None:
    """No other, nothing else, and nothing any more once it is over."""
    await pushed(gateway, forge, JOBS.replace("nobody-has-this", "linux"))
    other = Forge(tmp_path / "other")
    other.commit(file="x")
    await register(gateway, other, "acme/other")
    runner = await gateway.runner()
    job = await runner.acquire()
    assert (job.source.path, job.source.url) == ("/acme/pay", forge.url)
    gateway.tokens["job"] = job.source.token
    await git("init", "--quiet", str(tmp_path / "work"), directory=tmp_path)
    fetch = ("fetch", "--quiet", "--depth=1", "--no-tags", place(gateway, job.source.token), job.source.sha)
    done = await git(*fetch, directory=tmp_path / "work")
    assert done.returncode == 0, done.stderr
    assert (await gateway.request("GET", INFO.replace("pay", "other"), role="job")).status == 404
    assert (await gateway.request("GET", "/api/v1/runs", role="job")).json["code"] == "wrong_role"
    message = wire.Renew(**runner.fence(job))
    assert (await gateway.request("POST", f"/runner/v1/jobs/{job.job}/renew", message, "job")).json["code"] == "wrong_role"
    gateway.tokens["forged"] = job.source.token[:-2] + ("AA" if job.source.token[-2:] != "AA" else "BB")
    assert (await gateway.request("GET", INFO, role="forged")).status == 401
    await runner.work(job)
    assert (await gateway.request("GET", INFO, role="job")).status == 401
    history = b"".join(str(event.data).encode() for event in await gateway.history(job.run))
    assert job.source.token.encode() not in history


def serving_processes(mirrors: Path) -> list[str]:
    """The git processes that serve these mirrors."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            said = (process / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"upload-pack" in said and any(str(mirrors).encode() in word for word in said):
            found.append(process.name)
    return found


async def until(condition: Callable[[], bool]) -> None:
    """Wait for other processes."""
    async with asyncio.timeout(WAIT_SECONDS):
        while not condition():
            await asyncio.sleep(0.02)  # there is nothing to wait on in a process that is not ours


@pytest.mark.timeout(180)
async def test_a_client_that_takes_nothing_holds_git_back_and_its_going_ends_git(gateway: Gateway, forge: Forge, tmp_path: Path) -> None:
    """What it does not take is not made: git waits in the middle of a pack; when the client closes, git is killed, whatever it does."""
    (forge.tree / "big").write_bytes(os.urandom(16 * 1024 * 1024))
    sha = await pushed(gateway, forge)
    mirrors = tmp_path / "data" / "mirrors"
    parts = urlsplit(gateway.url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port, limit=1024)
    lines = ("command=fetch", None, "no-progress", f"want {sha}", "done")
    packets = "".join("0001" if line is None else f"{len(line) + 5:04x}{line}\n" for line in lines) + "0000"
    head = f"POST /acme/pay/git-upload-pack HTTP/1.1\r\nHost: x\r\nGit-Protocol: version=2\r\nContent-Length: {len(packets)}\r\n"
    writer.write(f"{head}Authorization: Bearer {gateway.tokens['admin']}\r\n\r\n{packets}".encode())
    assert b" 200 " in await reader.readline()
    await until(lambda: len(serving_processes(mirrors)) == 1)
    (process,) = serving_processes(mirrors)

    def written() -> int:
        counters = dict(line.split(": ") for line in Path(f"/proc/{process}/io").read_text().splitlines())
        return int(counters["wchar"])

    before = -1
    while written() != before:  # it goes on until the pipe and the sockets are full
        before = written()
        await asyncio.sleep(0.5)  # a look at another process
    assert 0 < before < 12 * 1024 * 1024
    assert serving_processes(mirrors) == [process]
    os.kill(int(process), signal.SIGSTOP)  # git says nothing more, and nobody waits for that
    writer.transport.abort()
    await until(lambda: not serving_processes(mirrors))


STEPS = """\
jobs:
  only:
    runs-on: linux
    steps:
      - uses: actions/checkout@v4
      - run: cat file; echo; git config remote.origin.url; git config remote.origin.pushurl || true
      - run: |
          env -u GIT_SSL_CAINFO git fetch --quiet --no-tags --depth=2 origin $GITHUB_SHA && git rev-list --count HEAD
          cat "$(git config include.path)"
      - uses: actions/checkout@v4
        with: {path: again, persist-credentials: false}
      - run: cd again && git config --get-regexp include || echo nothing kept
"""


@asynccontextmanager
async def agent(gateway: Gateway, work: Path, certificates: Certificates = Certificates()) -> AsyncIterator[None]:  # noqa: B008 - frozen
    """A real runner, in this process."""
    server = Server(gateway.url, lambda: gateway.tokens["runner"], tls(gateway.url, certificates.ca_file), certificates)
    running = asyncio.ensure_future(Agent(Options(server=server, name="far", labels=("linux",), slots=1, work=work)).run())
    try:
        yield
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def newest(gateway: Gateway, path: str) -> Answer:
    """What the views show when they show all that is in the log."""
    return await gateway.request("GET", f"{path}?at_least={await gateway.store.head()}")


async def checked_out(gateway: Gateway, run: str) -> str:
    """The log of the run's only job once it is over, which it is with success."""
    async with asyncio.timeout(WAIT_SECONDS):
        while (shown := await newest(gateway, f"/api/v1/runs/{run}")).json["conclusion"] is None:
            await asyncio.sleep(0.05)  # another task of the server
    jobs = await newest(gateway, f"/api/v1/runs/{run}/jobs")
    async with gateway.session.get(f"{gateway.url}/api/v1/jobs/{jobs.json['items'][0]['id']}/logs", headers=gateway.headers()) as response:
        said = await response.text()
    assert shown.json["conclusion"] == "success", said
    return said


@pytest.mark.timeout(180)
async def test_a_runner_elsewhere_checks_out_a_repository_whose_forge_is_away(postgres_url: str, forge: Forge, tmp_path: Path) -> None:
    """Over TLS by the runner's own authority, with the job's credential, which no line of the log shows; pushes go to the forge."""
    async with secured(postgres_url, tmp_path) as (gateway, authority):
        await pushed(gateway, forge, STEPS)
        (run,) = (await newest(gateway, "/api/v1/runs")).json["items"]
        async with agent(gateway, tmp_path / "work", Certificates(str(authority.file))):
            said = await checked_out(gateway, run["id"])
    lines = said.split("\n")
    for line in ("two", f"{gateway.url}/acme/pay", forge.url, "2", "nothing kept"):
        assert line in lines, said
    assert any("Authorization: Basic " in line and line.endswith('***"') for line in lines)
    assert "lmj_" not in said


@pytest.mark.timeout(180)
async def test_a_runner_without_the_servers_files_checks_out_a_work_tree(postgres_url: str, tmp_path: Path) -> None:
    """A snapshot of local changes; its path is gone for the runner, and the server has it in its mirror."""
    tree = Forge(tmp_path / "tree")
    tree.commit(file="one")
    tree.commit(file="before")
    (tree.tree / "file").write_text("two")
    async with serving(postgres_url, tmp_path / "data") as gateway:
        taken = await asyncio.to_thread(snapshot.take, tree.tree, tmp_path / "data")
        facts = {"full_name": "local/pay", "provider": "local", "clone_url": str(taken.mirror)}
        text = f"on: push\n{STEPS}".replace("|| true", "|| echo the same")
        body: dict[str, Any] = {"workflow": text, "repository": facts, "source_url": str(taken.mirror), "sha": taken.sha}
        run = (await gateway.trigger(**body)).json["runs"][0]["run_id"]
        await git("init", "--quiet", str(tmp_path / "work"), directory=tmp_path)
        done = await git("fetch", "--quiet", place(gateway, name="local/pay"), taken.sha, directory=tmp_path / "work")
        assert done.returncode == 0, done.stderr
        shutil.rmtree(tmp_path / "data" / "git")
        async with agent(gateway, tmp_path / "runner"):
            said = await checked_out(gateway, run)
    for line in ("two", f"{gateway.url}/local/pay", "the same", "2", "nothing kept"):
        assert line in said.split("\n"), said


async def test_git_finds_it_by_the_name_that_actions_are_given(gateway: Gateway, forge: Forge, tmp_path: Path) -> None:
    """`hub.localhost` is this machine to git's HTTP library, whatever the resolver says."""
    sha = await pushed(gateway, forge)
    await git("init", "--quiet", str(tmp_path / "work"), directory=tmp_path)
    url = place(gateway).replace("127.0.0.1", "hub.localhost")
    done = await git("fetch", "--quiet", "--depth=1", "--no-tags", url, sha, directory=tmp_path / "work")
    assert done.returncode == 0, done.stderr
