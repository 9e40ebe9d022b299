"""The event payload (`github.event`) that a local run makes up when none is given: what a push of this state would bring.

It holds only what the repository itself says. Nobody's name or address is put into it.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from infra.snapshot import Snapshot

Json = dict[str, Any]
ZEROS = "0" * 40


def default_payload(event: str, taken: "Snapshot", inputs: dict[str, str]) -> Json:
    """The payload of `event` for this snapshot."""
    repository = taken.repository
    owner, _, name = repository.full_name.rpartition("/")
    common: Json = {
        "repository": {
            "name": name,
            "full_name": repository.full_name,
            "owner": {"login": owner},
            "default_branch": repository.default_branch,
            "private": True,
        },
        "sender": {"login": "local"},
    }
    if event.startswith("pull_request"):
        head = {"ref": repository.ref.removeprefix("refs/heads/"), "sha": taken.sha}
        base = {"ref": repository.default_branch, "sha": taken.base or ZEROS}
        pull = {"number": 1, "title": taken.subject, "draft": False, "head": head, "base": base, "labels": []}
        return common | {"action": "synchronize", "number": 1, "pull_request": pull}
    if event == "workflow_dispatch":
        return common | {"ref": repository.ref, "inputs": dict(inputs)}
    if event == "push":
        commit = {"id": taken.sha, "message": taken.subject, "added": [], "modified": list(taken.changed or ()), "removed": []}
        return common | {
            "ref": repository.ref,
            "before": taken.base or ZEROS,
            "after": taken.sha,
            "created": taken.base is None,
            "deleted": False,
            "forced": False,
            "head_commit": commit,
            "commits": [commit],
        }
    return common
