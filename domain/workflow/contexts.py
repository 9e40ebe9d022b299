"""The contexts that a job can read, as GitHub documents them, from recorded facts alone.

`github` goes to planning and, unchanged, to the runner, which adds what only it knows (workspace, token, paths, the
current step) and derives the `GITHUB_*` variables. People stay opaque: the actor is an id, never a name.
"""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from domain.run.events import RunTriggered

_GITHUB = "https://github.com"
RETENTION_DAYS = "90"


def github(
    facts: RunTriggered,
    *,
    run: UUID,
    run_attempt: int,
    actor: str,
    triggering_actor: str = "",
    payload: Mapping[str, Any],
    job: str = "",
    server_url: str | None = None,
) -> dict[str, Any]:
    """The `github` context. payload becomes `github.event`; server_url: where the repository is, else as its payload says.

    triggering_actor: who asked for this run attempt, where that is another one than the actor.
    """
    repository = payload.get("repository")
    known: Mapping[str, Any] = repository if isinstance(repository, Mapping) else {}
    server = (server_url or _server(known) or _GITHUB).rstrip("/")
    owner = facts.repository_name.partition("/")[0]
    return {
        "event": payload,
        "event_name": facts.event,
        "ref": facts.ref,
        "ref_name": ref_name(facts),
        "ref_type": "tag" if facts.ref.startswith("refs/tags/") else "branch",
        "ref_protected": False,
        "sha": facts.sha,
        "head_ref": facts.head_ref,
        "base_ref": facts.base_ref,
        "repository": facts.repository_name,
        "repository_id": _id(known.get("id"), facts.repository),
        "repository_owner": owner,
        "repository_owner_id": _id(_owner(known).get("id"), owner),
        "repositoryUrl": f"git://{server.partition('://')[2]}/{facts.repository_name}.git",
        "workflow": facts.name or facts.workflow_path,
        "workflow_ref": f"{facts.repository_name}/{facts.workflow_path}@{facts.ref}",
        "workflow_sha": facts.sha,
        "run_id": str(run),
        "run_number": str(facts.number),
        "run_attempt": str(run_attempt),
        "retention_days": RETENTION_DAYS,
        "actor": actor,
        "actor_id": actor,
        "triggering_actor": triggering_actor or actor,
        "job": job,
        "server_url": server,
        **_apis(server),
    }


def ref_name(facts: RunTriggered) -> str:
    """The short name: of a branch or tag, or `N/merge` of a pull request."""
    for prefix in ("refs/heads/", "refs/tags/", "refs/pull/"):
        if facts.ref.startswith(prefix):
            return facts.ref.removeprefix(prefix)
    return facts.ref


def strategy(*, fail_fast: bool, index: int, total: int, max_parallel: int | None) -> dict[str, Any]:
    """The `strategy` context of one instance; index counts from 0."""
    return {"fail-fast": fail_fast, "job-index": index, "job-total": total, "max-parallel": max_parallel or total}


def _apis(server: str) -> dict[str, str]:
    if server == _GITHUB:
        return {"api_url": "https://api.github.com", "graphql_url": "https://api.github.com/graphql"}
    return {"api_url": f"{server}/api/v3", "graphql_url": f"{server}/api/graphql"}


def _server(repository: Mapping[str, Any]) -> str | None:
    """`https://host` out of the repository's page address."""
    url = repository.get("html_url")
    if not isinstance(url, str) or not url.startswith(("https://", "http://")):
        return None
    scheme, _, rest = url.partition("://")
    host = rest.partition("/")[0]
    return f"{scheme}://{host}" if host else None


def _owner(repository: Mapping[str, Any]) -> Mapping[str, Any]:
    owner = repository.get("owner")
    return owner if isinstance(owner, Mapping) else {}


def _id(known: Any, own: Any) -> str:
    return str(known) if known is not None else str(own)
