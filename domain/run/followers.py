"""What follows a run: workflows that listen to `workflow_run`, and the event that they get.

The files that listen are those of the default branch, as on GitHub, where whoever tells of the event knows it, else those
of the run's own commit. They are fixed when it starts and handed on from run to run, so that no repository has to be asked
later.
"""

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from domain import ids
from domain.run import events as e
from domain.run.commands import TriggerRun
from domain.run.state import Run
from domain.workflow import triggers
from domain.workflow.model import Workflow

EVENT = "workflow_run"
CHAIN_MAX = 3
"""How many levels of workflows may follow each other, as on GitHub."""

FOLLOWED = (e.FollowersFixed, e.RunCompleted)
"""The events of a run that others may listen to."""


def fixed(name: str, level: int, listeners: Iterable[tuple[e.Follower, Workflow]], ref: str = "", sha: str = "") -> e.FollowersFixed | None:
    """The listeners of a run, if one of them may follow it. name: of its workflow; the rest: see FollowersFixed."""
    known = tuple(listeners)
    payload = {"workflow_run": {"name": name}}
    if level >= CHAIN_MAX or not any(triggers.match(workflow, EVENT, ref="", payload=payload).matched for _, workflow in known):
        return None
    return e.FollowersFixed(level, tuple(follower for follower, _ in known), ref, sha)


def payload(run: Run, event: e.FollowersFixed | e.RunCompleted, repository: Any) -> dict[str, Any]:
    """`github.event` of a follower. repository: as in the payload of the run that is followed."""
    facts = run.facts
    done = isinstance(event, e.RunCompleted)
    branch = facts.head_ref or facts.ref.removeprefix("refs/heads/").removeprefix("refs/tags/")
    return {
        "action": "completed" if done else "requested",
        "repository": repository or {"full_name": facts.repository_name},
        "workflow": {"id": str(facts.workflow), "name": facts.name, "path": facts.workflow_path},
        "workflow_run": {
            "id": str(run.run),
            "name": facts.name,
            "path": facts.workflow_path,
            "workflow_id": str(facts.workflow),
            "run_number": facts.number,
            "run_attempt": event.run_attempt if isinstance(event, e.RunCompleted) else 1,
            "event": facts.event,
            "head_branch": branch,
            "head_sha": facts.sha,
            "status": "completed" if done else "queued",
            "conclusion": event.conclusion if isinstance(event, e.RunCompleted) else None,
            "created_at": run.triggered_at.isoformat().replace("+00:00", "Z"),
        },
    }


Start = tuple[UUID, str, e.Follower, Workflow]
"""A run that starts: its id, the key that the id is derived from, and its workflow."""


def starts(
    tenant: str, run: UUID | str, ref: str, event: Mapping[str, Any], listeners: Iterable[tuple[e.Follower, Workflow]]
) -> list[Start]:
    """Which listeners an event of a run starts. event: its payload."""
    found = []
    for follower, workflow in listeners:
        if triggers.match(workflow, EVENT, ref=ref, payload=event).matched:
            key = f"{run}|{event['workflow_run']['run_attempt']}|{event['action']}|{follower.path}"
            found.append((ids.run_id(tenant, key), key, follower, workflow))
    return found


def follow(
    run: Run, event: Mapping[str, Any], stored: tuple[str, int], listeners: Iterable[tuple[e.Follower, Workflow]]
) -> tuple[TriggerRun, ...]:
    """The runs that an event of this run starts. event: its payload; stored: digest and size of that as a blob."""
    facts, known, among = run.facts, tuple(listeners), run.followers
    if among is None:  # a run that fixed no followers has none
        return ()
    commands = []
    for identity, key, follower, workflow in starts(run.tenant, run.run, facts.ref, event, known):
        commands.append(
            TriggerRun(
                run=identity,
                repository=facts.repository,
                repository_name=facts.repository_name,
                workflow=ids.workflow_id(run.tenant, facts.repository, follower.path),
                workflow_path=follower.path,
                event=EVENT,
                ref=among.ref or facts.ref,
                sha=among.sha or facts.sha,
                source=follower.source,
                source_url=facts.source_url,
                plan=follower.plan,
                payload=stored[0],
                payload_bytes=stored[1],
                request=stored[0],
                workflow_ast=workflow,
                payload_json=dict(event),
                trigger=key,
                retry=facts.retry,
                followers=fixed(workflow.name or follower.path, among.level + 1, known, among.ref, among.sha),
            )
        )
    return tuple(commands)
