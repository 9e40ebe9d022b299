"""A workflow of ours in the form of the templates that the shared suite expects, for comparison only."""

import math
from typing import Any

from domain.workflow.expressions import condition_expression
from domain.workflow.model import Job, Step, Workflow
from domain.workflow.permissions import initial
from domain.workflow.reader import read
from domain.workflow.templates import as_format, parts


def token(value: Any) -> Any:
    """A value as a token: mappings 2, sequences 1, expressions 3, literals as themselves."""
    if isinstance(value, dict):
        return {"type": 2, "map": [{"Key": token(key), "Value": token(item)} for key, item in value.items()]}
    if isinstance(value, list | tuple):
        return {"type": 1, "seq": [token(item) for item in value]}
    if isinstance(value, str) and "${{" in value:
        pieces = parts(value)
        return {"type": 3, "expr": pieces[0].text if len(pieces) == 1 else as_format(pieces)}
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def step_of(step: Step) -> dict[str, Any]:
    found: dict[str, Any] = {"id": step.id, "name": token(step.name)}
    if step.run is not None or step.uses is not None:
        found["if"] = {"type": 3, "expr": condition_expression(step.condition)}
    else:
        found["name"] = token(step.name or ("Wait" if step.wait else "Wait for all" if step.wait_all else "Cancel"))
    if step.continue_on_error is not False:
        found["continue-on-error"] = token(step.continue_on_error)
    found |= {
        "timeout-minutes": token(step.timeout_minutes),
        "env": token(step.env) if step.env else None,
        "working-directory": token(step.working_directory),
        "shell": token(step.shell),
        "uses": step.uses,
        "with": token(step.with_) if step.with_ else None,
        "run": token(step.run),
        "background": step.background or None,
        "wait": list(step.wait) or None,
        "wait-all": step.wait_all or None,
        "cancel": step.cancel,
    }
    return present(found)


def job_of(job: Job, files: dict[str, str], held: Any) -> dict[str, Any]:
    """A job with all that a template says of it. held: the permissions of its caller."""
    runs_on: Any = list(job.runs_on) if isinstance(job.runs_on, tuple) else job.runs_on
    if isinstance(runs_on, list) and len(runs_on) == 1:
        runs_on = runs_on[0]
    if job.runs_on_group is not None:
        runs_on = {"group": job.runs_on_group, "labels": runs_on}
    permissions = job.permissions if job.permissions is not None else held
    extra: dict[str, Any] = {}
    if job.uses is not None:
        extra, permissions = called(job, files, permissions)
    found = {
        "type": "reusableWorkflowJob" if job.uses else "job",
        "id": job.key,
        "name": token(job.name or job.key),
        "needs": list(job.needs) if job.needs or job.uses else None,
        "if": {"type": 3, "expr": condition_expression(job.condition)},
        "env": token(job.env) if job.env else None,
        "strategy": token(strategy_of(job.strategy)) if job.strategy is not None else None,
        "concurrency": token(job.concurrency),
        "permissions": permissions_of(permissions),
        "continue-on-error": token(job.continue_on_error) if job.continue_on_error is not False else None,
        "cancel-timeout-minutes": token(job.cancel_timeout_minutes) if job.cancel_timeout_minutes != 5 else None,
        "container": token(job.container),
        "services": token(job.services),
        "environment": token(job.environment),
        "outputs": token(job.outputs) if job.outputs else None,
        "snapshot": token(job.snapshot),
        "defaults": token(defaults_of(job)),
    }
    if not job.uses:
        return present({**found, "runs-on": token(runs_on), "steps": [step_of(step) for step in job.steps]})
    return present({**found, "ref": job.uses, **extra})


def called(job: Job, files: dict[str, str], held: Any) -> tuple[dict[str, Any], Any]:
    """What a call adds (jobs and outputs of the called workflow, inputs declared and given), and the permissions it has."""
    assert job.uses is not None
    workflow, _ = read(job.uses, files[job.uses])
    assert workflow is not None
    declaration = workflow.on.get("workflow_call") or {}
    declared = declaration.get("inputs") or {}
    own = held if workflow.permissions is None else workflow.permissions
    added = {
        "outputs": token(declaration.get("outputs")),
        "input-definitions": token(declared) if declared else None,
        "input-values": token(job.with_) if job.with_ else None,
        "jobs": [job_of(each, files, own) for each in workflow.jobs.values()],
    }
    return added, own


def defaults_of(job: Job) -> Any:
    run = present({"shell": job.defaults.shell, "working-directory": job.defaults.working_directory})
    return {"run": run} if run else None


def permissions_of(permissions: Any) -> Any:
    """The scopes that are given; the short forms stand for those scopes that there were when the suite was made."""
    if permissions is None:
        return None
    if isinstance(permissions, str):
        return dict.fromkeys(SCOPES, permissions.removesuffix("-all"))
    return {scope: level for scope, level in permissions.items() if level != "none"}


def strategy_of(strategy: Any) -> Any:
    if strategy.whole is not None:
        return strategy.whole
    return present({"fail-fast": strategy.fail_fast, "max-parallel": strategy.max_parallel, "matrix": strategy.matrix})


def present(found: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in found.items() if value is not None}


def template_of(workflow: Workflow, files: dict[str, str], policy: str = "") -> dict[str, Any]:
    """The whole workflow as a template. policy: what a workflow holds that states no permissions."""
    start = initial(policy)
    held = workflow.permissions or (start.scopes if start.limited else None)
    dispatch = (workflow.on.get("workflow_dispatch") or {}).get("inputs") or {}
    return present(
        {
            "env": token(workflow.env) if workflow.env else None,
            "permissions": permissions_of(workflow.permissions),
            "concurrency": token(workflow.concurrency),
            "input-types": {name: declared["type"] for name, declared in dispatch.items()} or None,
            "events": workflow.on,
            "jobs": [job_of(job, files, held) for job in workflow.jobs.values()],
        }
    )


def differences(found: Any, expected: Any, where: str = "") -> list[str]:
    """Where the two differ, as paths with both values."""
    found, expected = _reduced(found), _reduced(expected)
    if isinstance(expected, dict) and isinstance(found, dict):
        names = [name for name in {**expected, **found} if name in expected or name not in UNSTATED]
        return [each for name in names for each in differences(found.get(name), expected.get(name), f"{where}.{name}")]
    if isinstance(expected, list) and isinstance(found, list) and len(found) == len(expected):
        return [each for number, pair in enumerate(zip(found, expected, strict=True)) for each in differences(*pair, f"{where}[{number}]")]
    same = found == expected and isinstance(found, bool) == isinstance(expected, bool)
    return [] if same else [f"{where}: {found!r} instead of {expected!r}"]


def _reduced(value: Any) -> Any:
    """A token without its place, a mapping token as a mapping, without what is a default anyway."""
    if not isinstance(value, dict):
        return None if value == [] else value
    if value.get("type") == 2 and "map" in value:
        value = {_reduced(entry["Key"]): entry["Value"] for entry in value["map"]}
    elif value.get("type") == 1 and "seq" in value:
        return value["seq"]
    elif value.get("type") == 3:
        return {"expr": value["expr"]}
    elif value.get("type") in (0, 5, 6, 7):
        return next((value[name] for name in ("lit", "bool", "num") if name in value), None)
    kept = {name: item for name, item in value.items() if name != "file-table"}
    return {name: item for name, item in kept.items() if name not in DEFAULTS or _reduced(item) != DEFAULTS[name]}


UNSTATED = frozenset(("events", "input-types"))
"""What only those cases of the suite state that are about it."""
SCOPES = (
    *("actions", "checks", "contents", "deployments", "discussions", "id-token", "issues", "packages", "pages", "pull-requests"),
    *("repository-projects", "security-events", "statuses"),
)
DEFAULTS = {"fail-fast": True, "continue-on-error": False, "cancel-timeout-minutes": 5}
"""The model does not tell a default that is written from one that is not, so both sides lose these."""
