"""Mirrors of real repositories, fetched from a real git server: by commit, by ref, and with the forge away."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from commands.answering import Away, Gone
from domain import egress, ids
from domain.repository import Repository, RepositoryRegistered
from domain.webhooks.incoming import Incoming
from infra.egress import Egress
from infra.git import environment
from infra.mirrors import Mirrors

REPOSITORY = ids.repository_id("default", "git", "acme/pay")
CI = ".github/workflows/ci.yml"
LOOPBACK = Egress(egress.networks("127.0.0.0/8"))
"""The forges of the tests are on this machine."""


class Forge:
    """A repository, and `git daemon` in front of it while it is up."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.tree = place / "pay"
        self.tree.mkdir(parents=True)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"git://127.0.0.1:{self.port}/pay"
        self.process: subprocess.Popen[bytes] | None = None
        self.git("init", "--quiet", "--initial-branch=main")
        self.git("config", "uploadpack.allowAnySHA1InWant", "true")

    def git(self, *arguments: str) -> str:
        """Run git in the forge's repository."""
        who = {
            "GIT_AUTHOR_NAME": "A",
            "GIT_AUTHOR_EMAIL": "a@example.invalid",
            "GIT_COMMITTER_NAME": "A",
            "GIT_COMMITTER_EMAIL": "a@example.invalid",
        }
        done = subprocess.run(["git", *arguments], cwd=self.tree, env=environment(who), check=True, capture_output=True)
        return done.stdout.decode().strip()

    def commit(self, **files: str) -> str:
        """Commit these files (with __ for / and _ for .), and return the commit."""
        for name, content in files.items():
            path = self.tree / name.replace("__", "/").replace("_", ".")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", "change")
        return self.git("rev-parse", "HEAD")

    def up(self) -> None:
        """Serve; returns when it listens."""
        listen = ["--listen=127.0.0.1", f"--port={self.port}", f"--base-path={self.place}", "--export-all", "--reuseaddr"]
        self.process = subprocess.Popen(["git", "daemon", *listen], env=environment(), start_new_session=True)
        ends = time.monotonic() + 60
        while time.monotonic() < ends:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)  # another process starts
        raise AssertionError("git daemon does not listen")

    def down(self) -> None:
        """Serve no more."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None


@pytest.fixture
def forge(tmp_path: Path) -> Iterator[Forge]:
    """A forge that is up."""
    made = Forge(tmp_path / "forge")
    made.up()
    yield made
    made.down()


def known(forge: Forge, **changes: Any) -> Repository:
    """The repository as it is registered here."""
    facts: dict[str, Any] = {"full_name": "acme/pay", "provider": "git", "clone_url": forge.url} | changes
    return Repository(RepositoryRegistered(**facts))


def push(sha: str, before: str = "", ref: str = "refs/heads/main") -> Incoming:
    """A push that tells no paths."""
    return Incoming(event="push", repository="acme/pay", ref=ref, sha=sha, payload={"before": before, "after": sha})


async def test_workflow_files_are_those_of_the_events_commit(forge: Forge, tmp_path: Path) -> None:
    """Not those of the branch's newest commit, though that was fetched before; the newest where the event names none."""
    first = forge.commit(_github__workflows__ci_yml="first", README_md="x")
    second = forge.commit(_github__workflows__ci_yml="second")
    mirrors = Mirrors(tmp_path / "mirrors", LOOPBACK)
    newest = await mirrors.read(REPOSITORY, known(forge), push(""))
    older = await mirrors.read(REPOSITORY, known(forge), push(first))
    assert [(commit.sha, [(file.path, file.text) for file in commit.files]) for commit in (newest, older)] == [
        (second, [(CI, "second")]),
        (first, [(CI, "first")]),
    ]
    assert newest.default_branch is None, "the event is of the default branch"


async def test_a_commit_is_fetched_where_the_server_gives_only_refs(forge: Forge, tmp_path: Path) -> None:
    """By its ref, when it cannot be had by its name."""
    forge.git("config", "uploadpack.allowAnySHA1InWant", "false")
    first = forge.commit(a="1")
    forge.commit(a="2")
    found = await Mirrors(tmp_path / "mirrors", LOOPBACK).read(REPOSITORY, known(forge), push(first))
    assert found.sha == first


async def test_changed_paths_come_from_the_commits_where_the_payload_does_not_tell(forge: Forge, tmp_path: Path) -> None:
    """A push from before to after; a pull request from where it left its base; unknown where there is nothing to compare with."""
    text = "on: {push: {paths: [src/**]}}"
    base = forge.commit(_github__workflows__ci_yml=text, src__a="1")
    forge.git("checkout", "--quiet", "-b", "topic")
    head = forge.commit(src__b="1")
    forge.git("checkout", "--quiet", "main")
    tip = forge.commit(docs__c="1")
    mirrors = Mirrors(tmp_path / "mirrors", LOOPBACK)
    pushed = await mirrors.read(REPOSITORY, known(forge), push(tip, base))
    assert pushed.changed == ("docs/c",)
    pull = {"pull_request": {"base": {"sha": tip}, "head": {"sha": head}}}
    event = Incoming(event="pull_request", repository="acme/pay", ref="refs/pull/1/merge", sha=head, payload=pull)
    assert (await mirrors.read(REPOSITORY, known(forge), event)).changed == ("src/b",)
    assert (await mirrors.read(REPOSITORY, known(forge), push(tip, "0" * 40))).changed is None
    assert (await mirrors.read(REPOSITORY, known(forge), push(tip, "1" * 40))).changed is None


async def test_what_listens_to_runs_is_read_on_the_default_branch(forge: Forge, tmp_path: Path) -> None:
    """An event of another branch brings the default branch's files too."""
    main = forge.commit(_github__workflows__ci_yml="main")
    forge.git("checkout", "--quiet", "-b", "topic")
    topic = forge.commit(_github__workflows__ci_yml="topic")
    found = await Mirrors(tmp_path / "mirrors", LOOPBACK).read(REPOSITORY, known(forge), push(topic, ref="refs/heads/topic"))
    assert found.default_branch is not None
    assert (found.files[0].text, found.default_branch.sha, found.default_branch.workflows[0].text) == ("topic", main, "main")


async def test_a_forge_that_is_away_and_a_commit_that_is_gone_are_two_things(forge: Forge, tmp_path: Path) -> None:
    """Away may be there later; what a server that answers does not have is gone. A known commit needs no forge."""
    sha = forge.commit(a="1")
    mirrors = Mirrors(tmp_path / "mirrors", LOOPBACK)
    with pytest.raises(Gone):
        await mirrors.read(REPOSITORY, known(forge), push("1" * 40))
    with pytest.raises(Gone):
        await mirrors.read(REPOSITORY, known(forge), push("", ref="refs/heads/none"))
    assert (await mirrors.read(REPOSITORY, known(forge), push(sha))).sha == sha
    forge.down()
    assert (await mirrors.read(REPOSITORY, known(forge), push(sha))).sha == sha
    with pytest.raises(Away, match="cannot be fetched"):
        await mirrors.read(REPOSITORY, known(forge), push("1" * 40))


@pytest.mark.parametrize("url", ["ext::sh -c 'touch {}'", "file://{}", "{}"])
async def test_no_helper_and_no_file_of_the_machine_is_fetched_from(url: str, forge: Forge, tmp_path: Path) -> None:
    """Even where such a URL got into the log: git is told which protocols it may speak."""
    forge.commit(a="1")
    target = tmp_path / "touched"
    repository = known(forge, clone_url=url.format(target if url.startswith("ext") else forge.tree))
    with pytest.raises(Away):
        await Mirrors(tmp_path / "mirrors", LOOPBACK).read(REPOSITORY, repository, push(""))
    assert not target.exists()


async def test_a_local_repository_is_read_from_its_directory(forge: Forge, tmp_path: Path) -> None:
    """Where it is registered as local, a path is its URL."""
    sha = forge.commit(a="1")
    repository = known(forge, provider="local", clone_url=str(forge.tree))
    assert (await Mirrors(tmp_path / "mirrors", LOOPBACK).read(REPOSITORY, repository, push(""))).sha == sha
