"""The environment variables of a step: what it inherits, what GitHub promises, what the workflow sets.

A step gets the agent's environment without what belongs to the agent itself, and above it, each layer over the one
before: CI defaults, `env` of workflow, job, GITHUB_ENV and step, and last GITHUB_* and RUNNER_*, which a workflow cannot
change. It must never pass on a token of the agent.
"""

import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from domain.workflow.values import to_text
from runner.workspace import Workspace

OWN_PREFIXES = ("LEDGERMILL_", "GITHUB_", "RUNNER_", "ACTIONS_", "INPUT_", "STATE_")
OWN_NAMES = frozenset({"PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "BASH_ENV", "ENV", "NODE_OPTIONS", "VIRTUAL_ENV"})
"""What the agent was started with for itself, or what would change a shell or interpreter behind the step's back."""

GITHUB_VARIABLES = (
    "action", "action_path", "action_ref", "action_repository", "actor", "actor_id", "api_url", "artifacts", "artifacts_list",
    "base_ref", "env", "event_name", "event_path", "graphql_url", "head_ref", "job", "output", "path", "ref", "ref_name",
    "ref_protected", "ref_type", "repository", "repository_id", "repository_owner", "repository_owner_id", "retention_days",
    "run_attempt", "run_id", "run_number", "server_url", "sha", "state", "step_summary", "triggering_actor", "workflow",
    "workflow_ref", "workflow_sha", "workspace",
)  # fmt: skip
"""The keys of the github context that become variables; the token is not among them."""

ARCHITECTURES = {"x86_64": "X64", "amd64": "X64", "aarch64": "ARM64", "arm64": "ARM64"}
SYSTEMS = {"Linux": "Linux", "Darwin": "macOS", "Windows": "Windows"}


def system() -> str:
    """`runner.os`: Linux or macOS."""
    return SYSTEMS.get(platform.system(), platform.system())


def architecture() -> str:
    """`runner.arch`: X64 or ARM64."""
    return ARCHITECTURES.get(platform.machine().lower(), platform.machine().upper())


def inherited(environ: Mapping[str, str]) -> dict[str, str]:
    """What of the agent's own environment a step may see."""
    return {name: value for name, value in environ.items() if name not in OWN_NAMES and not name.startswith(OWN_PREFIXES)}


def github_variables(github: Mapping[str, Any]) -> dict[str, str]:
    """`GITHUB_*` from the github context. Keys whose value is not text, such as the event, are left out."""
    found = {"GITHUB_ACTIONS": "true"}
    for key in GITHUB_VARIABLES:
        value = github.get(key)
        if value is not None and not isinstance(value, dict | list):
            found[f"GITHUB_{key.upper()}"] = to_text(value)
    return found


def runner_context(name: str, space: Workspace, debug: bool) -> dict[str, Any]:
    """The runner context."""
    context = {
        "name": name,
        "os": system(),
        "arch": architecture(),
        "environment": "self-hosted",
        "temp": str(space.temp),
        "tool_cache": str(space.tools),
        "workspace": str(space.home),
    }
    return context | ({"debug": "1"} if debug else {})


def runner_variables(context: Mapping[str, Any]) -> dict[str, str]:
    """`RUNNER_*` from the runner context."""
    return {f"RUNNER_{key.upper()}": to_text(value) for key, value in context.items()}


def release() -> str:
    """The version of this program, "" in a working copy that was not installed."""
    try:
        return version("ledgermill")
    except PackageNotFoundError:
        return ""
