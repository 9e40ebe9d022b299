"""Why an event did not start a workflow: each filter driven, and named; without it the workflow starts."""

from typing import Any

import pytest

from domain.why.reason import FILTERS
from domain.workflow import reader, triggers

REJECTED: dict[str, tuple[str, str, dict[str, Any]]] = {
    "on": ("pull_request", "push", {}),
    "deleted": ("push", "push", {"payload": {"deleted": True}}),
    "skip": ("push", "push", {"payload": {"head_commit": {"message": "fix [skip ci]"}}}),
    "types": ("{pull_request: {types: [closed]}}", "pull_request", {"payload": {"action": "opened"}}),
    "branches": ("{push: {branches: [release]}}", "push", {}),
    "branches-ignore": ("{push: {branches-ignore: [ma*]}}", "push", {}),
    "tags": ("{push: {tags: [v1]}}", "push", {"ref": "refs/tags/v2"}),
    "tags-ignore": ("{push: {tags-ignore: [v*]}}", "push", {"ref": "refs/tags/v2"}),
    "workflows": ("{workflow_run: {workflows: [other]}}", "workflow_run", {"payload": {"workflow_run": {"name": "ci"}}}),
    "paths": ("{push: {paths: [docs/**]}}", "push", {"changed_paths": ["a.py"]}),
    "paths-ignore": ("{push: {paths-ignore: ['**.py']}}", "push", {"changed_paths": ["a.py"]}),
}


def verdict(on: str, event: str, **facts: Any) -> triggers.Verdict:
    """Whether the event starts a workflow that listens so."""
    workflow, problems = reader.read("ci.yml", f"on: {on}\njobs: {{a: {{runs-on: linux, steps: [{{run: a}}]}}}}")
    assert workflow is not None, problems
    return triggers.match(workflow, event, **{"ref": "refs/heads/main", "payload": {}, **facts})


@pytest.mark.parametrize("name", REJECTED)
def test_the_filter_that_kept_it_away_is_named(name: str) -> None:
    """By its key in the file; the event alone would have started the workflow."""
    on, event, facts = REJECTED[name]
    found = verdict(on, event, **facts)
    assert (found.matched, found.filter) == (False, name)
    assert verdict(event, event).matched


def test_every_filter_is_explained() -> None:
    """The documentation knows those that are driven here, and the one that a broken pattern gets."""
    assert set(FILTERS) == {*REJECTED, "pattern"}
