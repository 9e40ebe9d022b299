"""`hashFiles`: one digest for all files of the workspace that match, the same that GitHub's runner computes.

It is the SHA-256 of the files' binary SHA-256 digests in the order of a depth-first walk with names sorted by their bytes;
with no match it is the empty text. Caches are keyed by it, so a difference of one bit is a cache that is never found again.
Nothing outside the workspace is ever opened: a symbolic link that leads out of it counts as not there.
"""

import hashlib
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from domain.workflow.expressions import ExpressionError
from domain.workflow.values import to_text
from runner.glob_patterns import Glob, GlobError, Progress, read

_FOLLOW: Final = "--follow-symbolic-links"


def hash_files(workspace: str | os.PathLike[str], patterns: Sequence[str], follow_symlinks: bool = False) -> str:
    """The digest in hexadecimal, or "" when nothing matches.

    patterns: relative to the workspace, or absolute inside it; several in one text are separated by line breaks. A link to a
    file is read in any case; follow_symlinks is about links to folders. Raises GlobError for a pattern GitHub refuses, OSError
    for a matching file that cannot be read.
    """
    root = Path(os.path.abspath(workspace))  # noqa: PTH100 - takes `..` out without following links
    total = hashlib.sha256()
    found = False
    for path in _walk(root, read("\n".join(patterns), root.parts[1:]), follow_symlinks):
        with open(path, "rb") as file:  # noqa: PTH123 - the walk works on plain strings, of which there may be 100,000
            total.update(hashlib.file_digest(file, "sha256").digest())
        found = True
    return total.hexdigest() if found else ""


def function(workspace: str | os.PathLike[str]) -> Callable[..., str]:
    """`hashFiles` as expressions call it: with patterns, and the option to follow links in front of them."""

    def call(*arguments: Any) -> str:
        texts = [to_text(argument) for argument in arguments]
        follow = len(texts) > 1 and texts[0].startswith("--")
        if follow and texts[0].lower() != _FOLLOW:
            raise ExpressionError("evaluation", f"hashFiles: invalid option '{texts[0]}'; the only one is '{_FOLLOW}'")
        try:
            return hash_files(workspace, texts[1:] if follow else texts, follow_symlinks=follow)
        except (GlobError, OSError) as error:
            raise ExpressionError("evaluation", f"hashFiles: {error}") from error

    return call


def _walk(root: Path, globs: list[Glob], follow: bool) -> Iterator[str]:
    """The paths of the matching files in GitHub's order: search path by search path, each depth first."""
    real_root = os.path.realpath(root)
    for start in _search_paths(globs):
        parts = root.parts[1:]
        if start[: len(parts)] != parts:
            if parts[: len(start)] != start:
                continue
            start = parts  # noqa: PLW2901 - a search that begins above the workspace sees only the workspace
        path = os.path.join(root.anchor, *start)  # noqa: PTH118 - see hash_files
        if not os.path.lexists(path) or not _inside(os.path.realpath(os.path.dirname(path)) if start != parts else real_root, real_root):  # noqa: PTH120 - see hash_files
            continue
        progress = [glob.begin() for glob in globs]
        for name in start:
            progress = [glob.step(one, name) for glob, one in zip(globs, progress, strict=True)]
        yield from _below(path, real_root, globs, progress, follow)


def _search_paths(globs: list[Glob]) -> list[tuple[str, ...]]:
    """Where to search, in the order of the patterns, without those that lie under another one."""
    searches = dict.fromkeys(glob.search for glob in globs if not glob.negative)
    return [path for path in searches if not any(path[:length] in searches for length in range(len(path)))]


def _below(path: str, real_root: str, globs: list[Glob], progress: list[Progress], follow: bool) -> Iterator[str]:
    """The matching files at and under a path. `folders` in a stack item: the real paths of the folders it lies in."""
    stack: list[tuple[str, list[Progress], tuple[str, ...]]] = [(path, progress, ())]
    while stack:
        path, progress, folders = stack.pop()
        status = os.lstat(path)
        linked = stat.S_ISLNK(status.st_mode)
        if linked:
            try:
                status = os.stat(path)  # noqa: PTH116 - see hash_files
            except FileNotFoundError:
                continue
            if not _inside(os.path.realpath(path), real_root):
                continue
        if stat.S_ISREG(status.st_mode):
            if _chosen(globs, progress):
                yield path
            continue
        if not stat.S_ISDIR(status.st_mode) or (linked and not follow) or not _may_hold(globs, progress):
            continue
        if follow:
            real = os.path.realpath(path)
            if real in folders:
                continue
            folders = (*folders, real)
        for name in sorted(os.listdir(path), key=os.fsencode, reverse=True):  # noqa: PTH208 - see hash_files
            deeper = [glob.step(one, name) for glob, one in zip(globs, progress, strict=True)]
            if any(one and not glob.negative for glob, one in zip(globs, deeper, strict=True)):
                stack.append((f"{path}/{name}", deeper, folders))


def _inside(real: str, real_root: str) -> bool:
    return real == real_root or real.startswith(real_root.rstrip("/") + "/")


def _chosen(globs: list[Glob], progress: list[Progress]) -> bool:
    """Whether the last pattern that matches the file is not a negation."""
    for glob, one in zip(reversed(globs), reversed(progress), strict=True):
        if glob.matches_file(one):
            return not glob.negative
    return False


def _may_hold(globs: list[Glob], progress: list[Progress]) -> bool:
    """Whether a file below may be chosen: a pattern can still match, and no later negation takes everything back."""
    for glob, one in zip(reversed(globs), reversed(progress), strict=True):
        if one:
            if not glob.negative:
                return True
            if glob.matches_below(one):
                return False
    return False
