"""What stays of a run's nodes when another run attempt was asked for; the rest begins afresh."""

from collections.abc import Set as AbstractSet
from uuid import UUID

from msgspec.structs import replace

from domain.envelope import Meta
from domain.run.events import RunRerunRequested
from domain.run.state import CallState, Node, Run
from domain.workflow.calls import caller_of, prefix_of


def again(state: Run, event: RunRerunRequested, meta: Meta) -> Run:
    """The run before its plan. Nodes of a call that is made again are gone until it is."""
    carried = set(event.carried)
    nodes: dict[str, Node] = {}
    for key, node in state.nodes.items():
        caller = nodes.get(caller_of(prefix_of(key))) if prefix_of(key) else None
        if prefix_of(key) and (caller is None or caller.phase == "pending"):
            continue
        if key not in event.jobs:
            nodes[key] = node
        elif node.calls and _reaches(state, key, carried):
            nodes[key] = _still_called(node, event.jobs)
        else:
            nodes[key] = _afresh(node, carried)
    reruns = state.reruns if meta.command is None else {**state.reruns, meta.command: event.run_attempt}
    return replace(
        state,
        run_attempt=event.run_attempt,
        nodes=nodes,
        reruns=reruns,
        triggering_actor=meta.actor,
        conclusion=None,
        expires_at=None,
        stopped_at=None,
    )


def _reaches(state: Run, caller: str, carried: AbstractSet[UUID]) -> bool:
    """Whether something below a calling node is carried over: then the call is not made again."""
    prefixes = tuple(f"{prefix}/" for prefix in state.nodes[caller].calls)
    return any(node.jobs.keys() & carried for key, node in state.nodes.items() if key.startswith(prefixes))


def _still_called(node: Node, jobs: tuple[str, ...]) -> Node:
    """A calling node whose calls that run again in part are open."""
    open_ = {prefix for prefix in node.calls if any(key.startswith(f"{prefix}/") for key in jobs)}
    calls = {prefix: CallState(call.planned) if prefix in open_ else call for prefix, call in node.calls.items()}
    given = {prefix: outputs for prefix, outputs in node.given.items() if prefix not in open_}
    return replace(node, phase="open", result="", calls=calls, given=given)


def _afresh(node: Node, carried: AbstractSet[UUID]) -> Node:
    """The node before it opens again, with the jobs that it takes over."""
    jobs = {job: result for job, result in node.jobs.items() if job in carried}
    given = {job: outputs for job, outputs in node.given.items() if job in carried}
    return Node(node.planned, jobs=jobs, given=given)
