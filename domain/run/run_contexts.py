"""The contexts that expressions of a run may read before a job runs: made of the run's facts and its payload alone."""

from collections.abc import Mapping
from typing import Any

import msgspec

from domain.run.state import Node, Run
from domain.workflow import calls, contexts
from domain.workflow.model import Workflow


class Sources(msgspec.Struct, frozen=True):
    """What the run's digests stand for: the parsed workflow and the event's payload."""

    workflow: Workflow
    payload: Mapping[str, Any]


def planning_contexts(run: Run, node: Node, payload: Mapping[str, Any]) -> dict[str, Any]:
    """The contexts that a job's `if`, `strategy`, `runs-on` and `name` may read."""
    contexts = run_contexts(run, payload, calls.prefix_of(node.planned.key))
    return {**contexts, "needs": needs_context(run, node.planned.needs)}


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
