"""The built-in `actions/checkout`: the run's own repository at the run's own commit, by real git.

Git runs inside the job's cell like any step, so it is stopped with it. It never prompts, and reads a configuration file of
its own: `safe.directory` has to be trusted in git's child processes too, which do not inherit GIT_CONFIG_* variables.

The server serves the repository, to the credential that the job came with; a runner on the server's own machine reads a
local one where it lies. What the credential opens is read only, so pushes go to where the repository is from.
"""

import base64
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from runner.server import Server
from runner.wire import Source
from runner.workspace import Workspace

PAUSES_SECONDS = (2.0, 5.0, 10.0)
"""Between tries of a fetch from the server, which may be starting anew."""
USER = "x-access-token"


class CheckoutError(Exception):
    """What was asked for cannot be checked out here. The message names the input."""


class Origin(msgspec.Struct, frozen=True):
    """Where git fetches from. push_url: where it pushes to, "": to the same. urls: of each gateway, where there are several.

    config: a file of git's configuration with the credential, where the server serves the repository; variables: what else a
    fetch needs, because there are those that outrank the configuration.
    """

    url: str
    push_url: str = ""
    urls: tuple[str, ...] = ()
    config: Path | None = None
    variables: dict[str, str] = {}

    @property
    def served(self) -> bool:
        """Whether it is the server that is asked."""
        return self.config is not None

    def turn(self, number: int) -> tuple[str, ...]:
        """What makes git ask another gateway at each try. number: of the try, from 0."""
        other = self.urls[number % len(self.urls)] if self.urls else self.url
        return () if other == self.url else ("-c", f"url.{other}.insteadOf={self.url}")


def origin(source: Source, server: Server, space: Workspace) -> Origin:
    """The place to fetch a run's repository from, as this runner reaches it."""
    local = source.url.startswith("/")
    if not source.path or (local and os.access(source.url, os.R_OK | os.X_OK)):
        return Origin(source.url)
    urls = tuple(url + source.path for url in server.urls)
    secret = base64.b64encode(f"{USER}:{source.token}".encode()).decode()
    files = server.certificates
    trusted = {"sslCAInfo": files.ca_file, "sslCert": files.cert_file, "sslKey": files.key_file}
    trust = {name: value for name, value in trusted.items() if value}
    settings = (
        ("extraheader", ""),  # the file may be read twice, and headers add up
        ("extraheader", f"Authorization: Basic {secret}"),
        ("proxy", ""),  # as all that the runner sends to its server
        *trust.items(),
    )
    lines = "".join(f"\t{name} = {quoted(value)}\n" for name, value in settings)
    config = space.temp / "_git_origin.config"
    config.touch(mode=0o600)
    config.write_text("".join(f"[http {quoted(url)}]\n{lines}" for url in urls))
    return Origin(
        urls[0], "" if local else source.url, urls, config, {f"GIT_SSL_{name[3:].upper()}": value for name, value in trust.items()}
    )


def quoted(text: str) -> str:
    """A value, or the name of a section, as a file of git's configuration has it."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def quiet(variables: Mapping[str, str], space: Workspace, origin: Origin) -> dict[str, str]:
    """The variables of a git that asks nobody, trusts the folders of this job and its source, and has the credential."""
    config = space.temp / "_git_checkout.config"
    if not config.exists():
        home = Path(variables.get("HOME", "/"))
        files = [path for path in (home / ".config/git/config", home / ".gitconfig") if path.is_file()]
        include = "".join(f"[include]\n\tpath = {quoted(str(path))}\n" for path in (*files, *((origin.config,) if origin.config else ())))
        config.write_text(include + "[safe]\n\tdirectory = *\n[advice]\n\tdetachedHead = false\n[gc]\n\tauto = 0\n")
    return dict(variables) | {
        "GIT_CONFIG_GLOBAL": str(config),
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "true",
        "SSH_ASKPASS": "true",
        "GIT_SSH_COMMAND": variables.get("GIT_SSH_COMMAND", "ssh -oBatchMode=yes"),
        "GIT_LFS_SKIP_SMUDGE": "1",
    }


def folder_of(inputs: Mapping[str, str], space: Workspace) -> Path:
    """Where the repository goes: inside the workspace."""
    wanted = inputs.get("path", "").strip()
    folder = Path(os.path.normpath(space.checkout / wanted))
    if folder != space.checkout and space.checkout not in folder.parents:
        raise CheckoutError(f"path: {wanted} is not below the workspace {space.checkout}")
    return folder


def plan(
    inputs: Mapping[str, str], source: Source, origin: Origin, github: Mapping[str, Any], space: Workspace, *, outputs: dict[str, str]
) -> Iterator[tuple[tuple[str, ...], str]]:
    """The git commands one after the other, each with the folder it runs in; fills `outputs`. Raises CheckoutError."""
    own = str(github.get("repository") or "")
    wanted = inputs.get("repository", "").strip() or own
    if wanted.lower() != own.lower():
        raise CheckoutError(f"repository: {wanted} is not the run's own repository {own}, the only one that this version checks out")
    if inputs.get("lfs", "").lower() == "true":
        raise CheckoutError("lfs: this version checks out no LFS files")
    depth = inputs.get("fetch-depth", "").strip() or "1"
    if not depth.isdigit():
        raise CheckoutError(f"fetch-depth: {depth} is no number")
    folder = folder_of(inputs, space)
    folder.mkdir(parents=True, exist_ok=True)
    place = str(folder)
    ref = inputs.get("ref", "").strip()
    fresh = not (folder / ".git").exists()
    if fresh:
        yield ("init", "--quiet", place), place
        yield ("remote", "add", "origin", origin.url), place
    else:
        yield ("remote", "set-url", "origin", origin.url), place
        if inputs.get("clean", "true").lower() != "false":
            yield ("clean", "-ffdx"), place
            yield ("reset", "--hard", "--quiet"), place
    if origin.push_url:
        yield ("remote", "set-url", "--push", "origin", origin.push_url), place
    if origin.config is not None and inputs.get("persist-credentials", "true").lower() != "false":
        yield ("config", "--local", "include.path", str(origin.config)), place
    what, local, start = target(ref, source)
    limits: tuple[str, ...] = ("--no-tags",) if inputs.get("fetch-tags", "").lower() != "true" else ("--tags",)
    if depth == "0":
        yield ("fetch", "--quiet", "--prune", "--tags", "origin", "+refs/heads/*:refs/remotes/origin/*"), place
        limits = ("--no-tags",)
    else:
        limits = (*limits, f"--depth={depth}")
    yield ("fetch", "--quiet", "--prune", "--no-recurse-submodules", *limits, "origin", what), place
    if local:
        yield ("checkout", "--quiet", "--force", "-B", local, start), place
        yield ("config", f"branch.{local}.remote", "origin"), place
        yield ("config", f"branch.{local}.merge", f"refs/heads/{local}"), place
    else:
        yield ("checkout", "--quiet", "--force", "--detach", start), place
    submodules = inputs.get("submodules", "").lower()
    if submodules in ("true", "recursive"):
        # Their relative URLs are meant from where the repository is from.
        beside = ("-c", f"remote.origin.url={source.url}") if origin.push_url else ()
        yield (*beside, "submodule", "update", "--init", "--force", *(("--recursive",) if submodules == "recursive" else ())), place
    yield ("log", "-1", "--format=%H"), place
    outputs["ref"] = ref or source.ref
    outputs["commit"] = head(folder)


def target(ref: str, source: Source) -> tuple[str, str, str]:
    """What to fetch, the local branch to make ("" for none), and what to check out."""
    if ref and ref not in (source.ref, source.sha):
        return ref, "", "FETCH_HEAD"  # a branch, a tag or a commit: the other side knows which
    if source.ref.startswith("refs/heads/"):
        name = source.ref.removeprefix("refs/heads/")
        return f"+{source.sha}:refs/remotes/origin/{name}", name, f"refs/remotes/origin/{name}"
    return source.sha, "", "FETCH_HEAD"


def head(folder: Path) -> str:
    """The commit that is checked out, read from git's own files."""
    git = folder / ".git"
    text = (git / "HEAD").read_text().strip()
    if not text.startswith("ref: "):
        return text
    name = text.removeprefix("ref: ")
    loose = git / name
    if loose.is_file():
        return loose.read_text().strip()
    packed = (git / "packed-refs").read_text().split("\n") if (git / "packed-refs").is_file() else []
    return next((line.split(" ")[0] for line in packed if line.endswith(f" {name}")), "")
