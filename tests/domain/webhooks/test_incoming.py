"""Deliveries of three forges become the same events, with the ref, commit and payload that workflows expect."""

from typing import Any

import pytest

from domain.webhooks.incoming import Incoming, NoEvent, incoming
from domain.webhooks.shape import NO_COMMIT, NOT_SENT
from domain.workflow import triggers
from domain.workflow.syntax_events import ACTIVITIES, EVENTS
from tests.domain.workflow.reading import JOB, accepted
from tests.domain.workflow.test_reader_shared import lines_of

REPOSITORY = {"full_name": "octo/hello", "default_branch": "trunk"}
NO_RUN = ("installation", "ping", "workflow_job")
SHA, OTHER = "a" * 40, "b" * 40
GITLAB = {
    "project": {"path_with_namespace": "octo/hello", "default_branch": "trunk", "web_url": "https://lab.example.org/octo/hello"},
    "user": {"id": 7, "username": "ann"},
}
MERGE = {
    "iid": 4,
    "title": "T",
    "description": "D",
    "state": "opened",
    "source_branch": "topic",
    "target_branch": "trunk",
    "last_commit": {"id": SHA},
}


def events(provider: Any, name: str, payload: dict[str, Any]) -> tuple[Incoming, ...]:
    """The events of a delivery that has some."""
    found = incoming(provider, name, payload)
    assert not isinstance(found, NoEvent), found.reason
    return found


def starts(on: str, event: Incoming) -> bool:
    """Whether a workflow with this `on` runs."""
    return triggers.match(accepted(f"on: {on}\n{JOB}"), event.event, ref=event.ref, payload=event.payload).matched


@pytest.mark.parametrize("case", range(30))
def test_every_recorded_payload_starts_a_run_or_says_why_not(case: int) -> None:
    """Each of GitHub's payloads is the event of its header, of a full ref; what is none of `on` is refused with its name."""
    recorded = lines_of("webhooks.jsonl")[case]
    name, payload = recorded["event"], recorded["payload"]
    found = incoming("github", name, payload)
    if name in NO_RUN:
        assert isinstance(found, NoEvent)
        assert name in found.reason
        return
    assert not isinstance(found, NoEvent)
    assert found[0].event == name
    assert found[0].repository == payload["repository"]["full_name"]
    for each in found:
        assert each.ref.startswith("refs/")
        assert each.payload == payload
        types = f"{{types: [{payload['action']}]}}" if "action" in payload and each.event in ACTIVITIES else ""
        gone = each.event == "push" and payload.get("deleted")
        assert starts(f"{{{each.event}: {types}}}", each) is not gone


@pytest.mark.parametrize("name", sorted(set(EVENTS) - set(NOT_SENT) - {"pull_request_target"}))
def test_every_event_that_on_can_name_can_start_a_run(name: str) -> None:
    """Whatever else its payload lacks. `pull_request_target` comes with `pull_request`."""
    found = events("github", name, {"repository": REPOSITORY, "ref": "refs/heads/trunk"})
    assert [each.event for each in found] == [name] + (["pull_request_target"] if name == "pull_request" else [])
    assert all(starts(each.event, each) for each in found)


def test_a_pull_request_is_of_its_merge_and_its_target_of_the_base() -> None:
    """Refs and commits as GitHub documents them."""
    pull = {
        "number": 4,
        "merge_commit_sha": SHA,
        "head": {"ref": "topic", "sha": OTHER},
        "base": {"ref": "trunk", "sha": "c" * 40},
    }
    own, target = events("github", "pull_request", {"repository": REPOSITORY, "action": "opened", "pull_request": pull})
    assert (own.ref, own.sha, own.head_ref, own.base_ref) == ("refs/pull/4/merge", SHA, "topic", "trunk")
    assert (target.event, target.ref, target.sha) == ("pull_request_target", "refs/heads/trunk", "c" * 40)


def test_refs_of_other_events() -> None:
    """A release is of its tag, a deployment of what it deploys, a dispatch of the ref asked for, all else of the default branch."""
    (release,) = events("github", "release", {"repository": REPOSITORY, "release": {"tag_name": "v1"}})
    (deployed,) = events("github", "deployment", {"repository": REPOSITORY, "deployment": {"ref": "topic", "sha": SHA}})
    (created,) = events("github", "create", {"repository": REPOSITORY, "ref": "v1", "ref_type": "tag"})
    (asked,) = events("github", "workflow_dispatch", {"repository": REPOSITORY, "ref": "refs/heads/topic", "inputs": {"a": "b"}})
    (issue,) = events("github", "issues", {"repository": REPOSITORY})
    assert [each.ref for each in (release, deployed, created, asked, issue)] == [
        "refs/tags/v1",
        "refs/heads/topic",
        "refs/tags/v1",
        "refs/heads/topic",
        "refs/heads/trunk",
    ]
    assert (deployed.sha, asked.inputs) == (SHA, {"a": "b"})


def test_the_changed_paths_of_a_push_are_known_where_all_commits_are_told() -> None:
    """Otherwise unknown, so that no path filter keeps a run away wrongly."""
    commits = [{"added": ["b"], "modified": ["a"], "removed": []}, {"added": [], "modified": ["a"], "removed": ["c"]}]
    push = {"repository": REPOSITORY, "ref": "refs/heads/trunk", "after": SHA}
    assert events("github", "push", push | {"commits": commits})[0].changed_paths == ("a", "b", "c")
    assert events("github", "push", push | {"commits": []})[0].changed_paths is None
    assert events("github", "push", push | {"commits": [{"id": SHA}]})[0].changed_paths is None
    lab = {**GITLAB, "object_kind": "push", "ref": "refs/heads/trunk", "before": OTHER, "after": SHA}
    assert events("gitlab", "Push Hook", {**lab, "commits": commits, "total_commits_count": 30})[0].changed_paths is None
    assert events("gitlab", "Push Hook", {**lab, "commits": commits, "total_commits_count": 2})[0].changed_paths == ("a", "b", "c")


@pytest.mark.parametrize(
    ("name", "payload", "event", "action"),
    [
        ("push", {"ref": "refs/heads/trunk", "after": SHA}, "push", None),
        ("pull_request", {"action": "synchronized"}, "pull_request", "synchronize"),
        ("pull_request_sync", {"action": "synchronized"}, "pull_request", "synchronize"),
        ("pull_request_label", {"action": "label_updated"}, "pull_request", "labeled"),
        ("issue_assign", {"action": "assigned"}, "issues", "assigned"),
        ("pull_request_approved", {"action": "reviewed", "review": {"content": "ok"}}, "pull_request_review", "submitted"),
        ("pull_request_review_rejected", {"action": "reviewed", "review": {}}, "pull_request_review", "submitted"),
        ("pull_request_comment", {"action": "created", "comment": {}}, "issue_comment", "created"),
        ("release", {"action": "published", "release": {"tag_name": "v1"}}, "release", "published"),
        ("wiki", {"action": "created"}, "gollum", "created"),
    ],
)
def test_gitea_names_become_githubs(name: str, payload: dict[str, Any], event: str, action: str | None) -> None:
    """Event headers and activities."""
    found = events("gitea", name, {"repository": REPOSITORY, **payload})[0]
    assert (found.event, found.payload.get("action")) == (event, action)
    if event == "pull_request_review":
        assert found.payload["review"]["state"] in ("approved", "changes_requested")


@pytest.mark.parametrize(
    ("of", "changes", "action"),
    [
        ({"action": "open"}, {}, "opened"),
        ({"action": "reopen"}, {}, "reopened"),
        ({"action": "merge", "state": "merged"}, {}, "closed"),
        ({"action": "update", "oldrev": OTHER}, {}, "synchronize"),
        ({"action": "update"}, {"labels": {"previous": [], "current": [{"title": "x"}]}}, "labeled"),
        ({"action": "update"}, {"labels": {"previous": [{"title": "x"}], "current": []}}, "unlabeled"),
        ({"action": "update"}, {"draft": {"previous": True, "current": False}}, "ready_for_review"),
        ({"action": "update"}, {"title": {}}, "edited"),
    ],
)
def test_a_merge_request_is_a_pull_request(of: dict[str, Any], changes: dict[str, Any], action: str) -> None:
    """Its activity follows from GitLab's action and what changed; branch filters and untrusted names find their values."""
    payload = {**GITLAB, "object_kind": "merge_request", "object_attributes": {**MERGE, **of}, "changes": changes}
    own, target = events("gitlab", "Merge Request Hook", payload)
    assert (own.event, target.event, own.payload["action"]) == ("pull_request", "pull_request_target", action)
    assert (own.ref, own.sha, own.head_ref, own.base_ref) == ("refs/pull/4/merge", SHA, "topic", "trunk")
    assert (own.payload["pull_request"]["title"], own.payload["sender"]["login"]) == ("T", "ann")
    assert starts(f"{{pull_request: {{types: [{action}], branches: [trunk]}}}}", own)
    assert not starts("{pull_request: {branches: [other]}}", own)


def test_gitlabs_pushes_of_new_and_deleted_refs_are_two_events() -> None:
    """A tag push is a push of a tag; a new ref is created, too."""
    tag = {**GITLAB, "object_kind": "tag_push", "ref": "refs/tags/v1", "before": NO_COMMIT, "after": SHA}
    push, created = events("gitlab", "Tag Push Hook", tag)
    assert (push.event, push.ref, push.sha, created.event, created.ref) == ("push", "refs/tags/v1", SHA, "create", "refs/tags/v1")
    assert starts("{push: {tags: ['v*']}}", push)
    push, deleted = events("gitlab", "Push Hook", {**tag, "object_kind": "push", "ref": "refs/heads/x", "after": NO_COMMIT, "before": SHA})
    assert (deleted.event, deleted.payload["ref"]) == ("delete", "x")
    assert not starts("push", push)


@pytest.mark.parametrize(
    ("kind", "payload", "event"),
    [
        ("issue", {"object_attributes": {"action": "close", "iid": 1, "title": "T"}}, "issues"),
        ("note", {"object_attributes": {"noteable_type": "Issue", "note": "hi"}, "issue": {"iid": 1}}, "issue_comment"),
        ("note", {"object_attributes": {"noteable_type": "MergeRequest", "note": "hi"}, "merge_request": MERGE}, "issue_comment"),
        (
            "note",
            {"object_attributes": {"noteable_type": "MergeRequest", "type": "DiffNote", "note": "hi"}, "merge_request": MERGE},
            "pull_request_review_comment",
        ),
        ("release", {"action": "create", "tag": "v1"}, "release"),
        ("deployment", {"status": "success", "ref": "trunk"}, "deployment_status"),
        ("wiki_page", {"object_attributes": {"slug": "home", "title": "T", "action": "create"}}, "gollum"),
    ],
)
def test_gitlabs_other_events(kind: str, payload: dict[str, Any], event: str) -> None:
    """Each starts a workflow that listens to GitHub's name for it, with its text under GitHub's path."""
    (found,) = events("gitlab", kind, {**GITLAB, "object_kind": kind, **payload})
    assert found.event == event
    assert starts(event, found)
    if kind == "note":
        assert found.payload["comment"]["body"] == "hi"


@pytest.mark.parametrize(
    ("provider", "name", "payload"),
    [
        ("github", "ping", {}),
        ("github", "schedule", {"repository": REPOSITORY}),
        ("github", "push", {}),
        ("gitea", "repository", {"repository": REPOSITORY}),
        ("gitlab", "Pipeline Hook", GITLAB),
        ("gitlab", "", {"object_kind": ["push"]}),
        ("gitlab", "note", {**GITLAB, "object_attributes": {"noteable_type": "Commit"}}),
        ("gitlab", "merge_request", {**GITLAB, "object_attributes": {"action": "approved"}}),
    ],
)
def test_what_starts_nothing_says_why(provider: Any, name: str, payload: dict[str, Any]) -> None:
    """Also payloads of a wrong shape: never an exception."""
    found = incoming(provider, name, payload)
    assert isinstance(found, NoEvent)
    assert found.reason


@pytest.mark.parametrize("provider", ["github", "gitea", "gitlab"])
@pytest.mark.parametrize("wrong", [None, 7, "text", [], [7], {"commits": 7}])
def test_no_shape_of_a_payload_raises(provider: Any, wrong: Any) -> None:
    """Every part replaced by every wrong value, for every event."""
    keys = ("action", "commits", "ref", "pull_request", "review", "release", "deployment", "inputs", "object_attributes", "changes")
    names = [*EVENTS, "merge_request", "note", "issue", "tag_push", "wiki_page", "pull_request_approved", "issue_label"]
    for name in names:
        for key in (*keys, "project", "user", "labels", "repository", "issue", "merge_request", "object_kind"):
            incoming(provider, name, {**GITLAB, "repository": REPOSITORY, key: wrong})
