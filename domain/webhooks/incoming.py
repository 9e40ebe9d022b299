"""The door for deliveries: what a forge sent in, the events that it is out.

One delivery can be several events (a pull request is `pull_request` and `pull_request_target`), or none. Pure; it trusts
nothing: whatever a payload holds, the answer is events or a reason. Signatures are checked before.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal

from domain.webhooks import gitea, github, gitlab
from domain.webhooks.shape import NOT_SENT, Incoming, Json, NoEvent
from domain.workflow.syntax_events import EVENTS

__all__ = ["Incoming", "NoEvent", "Provider", "incoming"]

Provider = Literal["github", "gitea", "gitlab"]
_READERS: dict[Provider, Callable[[str, Json], tuple[Incoming, ...] | NoEvent]] = {
    "github": github.events,
    "gitea": gitea.events,
    "gitlab": gitlab.events,
}


def incoming(provider: Provider, name: str, payload: Mapping[str, Any]) -> tuple[Incoming, ...] | NoEvent:
    """The events of a delivery. name: what its event header says (X-GitHub-Event, X-Gitea-Event, X-Gitlab-Event)."""
    found = _READERS[provider](name, dict(payload))
    if isinstance(found, NoEvent):
        return found
    if not all(each.repository for each in found):
        return NoEvent("the payload names no repository")
    assert all(each.event in EVENTS and each.event not in NOT_SENT for each in found)  # noqa: S101 - readers name events of the table
    return found
