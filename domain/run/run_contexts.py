"""The contexts that expressions of a run may read before a job runs: made of the run's facts and its payload alone."""

from collections.abc import Mapping
from typing import Any

import msgspec

from domain.run.state import Node, Run
from domain.workflow import calls, contexts
from domain.workflow.evaluation import Evaluator, PlanError
from domain.workflow.model import Workflow
from domain.workflow.references import same_owner
from domain.workflow.values import to_text

INHERIT = "inherit"
"""`secrets: inherit`: the called workflow has all that its caller has."""
TOKEN = "GITHUB_TOKEN"  # noqa: S105 - the name of a secret
"""The run's own token, which every called workflow has."""


class Sources(msgspec.Struct, frozen=True):
    """What the run's digests stand for: the parsed workflow and the event's payload."""

    workflow: Workflow
    payload: Mapping[str, Any]


def planning_contexts(run: Run, node: Node, payload: Mapping[str, Any]) -> dict[str, Any]:
    """The contexts that a job's `if`, `strategy`, `runs-on` and `name` may read."""
    shared = run_contexts(run, payload, calls.prefix_of(node.planned.key))
    return {**shared, "needs": needs_context(run, node.planned.needs)}


def inputs_context(run: Run, key: str) -> dict[str, Any]:
    """The `inputs` of a node: those of the call that it belongs to, else those of the run."""
    call = run.call_of(key)
    return call.planned.inputs if call is not None else run.facts.inputs


def run_contexts(run: Run, payload: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """The contexts that keys of a whole workflow may read. prefix: of the call, where it is a called one."""
    return {"github": github_context(run, payload), "inputs": inputs_context(run, calls.key_in(prefix, "")), "vars": {}}


def github_context(run: Run, payload: Mapping[str, Any]) -> dict[str, Any]:
    """The `github` context of a run in its current run attempt."""
    return contexts.github(
        run.facts,
        run=run.run,
        run_attempt=run.run_attempt,
        actor=run.actor,
        triggering_actor=run.triggering_actor,
        payload=payload,
    )


def needs_context(run: Run, needs: tuple[str, ...]) -> dict[str, Any]:
    """The `needs` context: result and outputs of each direct need, by the id of the job in its file."""
    return {calls.local_key(key): {"result": run.nodes[key].result, "outputs": run.nodes[key].outputs} for key in needs}


def secrets_context(run: Run, sources: Sources, key: str, held: Mapping[str, str]) -> dict[str, str]:
    """The `secrets` of a node: of a called workflow exactly what its callers hand on, and the run's own token.

    held: the secrets of the run itself, which only workflows of the same owner inherit. A value that cannot be told is the
    empty text, as a secret that is not set.
    """
    prefix = calls.prefix_of(key)
    if not prefix:
        return dict(held)
    caller = calls.caller_of(prefix)
    node = run.nodes[caller]
    outer = secrets_context(run, sources, caller, held)
    scope, job = calls.definition(sources.workflow, caller)
    own = {name: value for name, value in outer.items() if name.upper() == TOKEN}
    if job.secrets == INHERIT:
        return outer if same_owner(scope.path, job.uses or "", run.facts.repository_name) else own
    prefixes = list(node.calls)
    total, limit = len(prefixes), node.max_parallel or None
    strategy = contexts.strategy(fail_fast=node.fail_fast, index=prefixes.index(prefix), total=total, max_parallel=limit)
    known = {**planning_contexts(run, node, sources.payload), "secrets": outer}
    evaluator = Evaluator(known).within(node.calls[prefix].planned.matrix, strategy)
    given = job.secrets if isinstance(job.secrets, dict) else {}
    return own | {name: _secret(evaluator, written) for name, written in given.items()}


def _secret(evaluator: Evaluator, written: Any) -> str:
    try:
        return to_text(evaluator.value("secrets", written))
    except PlanError:
        return ""
