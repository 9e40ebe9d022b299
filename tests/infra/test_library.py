"""Workflow files of other repositories from real ones: clones in a directory, a git server, and one that is away."""

from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest

from commands.elsewhere import on_github, registered
from domain import ids
from domain.repository_commands import RegisterRepository, RemoveRepository
from domain.workflow.elsewhere import Fetched, Missing
from domain.workflow.references import Remote
from infra.git import git
from infra.library import GitLibrary
from infra.mirrors import Mirrors
from tests.commands.test_trigger import ORIGIN, System
from tests.infra.test_mirrors import LOOPBACK, Forge

PATH = ".github/workflows/build.yml"
FILE = {"_github__workflows__build_yml": "first"}


def named(ref: str, repository: str = "acme/shared", path: str = PATH) -> Remote:
    """The file at a ref."""
    return Remote(repository, path, ref)


@pytest.fixture
def forge(tmp_path: Path) -> Iterator[Forge]:
    """A repository with a server that is not up yet."""
    made = Forge(tmp_path / "forge")
    yield made
    made.down()


def library(tmp_path: Path, url: str = "https://nobody.invalid/x", clones: Path | None = None) -> GitLibrary:
    """A library whose registered repositories are all at this URL."""

    async def place(tenant: str, full_name: str) -> tuple[UUID, str]:
        return ids.repository_id(tenant, "git", full_name), url

    return GitLibrary(Mirrors(tmp_path / "mirrors", LOOPBACK), place, clones)


@pytest.mark.parametrize("kind", ["with a work tree", "bare", "bare with its ending"])
async def test_a_clone_in_the_directory_is_read_where_it_lies(
    kind: str, forge: Forge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By tag, by branch and by commit; nothing is fetched. The directory may be named from where the process is."""
    monkeypatch.chdir(tmp_path)
    first = forge.commit(**FILE)
    forge.git("tag", "-a", "-m", "one", "v1")
    second = forge.commit(_github__workflows__build_yml="second")
    (tmp_path / "clones" / "acme").mkdir(parents=True)
    name = "shared.git" if kind.endswith("ending") else "shared"
    bare = () if kind == "with a work tree" else ("--bare",)
    git("clone", "--quiet", *bare, forge.tree, tmp_path / "clones" / "acme" / name, directory=tmp_path)
    found = library(tmp_path, clones=Path("clones"))
    assert await found.read("default", named("v1")) == Fetched(first, "first")
    assert await found.read("default", named("main")) == Fetched(second, "second")
    assert await found.read("default", named(first)) == Fetched(first, "first")
    assert not (tmp_path / "mirrors").exists()


async def test_a_tag_comes_before_a_branch_of_the_same_name(forge: Forge, tmp_path: Path) -> None:
    """As on GitHub, from a clone and from a server."""
    tagged = forge.commit(**FILE)
    forge.git("tag", "v1")
    forge.git("checkout", "--quiet", "-b", "v1")
    forge.commit(_github__workflows__build_yml="second")
    forge.up()
    clones = forge.tree.parent / "clones"
    (clones / "acme").mkdir(parents=True)
    (clones / "acme" / "shared").symlink_to(forge.tree)
    for each in (library(tmp_path, clones=clones), library(tmp_path, forge.url)):
        assert await each.read("default", named("v1")) == Fetched(tagged, "first")


async def test_a_commit_that_was_fetched_once_needs_no_server(forge: Forge, tmp_path: Path) -> None:
    """A ref is asked for each time and follows its repository; while nobody answers that is told, and why."""
    first = forge.commit(**FILE)
    forge.up()
    found = library(tmp_path, forge.url)
    assert await found.read("default", named("main")) == Fetched(first, "first")
    second = forge.commit(_github__workflows__build_yml="second")
    assert await found.read("default", named("main")) == Fetched(second, "second")
    forge.down()
    assert await found.read("default", named(first)) == Fetched(first, "first")
    missing = await found.read("default", named("main"))
    assert isinstance(missing, Missing)
    assert missing.message == 'the repository "acme/shared" of the called workflow cannot be had'
    assert forge.url in missing.because
    assert "LEDGERMILL_ACTIONS_FROM" in missing.help


@pytest.mark.parametrize("place", ["a clone", "a server"])
@pytest.mark.parametrize(
    ("name", "words"),
    [
        (named("v9"), 'has no "v9"'),
        (named("f" * 40), "has no"),
        (named("--upload-pack=x"), "has no"),
        (named("a:b"), "has no"),
        (named("main", path=".github/workflows/none.yml"), 'has no file ".github/workflows/none.yml" at main'),
        (named("main", path=".github/workflows"), "has no file"),
        (named("main", path="../../x.yml"), "has no file"),
        (named("main", repository="../shared"), "names no file"),
        (named("main", repository="acme/.."), "names no file"),
    ],
)
async def test_what_is_not_there_is_told(place: str, name: Remote, words: str, forge: Forge, tmp_path: Path) -> None:
    """Which part of the reference it is; no name leads out of the directory, or into an option of git."""
    forge.commit(**FILE)
    clones = forge.tree.parent / "clones"
    (clones / "acme").mkdir(parents=True)
    if place == "a clone":
        (clones / "acme" / "shared").symlink_to(forge.tree)
    else:
        forge.up()
    missing = await library(tmp_path, forge.url, clones).read("default", name)
    assert isinstance(missing, Missing)
    assert words in missing.message
    assert missing.because
    assert missing.help


async def test_a_file_beyond_what_a_workflow_may_be_is_not_read(forge: Forge, tmp_path: Path) -> None:
    """Its size is asked for first."""
    forge.commit(_github__workflows__build_yml="x" * (1024 * 1024 + 1))
    forge.up()
    missing = await library(tmp_path, forge.url).read("default", named("main"))
    assert isinstance(missing, Missing)
    assert "too large" in missing.message


async def test_a_registered_repository_comes_before_githubs_of_the_same_name() -> None:
    """The tenant's own alone count, and only as long as they are registered; what is local is no source for others."""
    system = System()
    identity = ids.repository_id("default", "gitea", "acme/shared")
    local = ids.repository_id("default", "local", "acme/shared")
    github = await on_github("default", "acme/shared")
    assert github[1] == "https://github.com/acme/shared.git"
    await system.handler.handle(RegisterRepository(local, "acme/shared", "local", "/clone", "main"), ORIGIN)
    assert await registered(system.handler, "default", "acme/shared") == github
    await system.handler.handle(RegisterRepository(identity, "acme/shared", "gitea", "https://forge.invalid/x", "main"), ORIGIN)
    assert await registered(system.handler, "default", "acme/shared") == (identity, "https://forge.invalid/x")
    assert await registered(system.handler, "another", "acme/shared") == await on_github("another", "acme/shared")
    await system.handler.handle(RemoveRepository(identity), ORIGIN)
    assert await registered(system.handler, "default", "acme/shared") == github
