"""Workflow files of other repositories: from a directory of clones, from registered repositories, or from GitHub.

A directory `DIR/owner/repository` (or `.git`), bare or with a work tree, is read where it lies. Everything else is fetched
into the mirrors that the events of repositories use too. A commit that a mirror has is never asked for again.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from uuid import UUID

from commands.answering import Away, Gone
from domain.workflow.elsewhere import Fetched, Missing
from domain.workflow.nodes import FILE_BYTES_MAX
from domain.workflow.references import Remote
from infra.git import ask, environment, git
from infra.mirrors import Mirrors, Source
from infra.snapshot import WORKFLOWS

Place = Callable[[str, str], Awaitable[tuple[UUID, str]]]
"""Identity and URL of a tenant's repository by its full name."""
NAME = re.compile(r"(?!\.{1,2}(?:/|\Z))[A-Za-z0-9._-]+/(?!\.{1,2}\Z)[A-Za-z0-9._-]+")
SHA = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")

_OBTAIN = "register the repository (ledgermill repository add), or put a clone below the directory that LEDGERMILL_ACTIONS_FROM names"


class GitLibrary:
    """See commands.elsewhere.Library. clones: the directory, where there is one."""

    def __init__(self, mirrors: Mirrors, place: Place, clones: Path | None) -> None:
        self._mirrors = mirrors
        self._place = place
        self._clones = None if clones is None else clones.absolute()

    async def read(self, tenant: str, name: Remote) -> Fetched | Missing:
        """See the port."""
        if not NAME.fullmatch(name.repository) or not name.path.isprintable():
            return Missing(f'"{name}" names no file of a repository', "a repository is OWNER/NAME", "write OWNER/NAME/PATH@REF")
        if not SHA.fullmatch(name.ref) and not _is_ref(name.ref):
            return _no_ref(name, "git has no such names")
        clone = self._clone(name.repository)
        if clone is not None:
            return await asyncio.to_thread(_from_clone, clone, name)
        identity, url = await self._place(tenant, name.repository)
        return await asyncio.to_thread(self._from_mirror, tenant, identity, url, name)

    def _clone(self, repository: str) -> Path | None:
        """The git directory of a clone."""
        if self._clones is None:
            return None
        folder = self._clones / repository
        candidates = (folder / ".git", folder, folder.with_name(f"{folder.name}.git"))
        return next((each for each in candidates if each.is_file() or (each / "HEAD").exists()), None)

    def _from_mirror(self, tenant: str, identity: UUID, url: str, name: Remote) -> Fetched | Missing:
        with self._mirrors.held(identity) as mirror:
            source = self._mirrors.source(mirror, url, lambda each: each == tenant)
            try:
                sha = source.commit(name.ref, "HEAD") if SHA.fullmatch(name.ref) else _newest(source, name.ref)
            except Gone:
                return _no_ref(name, f"{url} has none")
            except Away as away:
                return Missing(f'the repository "{name.repository}" of the called workflow cannot be had', str(away), _OBTAIN)
            return _file(mirror, sha, name)


def _newest(source: Source, ref: str) -> str:
    """The commit of a tag, else of a branch: a tag comes first where both have the name, as on GitHub."""
    try:
        return source.commit("", f"refs/tags/{ref}")
    except Gone:
        return source.commit("", f"refs/heads/{ref}")


def _from_clone(clone: Path, name: Remote) -> Fetched | Missing:
    whole = (name.ref,) if SHA.fullmatch(name.ref) else (f"refs/tags/{name.ref}", f"refs/heads/{name.ref}")
    env = environment({"GIT_DIR": clone})
    found = (ask("rev-parse", "--verify", "--quiet", f"{each}^{{commit}}", directory=clone.parent, env=env) for each in whole)
    sha = next((each for each in found if each is not None), None)
    return _no_ref(name, "the clone that LEDGERMILL_ACTIONS_FROM leads to has none") if sha is None else _file(clone, sha, name)


def _file(repository: Path, sha: str, name: Remote) -> Fetched | Missing:
    env = environment({"GIT_DIR": repository.absolute()})
    what = f"{sha}:{name.path}"
    size = ask("cat-file", "-s", what, directory=repository.parent, env=env)
    if size is None or ask("cat-file", "-t", what, directory=repository.parent, env=env) != "blob":
        listed = ask("ls-tree", "--name-only", sha, WORKFLOWS, directory=repository.parent, env=env) or "none"
        because = f"{name.ref} is {sha[:7]}, and workflow files there: {', '.join(listed.splitlines()[:20])}"
        return Missing(f'the repository "{name.repository}" has no file "{name.path}" at {name.ref}', because, "write the path of one")
    if int(size) > FILE_BYTES_MAX:
        return Missing(f'the called workflow "{name}" is too large', f"it has {size} bytes, and the limit is {FILE_BYTES_MAX}", "split it")
    text = git("cat-file", "blob", what, directory=repository.parent, env=env).stdout.decode("utf-8", errors="replace")
    return Fetched(sha, text)


def _is_ref(ref: str) -> bool:
    return ref.isprintable() and git("check-ref-format", f"refs/tags/{ref}", directory=Path.cwd(), accept=(0, 1)).returncode == 0


def _no_ref(name: Remote, because: str) -> Missing:
    message = f'the repository "{name.repository}" of the called workflow has no "{name.ref}"'
    return Missing(message, because, "name a tag, a branch, or a commit by its full SHA")
