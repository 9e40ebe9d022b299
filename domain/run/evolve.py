"""How each event changes a run's state."""

from typing import Any
from uuid import UUID

from msgspec.structs import replace

from domain.envelope import Meta
from domain.job.evolve import ImpossibleHistoryError
from domain.run import events as e
from domain.run.again import again
from domain.run.state import CallState, Node, Run
from domain.workflow.plan import run_conclusion


def evolve(stream: UUID, state: Run | None, event: e.RunEvent, meta: Meta) -> Run:
    """The state after `event`. Raises ImpossibleHistoryError when no history of this code leads there."""
    if isinstance(event, e.RunTriggered):
        return Run(run=stream, tenant=meta.tenant, actor=meta.actor, triggering_actor=meta.actor, facts=event, triggered_at=meta.at)
    if state is None:
        raise ImpossibleHistoryError(f"{type(event).__name__} is the first event of run {stream}")
    match event:
        case e.RunPlanned():
            nodes = {node.key: state.nodes.get(node.key, Node(node)) for node in event.nodes}
            return replace(
                state,
                run_attempt=event.run_attempt,
                plan=event.plan,
                matrix=event.matrix,
                nodes=nodes,
                concurrency=None,
                held=False,
                cancelled=False,
                conclusion=None,
                expires_at=event.expires_at,
                stopped_at=None,
            )
        case e.FollowersFixed():
            return replace(state, followers=event)
        case e.RunHeld():
            return replace(state, concurrency=event, held=True)
        case e.RunAdmitted():
            return replace(state, held=False, expires_at=event.expires_at)
        case e.RunClockStopped():
            return replace(state, stopped_at=meta.at)
        case e.RunClockResumed():
            return replace(state, stopped_at=None, expires_at=event.expires_at)
        case e.NodeExpanded():
            known = state.nodes[event.node].jobs
            jobs = {instance.job: known.get(instance.job, "") for instance in event.instances}
            opened = _with(state, event.node, phase="open", jobs=jobs, fail_fast=event.fail_fast)
            return _settled(opened, event.node)
        case e.NodeCalled():
            calls = {call.prefix: CallState(call) for call in event.calls}
            children = {node.key: Node(node) for call in event.calls for node in call.nodes}
            after = _with(state, event.node, phase="open", calls=calls, fail_fast=event.fail_fast, max_parallel=event.max_parallel)
            return replace(after, nodes={**after.nodes, **children})
        case e.CallHeld():
            claimed = state.nodes[event.node].calls[event.call].claimed
            return _with_call(state, event, claimed=claimed + 1, held=True)
        case e.CallAdmitted():
            return _with_call(state, event, held=False)
        case e.CallCancellationRequested():
            return _with_call(state, event, cancelled=True, asked=True)
        case e.CallConcluded():
            return _call_concluded(state, event)
        case e.JobHeld():
            node = state.nodes[event.node]
            groups = {**node.groups, event.job: event.group} if event.reason == "concurrency" else node.groups
            return _with(state, event.node, held={**node.held, event.job: event}, groups=groups)
        case e.JobAdmitted():
            return _with(state, event.node, held=_without(state.nodes[event.node].held, event.job))
        case e.NodeSkipped():
            return _with(state, event.node, phase="done", jobs={event.job: "skipped"}, result="skipped")
        case e.NodeFailed():
            return _with(state, event.node, phase="done", jobs={event.job: "failure"}, result="failure")
        case e.JobConcluded():
            return _concluded(state, event)
        case e.RunCancellationRequested():
            return replace(state, cancelled=True)
        case e.RunCompleted():
            return replace(state, conclusion=event.conclusion)
        case e.RunRerunRequested():
            return again(state, event, meta)
        case _:
            raise ImpossibleHistoryError(f"{type(event).__name__} in the stream of run {stream}")


def _with(state: Run, key: str, **changes: object) -> Run:
    return replace(state, nodes={**state.nodes, key: replace(state.nodes[key], **changes)})


def _with_call(state: Run, event: e.CallHeld | e.CallAdmitted | e.CallCancellationRequested, **changes: object) -> Run:
    calls = state.nodes[event.node].calls
    return _with(state, event.node, calls={**calls, event.call: replace(calls[event.call], **changes)})


def _call_concluded(state: Run, event: e.CallConcluded) -> Run:
    node = state.nodes[event.node]
    calls = {**node.calls, event.call: replace(node.calls[event.call], result=event.result)}
    if event.result == "failure" and node.fail_fast:
        calls = {prefix: call if call.result else replace(call, cancelled=True) for prefix, call in calls.items()}
    facts: dict[str, Any] = {"calls": calls, "given": {**node.given, event.call: event.outputs}}
    if all(call.result for call in calls.values()):
        facts |= {"phase": "done", "result": run_conclusion([call.result for call in calls.values()])}
    return _with(state, event.node, **facts)


def _without(items: dict[UUID, Any], job: UUID) -> dict[UUID, Any]:
    kept = dict(items)
    kept.pop(job, None)
    return kept


def _concluded(state: Run, event: e.JobConcluded) -> Run:
    node = state.nodes[event.node]
    jobs = {**node.jobs, event.job: event.result}
    facts: dict[str, Any] = {"jobs": jobs}
    if event.outputs:
        facts["given"] = {**node.given, event.job: event.outputs}
    if event.job in node.held:
        facts["held"] = _without(node.held, event.job)
    if event.job in node.groups:
        facts["groups"] = _without(node.groups, event.job)
    return _settled(_with(state, event.node, **facts), event.node)


def _settled(state: Run, key: str) -> Run:
    """The node is done once all its jobs are."""
    results = list(state.nodes[key].jobs.values())
    return _with(state, key, phase="done", result=run_conclusion(results)) if all(results) else state
