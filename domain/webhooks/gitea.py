"""Gitea's and Forgejo's deliveries: GitHub's shapes with other names for some events and activities."""

from domain.webhooks import github
from domain.webhooks.shape import Incoming, Json, NoEvent

_ACTIVITIES = {
    "synchronized": "synchronize",
    "label_updated": "labeled",
    "label_cleared": "unlabeled",
    "review_requested": "review_requested",
    "review_request_removed": "review_request_removed",
}
_REVIEWS = {"approved": "approved", "rejected": "changes_requested", "comment": "commented"}
_NAMES = {"pull_request_sync": "pull_request", "pull_request_comment": "issue_comment", "wiki": "gollum", "package": "registry_package"}
_ASPECTS = ("issue", "pull_request")
"""`issue_label`, `pull_request_assign` and their like are the same events, told apart by their activity."""


def events(name: str, payload: Json) -> tuple[Incoming, ...] | NoEvent:
    """The events of a delivery."""
    action = payload.get("action")
    if isinstance(action, str) and action in _ACTIVITIES:
        payload = payload | {"action": _ACTIVITIES[action]}
    verdict = name.removeprefix("pull_request_review_").removeprefix("pull_request_")
    if name.startswith("pull_request_") and verdict in _REVIEWS and "review" in payload:
        review = payload["review"] if isinstance(payload["review"], dict) else {}
        review = review | {"state": _REVIEWS[verdict], "body": review.get("content", "")}
        return github.events("pull_request_review", payload | {"action": "submitted", "review": review})
    for aspect in _ASPECTS:
        if name.startswith(f"{aspect}_") and name.rpartition("_")[2] in ("assign", "label", "milestone"):
            name = "issues" if aspect == "issue" else aspect
    return github.events(_NAMES.get(name, name), payload)
