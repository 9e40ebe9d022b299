"""GitHub's deliveries: which event each is, and the ref and commit that its runs are of (docs: events that trigger workflows)."""

from domain.webhooks.shape import NOT_SENT, TAGS, Incoming, Json, NoEvent, branch, changed_paths, text
from domain.workflow.syntax_events import EVENTS

_OF_PULL_REQUESTS = ("pull_request", "pull_request_review", "pull_request_review_comment")


def events(name: str, payload: Json) -> tuple[Incoming, ...] | NoEvent:
    """The events of a delivery."""
    if name not in EVENTS or name in NOT_SENT:
        return NoEvent(f"no workflow can listen to {name[:100]}")
    if name in _OF_PULL_REQUESTS:
        return pull_request(name, payload)
    match name:
        case "push":
            ref, sha = text(payload, "ref"), text(payload, "after")
        case "create":
            ref, sha = created_ref(payload), text(payload, "sha")
        case "release":
            ref, sha = TAGS + text(payload, "release", "tag_name"), ""
        case "deployment" | "deployment_status":
            ref, sha = text(payload, "deployment", "ref"), text(payload, "deployment", "sha")
            ref = default_ref(payload) if ref in ("", sha) else branch(ref)
        case "merge_group":
            ref, sha = text(payload, "merge_group", "head_ref"), text(payload, "merge_group", "head_sha")
        case "workflow_dispatch":
            ref, sha = text(payload, "ref") or default_ref(payload), ""
        case _:
            ref, sha = default_ref(payload), ""
    inputs = payload.get("inputs")
    return (
        Incoming(
            event=name,
            repository=text(payload, "repository", "full_name"),
            ref=branch(ref),
            sha=sha,
            payload=payload,
            changed_paths=changed_paths(payload.get("commits")) if name == "push" else None,
            inputs=inputs if name == "workflow_dispatch" and isinstance(inputs, dict) else {},
        ),
    )


def pull_request(name: str, payload: Json) -> tuple[Incoming, ...]:
    """An event of a pull request: of what it would merge to and, as `pull_request_target`, of the branch it would merge into."""
    pull = payload.get("pull_request")
    head, base = text(pull, "head", "ref"), text(pull, "base", "ref")
    number = pull.get("number", 0) if isinstance(pull, dict) else 0
    own = Incoming(
        event=name,
        repository=text(payload, "repository", "full_name"),
        ref=f"refs/pull/{number}/merge",
        sha=text(pull, "merge_commit_sha") or text(pull, "head", "sha"),
        head_ref=head,
        base_ref=base,
        payload=payload,
    )
    if name != "pull_request":
        return (own,)
    target = Incoming(
        event="pull_request_target",
        repository=own.repository,
        ref=branch(base),
        sha=text(pull, "base", "sha"),
        head_ref=head,
        base_ref=base,
        payload=payload,
    )
    return own, target


def created_ref(payload: Json) -> str:
    """The full ref of a created branch or tag."""
    ref = text(payload, "ref")
    return f"{TAGS}{ref}" if text(payload, "ref_type") == "tag" and not ref.startswith("refs/") else branch(ref)


def default_ref(payload: Json) -> str:
    """The repository's default branch: most events are of no commit of their own."""
    return branch(text(payload, "repository", "default_branch") or "main")
