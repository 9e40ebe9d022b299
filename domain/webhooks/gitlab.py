"""GitLab's deliveries in GitHub's terms: a merge request is a pull request, a note a comment, a tag push a push.

The payload that workflows see is made from GitLab's: its parts that CI reads, under GitHub's names. Nothing of GitLab's
own shape stays, so that what is untrusted is found under the names that are known to be.
"""

from collections.abc import Callable
from typing import Any

from domain.webhooks import github
from domain.webhooks.shape import NO_COMMIT, TAGS, Incoming, Json, NoEvent, changed_paths, text

_PULLS = {"open": "opened", "reopen": "reopened", "close": "closed", "merge": "closed"}
_ISSUES = {"open": "opened", "reopen": "reopened", "close": "closed", "update": "edited"}
_RELEASES = {"create": "published", "update": "edited", "delete": "deleted"}


def events(name: str, payload: Json) -> tuple[Incoming, ...] | NoEvent:
    """The events of a delivery. The payload says what it is (`object_kind`); the header only where it does not."""
    kind = text(payload, "object_kind") or name.lower().removesuffix(" hook").replace(" ", "_")
    read = _READERS.get(kind)
    if read is None:
        return NoEvent(f"no workflow can listen to {kind[:100]} of GitLab")
    return read(payload)


def _common(payload: Json) -> Json:
    """Repository and sender."""
    project, user = _part(payload, "project"), _part(payload, "user")
    full_name = text(project, "path_with_namespace")
    owner, _, name = full_name.rpartition("/")
    repository = {
        "id": project.get("id"),
        "name": name,
        "full_name": full_name,
        "owner": {"login": owner},
        "private": project.get("visibility_level") != 20,
        "html_url": text(project, "web_url"),
        "clone_url": text(project, "git_http_url"),
        "default_branch": text(project, "default_branch"),
    }
    login = text(user, "username") or text(payload, "user_username")
    return {"repository": repository, "sender": {"login": login, "id": user.get("id", payload.get("user_id"))}}


def _push(payload: Json) -> tuple[Incoming, ...] | NoEvent:
    """A push and, of a ref that is new or gone, its creation or deletion."""
    common, ref = _common(payload), text(payload, "ref")
    before, after = text(payload, "before"), text(payload, "after")
    listed = payload.get("commits")
    commits = [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
    sha = text(payload, "checkout_sha") or after
    pushed = common | {
        "ref": ref,
        "before": before,
        "after": after,
        "created": before == NO_COMMIT,
        "deleted": after == NO_COMMIT,
        "commits": commits,
        "head_commit": next((each for each in commits if each.get("id") == sha), None),
    }
    paths = changed_paths(commits, payload.get("total_commits_count"))
    push = Incoming(event="push", repository=common["repository"]["full_name"], ref=ref, sha=after, payload=pushed, changed_paths=paths)
    if NO_COMMIT not in (before, after):
        return (push,)
    is_tag = ref.startswith(TAGS)
    about = common | {"ref": ref.split("/", 2)[-1], "ref_type": "tag" if is_tag else "branch", "sha": sha if after != NO_COMMIT else ""}
    other = github.events("delete" if after == NO_COMMIT else "create", about)
    return other if isinstance(other, NoEvent) else (push, *other)


def _merge_request(payload: Json) -> tuple[Incoming, ...] | NoEvent:
    of = _part(payload, "object_attributes")
    action = _pull_activity(of, _part(payload, "changes"))
    if action is None:
        return NoEvent(f"the merge request was {text(of, 'action')[:100]}, and no workflow can listen to that")
    pull = _pull(of) | {"merged": text(of, "action") == "merge", "labels": _labels(payload)}
    return github.events("pull_request", _common(payload) | {"action": action, "number": of.get("iid"), "pull_request": pull})


def _pull_activity(of: Json, changes: Json) -> str | None:
    action = text(of, "action")
    if action != "update":
        return _PULLS.get(action)
    if text(of, "oldrev"):
        return "synchronize"
    if "labels" in changes:
        before, now = (len(each) if isinstance(each := _part(changes, "labels").get(when), list) else 0 for when in ("previous", "current"))
        return "unlabeled" if now < before else "labeled"
    if "draft" in changes:
        return "converted_to_draft" if _part(changes, "draft").get("current") else "ready_for_review"
    return "edited"


def _pull(of: Json) -> Json:
    """A merge request as GitHub shows a pull request."""
    return {
        "number": of.get("iid"),
        "title": text(of, "title"),
        "body": text(of, "description"),
        "state": "open" if text(of, "state") == "opened" else "closed",
        "draft": bool(of.get("draft", of.get("work_in_progress", False))),
        "html_url": text(of, "url"),
        "merge_commit_sha": text(of, "merge_commit_sha") or None,
        "head": {"ref": text(of, "source_branch"), "sha": text(of, "last_commit", "id")},
        "base": {"ref": text(of, "target_branch"), "sha": ""},
    }


def _note(payload: Json) -> tuple[Incoming, ...] | NoEvent:
    """A comment on an issue or a merge request, or on a line of one."""
    of = _part(payload, "object_attributes")
    common, comment = _common(payload), {"id": of.get("id"), "body": text(of, "note"), "html_url": text(of, "url")}
    made = common | {"action": "edited" if text(of, "action") == "update" else "created", "comment": comment}
    match text(of, "noteable_type"):
        case "MergeRequest":
            pull = _pull(_part(payload, "merge_request"))
            if text(of, "type") == "DiffNote":
                return github.events("pull_request_review_comment", made | {"pull_request": pull})
            return github.events("issue_comment", made | {"issue": pull | {"pull_request": {"html_url": pull["html_url"]}}})
        case "Issue":
            return github.events("issue_comment", made | {"issue": _issue_of(_part(payload, "issue"))})
        case other:
            return NoEvent(f"a note on {other[:100] or 'nothing'}, and no workflow can listen to that")


def _issue(payload: Json) -> tuple[Incoming, ...] | NoEvent:
    of = _part(payload, "object_attributes")
    issue = _issue_of(of) | {"labels": _labels(payload)}
    return github.events("issues", _common(payload) | {"action": _ISSUES.get(text(of, "action"), "edited"), "issue": issue})


def _issue_of(of: Json) -> Json:
    state = "open" if text(of, "state") == "opened" else "closed"
    return {
        "number": of.get("iid"), "title": text(of, "title"), "body": text(of, "description"), "state": state, "html_url": text(of, "url")
    }  # fmt: skip


def _release(payload: Json) -> tuple[Incoming, ...] | NoEvent:
    release = {"tag_name": text(payload, "tag"), "name": text(payload, "name"), "body": text(payload, "description")}
    made = _common(payload) | {"action": _RELEASES.get(text(payload, "action"), "edited"), "release": release}
    return github.events("release", made)


def _deployment(payload: Json) -> tuple[Incoming, ...] | NoEvent:
    deployment = {"ref": text(payload, "ref"), "sha": text(payload, "short_sha"), "environment": text(payload, "environment")}
    status = {"state": text(payload, "status"), "environment": text(payload, "environment")}
    return github.events("deployment_status", _common(payload) | {"deployment": deployment, "deployment_status": status})


def _wiki(payload: Json) -> tuple[Incoming, ...] | NoEvent:
    page = _part(payload, "object_attributes")
    action = "created" if text(page, "action") == "create" else "edited"
    pages = [{"page_name": text(page, "slug"), "title": text(page, "title"), "action": action, "html_url": text(page, "url")}]
    return github.events("gollum", _common(payload) | {"pages": pages})


def _labels(payload: Json) -> list[Json]:
    listed = payload.get("labels")
    return [{"name": text(each, "title")} for each in listed] if isinstance(listed, list) else []


def _part(payload: Any, name: str) -> Json:
    """An object of a payload, empty where there is none."""
    found = payload.get(name) if isinstance(payload, dict) else None
    return found if isinstance(found, dict) else {}


_READERS: dict[str, Callable[[Json], tuple[Incoming, ...] | NoEvent]] = {
    "push": _push,
    "tag_push": _push,
    "merge_request": _merge_request,
    "note": _note,
    "issue": _issue,
    "release": _release,
    "deployment": _deployment,
    "wiki_page": _wiki,
}
