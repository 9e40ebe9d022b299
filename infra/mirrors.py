"""Bare mirrors of the repositories of forges, and what the commits of events hold.

A mirror lies below the data directory, is fetched into by commit and serves checkouts (infra.git_server). git is the only
client, with its own protocols and no helper, hook, prompt or credential of the machine but those that the operator gave for
it (infra.clone_credentials), at addresses that may be connected to (infra.clone_route); one fetch at a time per mirror,
whichever process asks. A forge that does not answer is `Away`, a commit that it does not have is `Gone`.
"""

import asyncio
import fcntl
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import UUID

from commands.answering import Away, Commit, Gone
from commands.trigger import DefaultBranch, WorkflowFile
from domain import ids
from domain.repository import Repository, RepositoryRegistered
from domain.webhooks.incoming import Incoming
from domain.webhooks.shape import NO_COMMIT, text
from infra.clone_credentials import CloneCredentials, CredentialError
from infra.clone_route import CloneRoute, route
from infra.egress import Egress, Refused
from infra.git import GitError, ask, environment, git
from infra.settings import Settings
from infra.snapshot import files_of

FETCH_SECONDS_MAX = 300.0
ABSENT = ("not our ref", "couldn't find remote ref", "unadvertised object", "no such ref")
"""What git says where the server is there and the commit or ref is not."""

QUIET = {
    "credential.helper": "",
    "http.lowSpeedLimit": "1000",
    "http.lowSpeedTime": "20",
    "http.sslVerify": "true",
    "fetch.recurseSubmodules": "false",
}


class Mirrors:
    """See commands.answering.Commits. Several processes may share the directory. Without an Egress only public hosts are fetched from."""

    def __init__(self, directory: Path, egress: Egress | None = None, credentials: CloneCredentials | None = None) -> None:
        self._directory = directory
        self._egress = egress or Egress()
        self._credentials = credentials or CloneCredentials(None)

    async def read(self, repository: UUID, state: Repository, event: Incoming) -> Commit:
        """See the port. Takes as long as the fetch does."""
        return await asyncio.to_thread(self._read, repository, state, event)

    def path(self, repository: UUID) -> Path:
        """Where a repository's mirror is, or will be."""
        return self._directory / f"{repository}.git"

    def _read(self, repository: UUID, state: Repository, event: Incoming) -> Commit:
        facts = state.registered
        with self.held(repository) as mirror:
            source = self._source(mirror, repository, facts)
            sha = source.commit(event.sha if event.sha != NO_COMMIT else "", event.ref)
            files = _files(mirror, sha)
            changed = event.changed_paths
            if changed is None and any("paths" in file.text for file in files):
                changed = source.changed(event, sha)
            default = f"refs/heads/{facts.default_branch}"
            return Commit(sha, files, changed, None if event.ref == default else source.default_branch(default))

    def bring(self, repository: UUID, facts: RepositoryRegistered, commits: Sequence[str], refs: Sequence[str] | None) -> None:
        """Have these commits in the mirror, where the forge has them, and (refs not None) its branches and tags as they are now.

        refs: further ones. Raises Away; while the forge is, branches and tags of before do.
        """
        with self.held(repository) as mirror:
            source = self._source(mirror, repository, facts)
            default = f"refs/heads/{facts.default_branch}"
            for sha in commits:
                with suppress(Gone):
                    source.commit(sha, default)
            if refs is not None:
                try:
                    source.refs(default, refs)
                except Away:
                    if ask("for-each-ref", "--count=1", "refs/heads", directory=mirror) is None:
                        raise

    def _source(self, mirror: Path, repository: UUID, facts: RepositoryRegistered) -> "Source":
        """A mirror and its repository; a path of this machine needs neither a way nor a credential."""
        if facts.provider == "local":
            return Source(mirror, facts.clone_url)
        return self.source(mirror, facts.clone_url, lambda tenant: ids.repository_id(tenant, facts.provider, facts.full_name) == repository)

    def source(self, mirror: Path, url: str, is_of: Callable[[str], bool]) -> "Source":
        """A mirror and a repository elsewhere. is_of: whether that is a tenant's."""
        return Source(mirror, url, self._egress, lambda: self._credentials.config(url, is_of))

    @contextmanager
    def held(self, repository: UUID) -> Iterator[Path]:
        """The mirror, made on first use; no other fetch works on it meanwhile."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        mirror = self.path(repository)
        with (self._directory / f"{repository}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (mirror / "HEAD").exists():
                draft = Path(tempfile.mkdtemp(prefix="draft-", dir=self._directory))
                try:
                    git("init", "--quiet", "--bare", "--template=", draft, directory=self._directory)
                    git("config", "uploadpack.allowAnySHA1InWant", "true", directory=draft)
                    draft.rename(mirror)
                except BaseException:
                    shutil.rmtree(draft, ignore_errors=True)
                    raise
            yield mirror


class Source:
    """A mirror and where it is fetched from.

    egress: None where the URL is a path of this machine. credential: git's configuration for it.
    """

    def __init__(self, mirror: Path, url: str, egress: Egress | None = None, credential: Callable[[], dict[str, str]] = dict) -> None:
        self._mirror = mirror
        self._url = url
        self._egress = egress
        self._credential = credential
        self._flags = ("--update-shallow",) if egress is None else ()  # a snapshot is as shallow as the clone that it was taken of

    def commit(self, sha: str, ref: str) -> str:
        """The commit of an event, in the mirror: `sha`, or where that is "" the newest of `ref`. Raises Away or Gone."""
        if not sha:
            return self._fetched(ref, f"refs/mirror/{ref.removeprefix('refs/')}")
        if self._has(sha):
            return sha
        try:
            return self._fetched(sha, f"refs/ledgermill/{sha}")
        except Gone:  # a server may give no commit by its name; what the ref leads to may hold it
            self._fetched(ref, f"refs/mirror/{ref.removeprefix('refs/')}")
            if self._has(sha):
                git("update-ref", f"refs/ledgermill/{sha}", sha, directory=self._mirror)
                return sha
            raise

    def refs(self, default: str, more: Sequence[str]) -> None:
        """All branches and tags as they are now, under their own names, and those of `more` that there are. Raises Away."""
        self._fetch("--prune", what=("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"))
        git("symbolic-ref", "HEAD", default, directory=self._mirror)
        for ref in more:
            with suppress(Gone):
                self._fetched(ref, ref)

    def changed(self, event: Incoming, sha: str) -> tuple[str, ...] | None:
        """The paths that a push or a pull request changes; None where that cannot be found out."""
        if event.event == "push":
            ends = text(event.payload, "before"), sha
            dots = ".."
        else:
            pull = event.payload.get("pull_request")
            ends = text(pull, "base", "sha"), text(pull, "head", "sha")
            dots = "..."
        if not all(ends) or NO_COMMIT in ends:
            return None
        try:
            for end in ends:
                self.commit(end, event.ref)
            listed = git("diff", "--name-only", "--no-renames", "-z", f"{ends[0]}{dots}{ends[1]}", "--", directory=self._mirror).stdout
        except (Gone, GitError):
            return None
        return tuple(path.decode(errors="replace") for path in listed.split(b"\0") if path)

    def default_branch(self, ref: str) -> DefaultBranch | None:
        """Where what listens to runs is looked for; None where there is no such branch."""
        try:
            sha = self.commit("", ref)
        except Gone:
            return None
        return DefaultBranch(ref, sha, _files(self._mirror, sha))

    def _has(self, sha: str) -> bool:
        return ask("cat-file", "-t", sha, directory=self._mirror) == "commit"

    def _fetched(self, what: str, to: str) -> str:
        self._fetch(what=(f"+{what}:{to}",), name=what)
        found = ask("rev-parse", "--verify", "--quiet", f"{to}^{{commit}}", directory=self._mirror)
        if found is None:
            raise Gone(f"{what} of {self._url} is no commit")
        return found

    def _fetch(self, *flags: str, what: Sequence[str], name: str = "") -> None:
        way, env = self._way()
        try:
            git(
                "fetch", "--quiet", "--no-tags", "--no-write-fetch-head", *flags, *self._flags, "--", way.url, *what,
                directory=self._mirror, env=env, seconds=FETCH_SECONDS_MAX,
            )  # fmt: skip
        except GitError as error:
            said = str(error).removeprefix("git fetch: ")
            if name and any(word in said for word in ABSENT):
                raise Gone(f"{self._url} has no {name}") from error
            raise Away(f"{self._url} cannot be fetched from: {said[:500]}{_hint(said)}") from error

    def _way(self) -> tuple[CloneRoute, dict[str, str]]:
        """The way of this very fetch: the host's address, the credential and the token behind it may have changed since the last one."""
        try:
            way = route(self._egress, self._url) if self._egress is not None else CloneRoute(self._url, {})
            credential = self._credential()
        except (Refused, CredentialError) as error:
            raise Away(str(error)) from error
        except OSError as error:
            raise Away(f"{self._url} cannot be fetched from: {error}") from error
        protocols = "file" if self._egress is None else "https:http:ssh:git"
        settings = {"GIT_ALLOW_PROTOCOL": protocols, "GIT_SSH_COMMAND": way.ssh, "GIT_ASKPASS": "true"}
        return way, environment(settings, QUIET | way.config | credential)


def mirrors_of(settings: Settings) -> Mirrors:
    """The mirrors of the data directory, fetched as the operator allows."""
    return Mirrors(settings.data / "mirrors", Egress(settings.networks), CloneCredentials(settings.clone_credentials))


def _hint(said: str) -> str:
    """What helps with some of git's words."""
    moved = any(f"returned error: {status}" in said for status in (301, 302, 303, 307, 308))
    return ": redirections are not followed, so register the URL that it leads to" if moved else ""


def _files(mirror: Path, sha: str) -> tuple[WorkflowFile, ...]:
    return tuple(WorkflowFile(file.path, file.content.decode(errors="replace")) for file in files_of(mirror, sha))
