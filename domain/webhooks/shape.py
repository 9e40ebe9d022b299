"""The one shape of an event from outside, whichever forge sent it, and what the readers of payloads share.

A payload is kept as GitHub would have sent it, because that is what `github.event` shows to workflows.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

Json = dict[str, Any]
HEADS, TAGS = "refs/heads/", "refs/tags/"
NO_COMMIT = "0" * 40
NOT_SENT = ("schedule", "workflow_call")
"""Events of `on` that no forge sends: a clock fires the one, a calling workflow the other."""


class Incoming(msgspec.Struct, frozen=True, kw_only=True):
    """An event that may start runs. event: as `on` names it. ref: full. sha: "" where it is the newest commit of ref.

    head_ref, base_ref: branches of a pull request. changed_paths: None where the payload does not tell. inputs: those of
    a dispatch. repository: full name; payload: GitHub's shape.
    """

    event: str
    repository: str
    ref: str
    payload: Json
    sha: str = ""
    head_ref: str = ""
    base_ref: str = ""
    changed_paths: tuple[str, ...] | None = None
    inputs: Json = {}


class NoEvent(msgspec.Struct, frozen=True):
    """The delivery can start nothing, and why."""

    reason: str


def text(value: Any, *path: str) -> str:
    """The text at a path of a payload, "" where there is none."""
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value if isinstance(value, str) else ""


def branch(name: str) -> str:
    """A branch's full ref."""
    return name if name.startswith("refs/") else f"{HEADS}{name}"


def changed_paths(commits: Any, total: Any = None) -> tuple[str, ...] | None:
    """The files that the commits of a push touch; None where not all of them are told."""
    if not isinstance(commits, list) or not commits or (isinstance(total, int) and total > len(commits)):
        return None
    found: set[str] = set()
    for commit in commits:
        for kind in ("added", "modified", "removed"):
            listed = commit.get(kind) if isinstance(commit, Mapping) else None
            if not isinstance(listed, list):
                return None
            found.update(path for path in listed if isinstance(path, str))
    return tuple(sorted(found))
