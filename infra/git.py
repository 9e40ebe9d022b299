"""Runs git for the snapshot: quietly, without asking, without the caller's GIT_* variables, on anybody's repository.

Every call may read the user's repository and none may write to it: no lock of theirs is taken (`GIT_OPTIONAL_LOCKS=0`),
no hook, file-system monitor or background maintenance of theirs is started, and where objects or an index must be
written the caller passes a place of its own. The owner of the directory is not compared with the caller
(`safe.directory=*`): whoever runs a repository's workflow executes its code anyway, and containers run as root.
"""

import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

QUIET: dict[str, str] = {
    "safe.directory": "*",
    "core.fsmonitor": "false",
    "core.hooksPath": "/dev/null",
    "core.splitIndex": "false",
    "core.untrackedCache": "keep",
    "core.quotePath": "false",
    "gc.auto": "0",
    "maintenance.auto": "false",
    "advice.addEmbeddedRepo": "false",
    "submodule.recurse": "false",
    "init.defaultBranch": "main",
}
"""Configuration of every call, in the environment, so that it outranks the repository's own."""

SCP_STYLE = re.compile(r"^(?:[^@/]+@)?[^:/]+:(?!/)(?P<path>.+)$")


class GitError(Exception):
    """git said no. message: its own words, the first line of them first."""


class NotARepository(GitError):  # noqa: N818 - an outcome with a name of its own
    """There is no work tree at or above the directory."""


class Repository(msgspec.Struct, frozen=True):
    """A work tree as it stands. All paths are absolute.

    root: top of the work tree. git_dir: of this work tree (in a linked one below the main one's). common_dir: where the
    objects are. head: the commit, None before the first one. ref: "refs/heads/NAME", a tag's ref, or for a detached HEAD
    that nothing points to "refs/heads/detached-SHA7", which no filter means by accident.
    """

    root: Path
    git_dir: Path
    common_dir: Path
    object_format: str
    head: str | None
    ref: str
    full_name: str
    default_branch: str


def environment(variables: Mapping[str, str | Path] | None = None, config: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a git call: the caller's without any GIT_*, then `variables`; QUIET and `config` outrank all files."""
    values = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    values |= {"GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0", "GIT_NO_LAZY_FETCH": "1", "LC_ALL": "C.UTF-8"}
    settings = {**QUIET, **(config or {})}
    values["GIT_CONFIG_COUNT"] = str(len(settings))
    for number, (key, value) in enumerate(settings.items()):
        values[f"GIT_CONFIG_KEY_{number}"] = key
        values[f"GIT_CONFIG_VALUE_{number}"] = value
    return values | {name: str(value) for name, value in (variables or {}).items()}


def git(
    *arguments: str | Path,
    directory: Path,
    env: Mapping[str, str] | None = None,
    content: bytes | None = None,
    accept: tuple[int, ...] = (0,),
    seconds: float | None = None,
) -> subprocess.CompletedProcess[bytes]:
    """Run git in `directory`. `content` goes to its standard input. Raises GitError for any other exit code, or after `seconds`."""
    command = ["git", *map(str, arguments)]
    try:
        done = subprocess.run(
            command,
            cwd=directory,
            env=dict(env) if env is not None else environment(),
            input=content,
            stdin=subprocess.DEVNULL if content is None else None,
            capture_output=True,
            check=False,
            timeout=seconds,
        )
    except subprocess.TimeoutExpired as error:
        raise GitError(f"git {arguments[0]}: no answer within {seconds:g} s") from error
    except FileNotFoundError as error:
        raise GitError("git is not installed or not on PATH") from error
    if done.returncode not in accept:
        words = done.stderr.decode(errors="replace").strip() or f"exit code {done.returncode}"
        raise GitError(f"git {arguments[0]}: {words}")
    return done


def ask(*arguments: str | Path, directory: Path, env: Mapping[str, str] | None = None) -> str | None:
    """The answer of a question to git, stripped; None when it has none."""
    try:
        return git(*arguments, directory=directory, env=env).stdout.decode(errors="surrogateescape").strip() or None
    except GitError:
        return None


def locate(directory: Path) -> Repository:
    """The repository whose work tree holds `directory`. Raises NotARepository."""
    questions = ("--show-toplevel", "--absolute-git-dir", "--git-common-dir", "--show-object-format")
    if not directory.is_dir():
        raise NotARepository(f"{directory.absolute()} is not a directory")
    try:
        answer = git("rev-parse", "--path-format=absolute", *questions, directory=directory).stdout.decode(errors="surrogateescape")
    except GitError as error:
        raise NotARepository(f"{directory.absolute()} is not inside the work tree of a git repository") from error
    root, git_dir, common_dir, object_format = answer.splitlines()
    head = ask("rev-parse", "--verify", "--quiet", "HEAD^{commit}", directory=Path(root))
    branch = ask("symbolic-ref", "--quiet", "HEAD", directory=Path(root))
    default = _default_branch(Path(root), branch)
    return Repository(
        root=Path(root),
        git_dir=Path(git_dir),
        common_dir=Path(common_dir),
        object_format=object_format,
        head=head,
        ref=branch or _ref_of_detached(Path(root), head or "", default),
        full_name=full_name(ask("config", "--get", "remote.origin.url", directory=Path(root)) or "", Path(root).name),
        default_branch=default,
    )


def full_name(url: str, fallback: str) -> str:
    """The name ("owner/name") in a remote's URL, whatever its style; "local/FALLBACK" for a path or no URL."""
    scp = SCP_STYLE.match(url)
    if scp is not None and "://" not in url:
        path = scp["path"]
    else:
        parts = urlsplit(url)
        path = parts.path if parts.scheme not in ("", "file") and parts.netloc else ""
    segments = [part for part in path.strip("/").removesuffix(".git").split("/") if part]
    if len(segments) < 2:
        return f"local/{fallback or 'repository'}"
    return "/".join(segments)


def _default_branch(root: Path, branch: str | None) -> str:
    remote = ask("symbolic-ref", "--quiet", "--short", "refs/remotes/origin/HEAD", directory=root)
    if remote is not None:
        return remote.removeprefix("origin/")
    for name in ("main", "master"):
        if ask("rev-parse", "--verify", "--quiet", f"refs/heads/{name}", directory=root):
            return name
    return branch.removeprefix("refs/heads/") if branch else "main"


def _ref_of_detached(root: Path, head: str, default: str) -> str:
    listed = ask("for-each-ref", "--points-at", "HEAD", "--format=%(refname)", "refs/heads", "refs/tags", directory=root)
    refs = listed.split() if listed else []
    if f"refs/heads/{default}" in refs:
        return f"refs/heads/{default}"
    return refs[0] if refs else f"refs/heads/detached-{head[:7]}"
