"""Which events start a workflow, and which filter keeps the others away."""

import json

import pytest

from domain.workflow import triggers
from domain.workflow.filters import included
from domain.workflow.reader import read
from tests.domain.workflow.reading import JOB, accepted

HEADS, TAGS = "refs/heads/", "refs/tags/"


def verdict(on: str, event: str, ref: str = "refs/heads/main", payload=None, changed=None):
    return triggers.match(accepted(f"on: {on}\n{JOB}"), event, ref=ref, payload=payload or {}, changed_paths=changed)


def kept_by(*args, **kwargs):
    found = verdict(*args, **kwargs)
    assert found.matched is (found.filter is None)
    assert found.reason
    return found.filter


def test_an_event_that_is_not_listened_to_is_told_with_those_that_are():
    """The reason lists what the workflow listens to."""
    found = verdict("[push, issues]", "release")
    assert (found.matched, found.filter, found.reason) == (
        False,
        "on",
        "the workflow does not listen to release; it listens to push, issues",
    )


@pytest.mark.parametrize(
    ("filters", "ref", "wanted"),
    [
        ("{}", HEADS + "any", None),
        ("{}", TAGS + "v1", None),
        ("{branches: [main, 'release/**']}", HEADS + "main", None),
        ("{branches: [main, 'release/**']}", HEADS + "release/1/2", None),
        ("{branches: [main]}", HEADS + "dev", "branches"),
        ("{branches: ['*', '!dev']}", HEADS + "dev", "branches"),
        ("{branches: [main]}", TAGS + "v1", "branches"),
        ("{branches-ignore: [dev]}", HEADS + "dev", "branches-ignore"),
        ("{branches-ignore: [dev]}", HEADS + "main", None),
        ("{branches-ignore: [dev]}", TAGS + "v1", "branches-ignore"),
        ("{tags: [v*]}", TAGS + "v1", None),
        ("{tags: [v*]}", TAGS + "1", "tags"),
        ("{tags: [v*]}", HEADS + "main", "tags"),
        ("{tags-ignore: [v*]}", TAGS + "v1", "tags-ignore"),
        ("{branches: [main], tags: [v*]}", TAGS + "v1", None),
        ("{branches: [main], tags: [v*]}", HEADS + "main", None),
    ],
)
def test_a_push_is_filtered_by_its_branch_or_tag(filters, ref, wanted):
    """Naming only branches keeps tags away, and the other way round."""
    assert kept_by(f"{{push: {filters}}}", "push", ref) == wanted


@pytest.mark.parametrize(
    ("filters", "changed", "wanted"),
    [
        ("{paths: ['src/**']}", ["src/a/b.py", "README"], None),
        ("{paths: ['src/**']}", ["README"], "paths"),
        ("{paths: ['src/**', '!src/docs/**']}", ["src/docs/a"], "paths"),
        ("{paths-ignore: ['**.md']}", ["a.md", "b/c.md"], "paths-ignore"),
        ("{paths-ignore: ['**.md']}", ["a.md", "b.py"], None),
        ("{paths: ['src/**']}", None, None),
    ],
)
def test_changed_files_are_filtered(filters, changed, wanted):
    """`paths` needs one match, `paths-ignore` keeps away what it matches whole; unknown changes pass."""
    for event, payload in (("push", {}), ("pull_request", {"action": "opened"})):
        assert kept_by(f"{{{event}: {filters}}}", event, payload=payload, changed=changed) == wanted


def test_path_filters_do_not_count_for_tags():
    """GitHub does not evaluate them for pushes of tags."""
    assert kept_by("{push: {paths: [src/**]}}", "push", TAGS + "v1", changed=["README"]) is None


@pytest.mark.parametrize(
    ("on", "action", "wanted"),
    [
        ("pull_request", "opened", None),
        ("pull_request", "labeled", "types"),
        ("{pull_request: {types: [labeled]}}", "labeled", None),
        ("{pull_request: {types: [labeled]}}", "opened", "types"),
        ("{pull_request: {branches: [main]}}", "synchronize", None),
        ("{pull_request: {branches: [dev]}}", "synchronize", "branches"),
        ("{pull_request: {branches-ignore: [main]}}", "synchronize", "branches-ignore"),
    ],
)
def test_a_pull_request_has_default_types_and_a_base_branch(on, action, wanted):
    """opened, synchronize and reopened unless types say otherwise; branches are those it goes into."""
    payload = {"action": action, "pull_request": {"base": {"ref": "main"}, "head": {"ref": "dev"}}}
    assert kept_by(on, "pull_request", "refs/pull/1/merge", payload) == wanted


@pytest.mark.parametrize(
    ("event", "on", "payload", "wanted"),
    [
        ("issues", "issues", {"action": "pinned"}, None),
        ("issues", "{issues: {types: [opened]}}", {"action": "closed"}, "types"),
        ("repository_dispatch", "{repository_dispatch: {types: [go]}}", {"action": "go"}, None),
        ("repository_dispatch", "{repository_dispatch: {types: [go]}}", {"action": "stop"}, "types"),
        ("workflow_run", "{workflow_run: {workflows: [CI]}}", {"action": "completed", "workflow_run": {"name": "CI"}}, None),
        ("workflow_run", "{workflow_run: {workflows: [CI]}}", {"action": "completed", "workflow_run": {"name": "X"}}, "workflows"),
        (
            "workflow_run",
            "{workflow_run: {workflows: [CI], branches: [main]}}",
            {"workflow_run": {"name": "CI", "head_branch": "a"}},
            "branches",
        ),
        ("merge_group", "{merge_group: {branches: [main]}}", {"merge_group": {"base_ref": "refs/heads/main"}}, None),
        ("schedule", "{schedule: [{cron: '0 0 * * *'}]}", {}, None),
        ("create", "create", {}, None),
    ],
)
def test_every_other_event_goes_by_its_types_and_filters(event, on, payload, wanted):
    """Generic types, and the few filters that other events have."""
    assert kept_by(on, event, payload=payload) == wanted


@pytest.mark.parametrize("word", ["[skip ci]", "[CI Skip]", "[no ci]", "[skip actions]", "[actions skip]"])
def test_a_commit_message_can_skip_push_and_pull_request(word):
    """The words that GitHub documents, in any case."""
    payload = {"head_commit": {"message": f"fix {word} now"}}
    assert kept_by("push", "push", payload=payload) == "skip"
    assert kept_by("release", "release", payload=payload) is None
    assert kept_by("push", "push", payload={"head_commit": {"message": "fix\n\nskip-checks: true"}}) == "skip"


def test_the_deletion_of_a_branch_starts_nothing():
    """There is no commit to run."""
    assert kept_by("push", "push", payload={"deleted": True}) == "deleted"


def test_the_reason_names_values_and_filter():
    """A person can see at once which pattern to change."""
    assert verdict("{push: {branches: [main, v*]}}", "push", HEADS + "dev").reason == "the branch dev matches none of branches: main, v*"


def test_a_broken_pattern_is_warned_about_and_starts_nothing():
    """The file is valid for GitHub's parser; the finding stands at the character."""
    workflow, found = read("ci.yml", f"on: {{push: {{paths: ['a[', b]}}}}\n{JOB}")
    assert workflow is not None
    assert [(each.code, each.severity, each.line) for each in found] == [("WF405", "warning", 1)]
    verdict_ = triggers.match(workflow, "push", ref=HEADS + "main", payload={}, changed_paths=["c"])
    assert (verdict_.matched, verdict_.filter) == (False, "pattern")


def inputs(given: dict[str, object]):
    text = (
        "on: {workflow_dispatch: {inputs: {level: {type: choice, options: [low, high], default: low}, count: {type: number},"
        " dry: {type: boolean, default: true}, who: {required: true}, note: }}}\n" + JOB
    )
    found, wrong = triggers.dispatch_inputs(accepted(text), given)
    return found, [(each.code, each.help) for each in wrong]


def test_inputs_get_their_types_and_defaults():
    """Booleans are booleans, numbers numbers; what is not given is its default, or empty."""
    assert inputs({"who": "me"}) == ({"level": "low", "count": 0, "dry": True, "who": "me", "note": ""}, [])
    assert inputs({"WHO": "me", "count": "2.5", "dry": "false", "level": "high"})[0] == {
        "level": "high",
        "count": 2.5,
        "dry": False,
        "who": "me",
        "note": "",
    }


def test_wrong_inputs_are_named():
    """Unknown, missing, of a wrong type, none of the options."""
    _, wrong = inputs({"whoo": "me", "count": "two", "dry": "perhaps", "level": "mid"})
    assert wrong == [
        ("WF301", 'did you mean "who"?'),
        ("WF303", "it is one of low, high"),
        ("WF303", "it is a number"),
        ("WF303", "it is true or false"),
        ("WF302", "give it with --input who=VALUE"),
    ]


def test_patterns_are_those_of_the_filter_language():
    """The filters module decides, so a pattern means the same everywhere."""
    assert included(["release/**"], ["release/1"])
    assert json.dumps(verdict("{push: {branches: ['release/**']}}", "push", HEADS + "release/1").matched) == "true"
