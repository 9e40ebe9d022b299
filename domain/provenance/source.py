"""Which build type describes a run, and how its repository is named in it.

GitHub's build type says what an event of four kinds with an https repository did. Everything else is our own type, which adds the
event and what narrowed the run: docs/reference/provenance.md.
"""

from urllib.parse import quote

from domain.run.events import RunPlanned, RunTriggered

GITHUB_BUILD_TYPE = "https://slsa-framework.github.io/github-actions-buildtypes/workflow/v1"
OWN_BUILD_TYPE = "urn:ledgermill:buildtype:workflow:v1"
COVERED = frozenset({"push", "create", "workflow_dispatch"})
"""The events that GitHub's build type describes with what our events tell; a release would need parameters of its own."""


def is_github_build(run: RunTriggered, planned: RunPlanned) -> bool:
    """Whether GitHub's build type tells all that came from outside."""
    told = not run.inputs or run.event == "workflow_dispatch"
    return run.event in COVERED and run.source_url.startswith("https://") and told and not planned.matrix


def repository_uri(source_url: str) -> str:
    """The repository's URI: https as GitHub writes it, without `.git`; ssh for `user@host:path`; a file for a path."""
    if source_url.startswith("/"):
        return f"file://{quote(source_url)}"
    if "://" not in source_url:
        place, _, path = source_url.partition(":")
        source_url = f"ssh://{place}/{path}"
    return source_url.rstrip("/").removesuffix(".git")
