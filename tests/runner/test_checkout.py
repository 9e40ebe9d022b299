"""The built-in actions/checkout, with real git repositories."""

import os
import subprocess
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from runner_test_gateway import job, step

from runner import wire, workspace
from runner.actions import checkout as action
from runner.server import Certificates, Server


class Repository:
    """A bare mirror with three commits on main, a tag and a branch."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.git("init", "--quiet", "--initial-branch=main", str(folder))
        self.commits = [self.commit(str(number)) for number in range(3)]
        self.git("tag", "v1", self.commits[0])
        self.git("branch", "feature", self.commits[1])
        self.git("update-ref", "refs/pull/7/merge", self.commits[1])

    def git(self, *arguments: str) -> str:
        """Run git as nobody in particular."""
        environment = os.environ | {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
        identity = {f"GIT_{who}_{what}": f"{who}@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        place = self.folder if self.folder.exists() else self.folder.parent
        return subprocess.run(
            ["git", *arguments], cwd=place, env=environment | identity, check=True, capture_output=True, text=True
        ).stdout.strip()

    def commit(self, text: str) -> str:
        """A commit that changes one file."""
        (self.folder / "file").write_text(text + "\n")
        self.git("add", "file")
        self.git("commit", "--quiet", "--message", text)
        return self.git("rev-parse", "HEAD")

    def source(self, number: int = 2, ref: str = "refs/heads/main") -> wire.Source:
        """The run's own commit."""
        return wire.Source(url=str(self.folder), sha=self.commits[number], ref=ref)


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """A repository to check out."""
    return Repository(tmp_path / "mirror")


def checkout(index: int = 0, **inputs: Any) -> Any:
    """The step."""
    return step(index, None, uses="actions/checkout@v4", id="co", with_={name.replace("_", "-"): value for name, value in inputs.items()})


async def test_the_runs_own_commit_is_checked_out_on_its_branch(bench: Any, repository: Repository) -> None:
    """One commit deep, with the outputs of the original."""
    message = job(
        checkout(),
        "cat file; git rev-list --count HEAD; git symbolic-ref --short HEAD; git status --porcelain",
        outputs={"ref": "${{ steps.co.outputs.ref }}", "commit": "${{ steps.co.outputs.commit }}"},
        source=repository.source(),
    )
    report = await bench.run(message)
    assert report.conclusion == "success", bench.gateway.text(message.job)
    assert bench.gateway.text(message.job, "stdout").split("\n")[-3:] == ["2", "1", "main"]
    assert report.outputs == {"ref": "refs/heads/main", "commit": repository.commits[2]}


async def test_a_commit_that_is_not_the_tip_can_be_the_runs_own(bench: Any, repository: Repository) -> None:
    """The branch moved on since the run was triggered."""
    message = job(checkout(), "cat file", source=repository.source(0))
    await bench.run(message)
    assert bench.gateway.text(message.job, "stdout").split("\n")[-1] == "0"


async def test_the_whole_history_with_depth_0_and_another_folder(bench: Any, repository: Repository) -> None:
    """fetch-depth 0 brings all branches and tags; path puts it elsewhere in the workspace."""
    message = job(
        checkout(fetch_depth=0, path="sub/here"),
        step(1, "git rev-list --count HEAD; git tag; git branch --remotes | tr -d ' \\n'", working_directory="sub/here"),
        source=repository.source(),
    )
    report = await bench.run(message)
    assert report.conclusion == "success", bench.gateway.text(message.job)
    assert bench.gateway.text(message.job, "stdout").split("\n")[-3:] == ["3", "v1", "origin/featureorigin/main"]


@pytest.mark.parametrize(("ref", "content"), [("v1", "0"), ("feature", "1"), ("refs/heads/feature", "1"), ("sha", "0")])
async def test_another_ref_of_the_same_repository(bench: Any, repository: Repository, ref: str, content: str) -> None:
    """A tag, a branch by short and full name, a commit."""
    message = job(checkout(ref=repository.commits[0] if ref == "sha" else ref), "cat file", source=repository.source())
    report = await bench.run(message)
    assert report.conclusion == "success", bench.gateway.text(message.job)
    assert bench.gateway.text(message.job, "stdout").split("\n")[-1] == content


async def test_a_pull_request_is_checked_out_detached(bench: Any, repository: Repository) -> None:
    """The merge ref is no branch."""
    message = job(checkout(), "cat file; git symbolic-ref -q HEAD || echo detached", source=repository.source(1, "refs/pull/7/merge"))
    report = await bench.run(message)
    assert report.conclusion == "success", bench.gateway.text(message.job)
    assert bench.gateway.text(message.job, "stdout").split("\n")[-2:] == ["1", "detached"]


async def test_a_second_checkout_cleans_what_the_first_left(bench: Any, repository: Repository) -> None:
    """Unless clean is false."""
    message = job(checkout(0), "echo x > file; touch new", checkout(2), "git status --porcelain; cat file", source=repository.source())
    report = await bench.run(message)
    assert report.conclusion == "success", bench.gateway.text(message.job)
    assert [line.text for line in bench.gateway.lines[message.job] if line.step == 3 and line.stream == "stdout"] == ["2"]


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        ({"path": "../out"}, "path: ../out is not below the workspace"),
        ({"repository": "other/one"}, "repository: other/one is not the run's own"),
        ({"fetch_depth": "deep"}, "fetch-depth: deep is no number"),
        ({"lfs": True}, "lfs"),
        ({"ref": "no-such-ref"}, "exit code 128"),
    ],
)
async def test_what_cannot_be_checked_out_is_named(bench: Any, repository: Repository, inputs: dict[str, Any], says: str) -> None:
    """The step fails with the input and the reason; git asks nobody."""
    message = job(checkout(**inputs), source=repository.source())
    report = await bench.run(message)
    assert report.conclusion == "failure"
    assert says in report.message


async def test_an_unreachable_source_fails_without_asking(bench: Any) -> None:
    """No prompt, no hanging."""
    message = job(checkout(), source=wire.Source(url="http://127.0.0.1:1/acme/pay", sha="0" * 40, ref="refs/heads/main"))
    report = await bench.run(message)
    assert report.conclusion == "failure"


def test_a_repository_that_the_server_serves_is_asked_of_each_gateway_in_turn(tmp_path: Path) -> None:
    """With the credential for all of them in a file of the owner's alone; where the path is readable here it is read there."""
    space = workspace.make(tmp_path, uuid4(), "acme/pay")
    server = Server("https://a.example/,https://b.example/below", str, certificates=Certificates(ca_file='/etc/a "b".pem'))
    source = wire.Source(url="git@forge.example:acme/pay.git", sha="0" * 40, ref="refs/heads/main", path="/acme/pay", token="lmj_x")
    origin = action.origin(source, server, space)
    assert (origin.url, origin.push_url, origin.served) == ("https://a.example/acme/pay", source.url, True)
    assert [origin.turn(number) for number in range(3)] == [
        (),
        ("-c", "url.https://b.example/below/acme/pay.insteadOf=https://a.example/acme/pay"),
        (),
    ]
    assert origin.config is not None
    assert origin.config.stat().st_mode & 0o777 == 0o600
    for url in origin.urls:
        asked = ["git", "config", "--file", str(origin.config), "--get-urlmatch"]
        said = [subprocess.run([*asked, f"http.{key}", f"{url}/info"], check=True, capture_output=True, text=True).stdout for key in KEYS]
        assert said == ["Authorization: Basic eC1hY2Nlc3MtdG9rZW46bG1qX3g=\n", "\n", '/etc/a "b".pem\n']
    here = action.origin(msgspec.structs.replace(source, url=str(tmp_path)), server, space)
    assert (here.url, here.served) == (str(tmp_path), False)
    gone = action.origin(msgspec.structs.replace(source, url=str(tmp_path / "not here")), server, space)
    assert (gone.served, gone.push_url) == (True, "")


KEYS = ("extraHeader", "proxy", "sslCAInfo")
