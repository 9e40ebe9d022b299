"""Whether an event starts a workflow, and if not, which filter kept it away.

The rules are GitHub's: activity types with their defaults, branch and tag filters (naming only one kind keeps the other
away), path filters, and `[skip ci]`. What the payload does not tell (an event without a payload, unknown paths) passes.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from domain.workflow.dispatch import dispatch_inputs
from domain.workflow.filters import PatternError, ignored, included
from domain.workflow.model import Workflow
from domain.workflow.suggest import quoted_list

__all__ = ["Verdict", "dispatch_inputs", "match"]

DEFAULT_TYPES: dict[str, tuple[str, ...]] = {
    "pull_request": ("opened", "synchronize", "reopened"),
    "pull_request_target": ("opened", "synchronize", "reopened"),
}
SKIP_WORDS = ("[skip ci]", "[ci skip]", "[no ci]", "[skip actions]", "[actions skip]")
_PULL_REQUESTS = ("pull_request", "pull_request_target")
_HEADS, _TAGS = "refs/heads/", "refs/tags/"
_SKIPPABLE = ("push", "pull_request")
_NO_COMMIT = "0" * 40


class Verdict(msgspec.Struct, frozen=True):
    """Whether the workflow runs. reason: a sentence for people. filter: the name of what kept it away."""

    matched: bool
    reason: str
    filter: str | None = None


def match(
    workflow: Workflow,
    event: str,
    *,
    ref: str,
    payload: Mapping[str, Any],
    changed_paths: Sequence[str] | None = None,
) -> Verdict:
    """Whether `event` starts the workflow. ref: full (`refs/heads/main`). changed_paths: None where unknown."""
    if event not in workflow.on:
        listened = quoted_list(workflow.on) or "nothing"
        return _no("on", f"the workflow does not listen to {event}; it listens to {listened}")
    filters = workflow.on[event]
    options: Mapping[str, Any] = filters if isinstance(filters, Mapping) else {}
    try:
        rejected = _rejected(event, options, ref, payload, changed_paths)
    except PatternError as error:
        return _no("pattern", f"a filter pattern says nothing: {error}")
    return rejected or Verdict(matched=True, reason=f"it listens to {event}" + (f" on {ref}" if event == "push" else ""))


def _rejected(
    event: str, options: Mapping[str, Any], ref: str, payload: Mapping[str, Any], changed: Sequence[str] | None
) -> Verdict | None:
    checks = (
        _deleted(event, payload),
        _skipped(event, payload),
        _types(event, options, payload),
        _refs(event, options, ref, payload),
        _named(event, options, payload),
        _paths(event, options, ref, changed),
    )
    return next((check for check in checks if check is not None), None)


def _no(filter_: str, reason: str) -> Verdict:
    return Verdict(matched=False, reason=reason, filter=filter_)


def _deleted(event: str, payload: Mapping[str, Any]) -> Verdict | None:
    if event == "push" and (payload.get("deleted") is True or payload.get("after") == _NO_COMMIT):
        return _no("deleted", "the push deletes its branch or tag, so there is no commit to run")
    return None


def _skipped(event: str, payload: Mapping[str, Any]) -> Verdict | None:
    """`[skip ci]` and its like in the message of the head commit, or a `skip-checks: true` trailer."""
    if event not in _SKIPPABLE:
        return None
    message = _text(payload, "head_commit", "message")
    for word in SKIP_WORDS:
        if word in message.lower():
            return _no("skip", f"the message of the head commit holds {word}")
    if message.rstrip().lower().endswith(("\nskip-checks: true", "\nskip-checks:true")):
        return _no("skip", "the message of the head commit ends in skip-checks: true")
    return None


def _types(event: str, options: Mapping[str, Any], payload: Mapping[str, Any]) -> Verdict | None:
    action = payload.get("action")
    if not isinstance(action, str):
        return None
    types = options.get("types")
    wanted = tuple(types) if types is not None else DEFAULT_TYPES.get(event)
    if wanted is None or action.lower() in (each.lower() for each in wanted):
        return None
    source = "types" if types is not None else "the default types"
    return _no("types", f"the activity is {action}, and {source} of {event} are {quoted_list(wanted)}")


def _refs(event: str, options: Mapping[str, Any], ref: str, payload: Mapping[str, Any]) -> Verdict | None:
    if event == "push":
        return _push(options, ref)
    branch = _branch(event, payload)
    if not branch:
        return None
    what = {"workflow_run": "the branch of the run", "merge_group": "the base branch"}.get(event, "the base branch")
    return _filtered("branches", options, branch, what)


def _branch(event: str, payload: Mapping[str, Any]) -> str:
    """The branch that branch filters of the event look at."""
    if event in _PULL_REQUESTS:
        return _text(payload, "pull_request", "base", "ref").removeprefix(_HEADS)
    if event == "workflow_run":
        return _text(payload, "workflow_run", "head_branch")
    if event == "merge_group":
        return _text(payload, "merge_group", "base_ref").removeprefix(_HEADS)
    return ""


def _push(options: Mapping[str, Any], ref: str) -> Verdict | None:
    is_tag = ref.startswith(_TAGS)
    own, other = ("tags", "branches") if is_tag else ("branches", "tags")
    has_own = own in options or f"{own}-ignore" in options
    has_other = other in options or f"{other}-ignore" in options
    if has_other and not has_own:
        name = other if other in options else f"{other}-ignore"
        kind = "a tag" if is_tag else "a branch"
        return _no(name, f"{ref} is {kind}, and push is limited by {name} alone")
    return _filtered(own, options, ref.removeprefix(_TAGS).removeprefix(_HEADS), "the tag" if is_tag else "the branch")


def _filtered(name: str, options: Mapping[str, Any], value: str, what: str) -> Verdict | None:
    if name in options and not included(options[name], [value]):
        return _no(name, f"{what} {value} matches none of {name}: {quoted_list(options[name])}")
    ignore = f"{name}-ignore"
    if ignore in options and ignored(options[ignore], [value]):
        return _no(ignore, f"{what} {value} matches {ignore}: {quoted_list(options[ignore])}")
    return None


def _named(event: str, options: Mapping[str, Any], payload: Mapping[str, Any]) -> Verdict | None:
    """`workflows` of workflow_run."""
    wanted = options.get("workflows")
    name = _text(payload, "workflow_run", "name") if event == "workflow_run" else ""
    if wanted is None or not name or included(wanted, [name]):
        return None
    return _no("workflows", f'the run was of "{name}", and workflows are {quoted_list(wanted)}')


def _paths(event: str, options: Mapping[str, Any], ref: str, changed: Sequence[str] | None) -> Verdict | None:
    if changed is None or (event == "push" and ref.startswith(_TAGS)) or event not in ("push", *_PULL_REQUESTS):
        return None
    if "paths" in options and not included(options["paths"], changed):
        return _no("paths", f"none of the {len(changed)} changed files matches paths: {quoted_list(options['paths'])}")
    if "paths-ignore" in options and ignored(options["paths-ignore"], changed):
        return _no("paths-ignore", f"all of the {len(changed)} changed files match paths-ignore: {quoted_list(options['paths-ignore'])}")
    return None


def _text(value: Any, *path: str) -> str:
    """The text at a path of a payload, "" where there is none."""
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value if isinstance(value, str) else ""
