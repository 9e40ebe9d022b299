"""A call of a workflow within a run: the concurrency groups that it claims, whether its nodes may open, and how it ends.

The `concurrency` of the calling job and that of the called file both hold for the call as a whole, as on GitHub: it claims
them one after the other before any of its nodes opens, and lets go of both when the last of its jobs is done. A call that
is cancelled before it has them all never opens a node.
"""

from domain import ids
from domain.concurrency import Claim, ClaimConcurrency, ReleaseConcurrency
from domain.job.commands import CreateJob
from domain.run import events as e
from domain.run import specs
from domain.run.run_contexts import Sources, run_contexts
from domain.run.specs import Opened
from domain.run.state import CallState, Node, Run
from domain.workflow import calls, plan
from domain.workflow.evaluation import PlanError


def called(run: Run, node: Node, verdict: plan.Called, sources: Sources) -> e.NodeCalled:
    """The nodes of the called workflow join the plan, once for each call."""
    key = node.planned.key
    uses = calls.definition(sources.workflow, key)[1].uses or ""
    planned = []
    for call in verdict.calls:
        name = specs.full_name(run, node, call.name)
        nodes = plan.nodes(sources.workflow.called[uses], call=calls.Call(call.prefix, name, call.matrix, call.inputs))
        groups = tuple(
            e.CallGroup(of, ids.concurrency_group_id(run.facts.repository, each.name), each.name, each.cancel_in_progress, each.queue)
            for of, each in call.groups
        )
        planned.append(e.PlannedCall(call.prefix, name, nodes, call.matrix, call.inputs, groups))
    limit = verdict.max_parallel or 0
    return e.NodeCalled(run.run_attempt, key, uses, tuple(planned), verdict.trace, fail_fast=verdict.fail_fast, max_parallel=limit)


def may_open(run: Run, prefix: str) -> bool:
    """Whether nodes of this call may open: `max-parallel` and all concurrency groups let it in, and what it is part of."""
    if not prefix:
        return True
    caller = calls.caller_of(prefix)
    node = run.nodes[caller]
    return _is_under_way(node, prefix) and node.calls[prefix].entered and may_open(run, calls.prefix_of(caller))


def is_cancelled(run: Run, prefix: str) -> bool:
    """Whether the run, or a call at any depth up to this one, was cancelled."""
    if not prefix:
        return run.cancelled
    caller = calls.caller_of(prefix)
    return run.nodes[caller].calls[prefix].cancelled or is_cancelled(run, calls.prefix_of(caller))


def enter(run: Run, node: Node, prefix: str) -> Opened | None:
    """The next group that a call has to claim; None when it has all, waits for one, or may not begin."""
    call, caller = node.calls[prefix], node.planned.key
    if call.result or call.entered or not _is_under_way(node, prefix) or not may_open(run, calls.prefix_of(caller)):
        return None
    if is_cancelled(run, prefix):
        return _abandon(run, prefix)
    if call.held:
        return None
    group = call.planned.groups[call.claimed]
    held = e.CallHeld(
        run.run_attempt,
        caller,
        prefix,
        ids.call_id(run.run, run.run_attempt, prefix, group.of),
        group.group,
        group.name,
        group.cancel_in_progress,
        group.queue,
    )
    return [held], [], [_claim(run, held)]


def _abandon(run: Run, prefix: str) -> Opened | None:
    """None of the nodes below a cancelled call is opened, at any depth."""
    nodes = [node for key, node in run.nodes.items() if key.startswith(f"{prefix}/") and node.phase == "pending"]
    jobs = [ids.job_id(run.run, run.run_attempt, node.planned.key, "") for node in nodes]
    skipped = [e.NodeSkipped(run.run_attempt, node.planned.key, job, "cancelled") for node, job in zip(nodes, jobs, strict=True)]
    created = [CreateJob(job, specs.bare_spec(run, node), skip="cancelled") for node, job in zip(nodes, jobs, strict=True)]
    return ([*skipped], created, []) if nodes else None


def _claim(run: Run, held: e.CallHeld) -> ClaimConcurrency:
    who = Claim(
        holder=held.holder,
        name=held.name,
        repository=run.facts.repository,
        run=run.run,
        run_attempt=run.run_attempt,
        number=run.facts.number,
        workflow_path=run.facts.workflow_path,
        node=held.call,
    )
    return ClaimConcurrency(held.group, who, held.cancel_in_progress, held.queue)


def end(run: Run, node: Node, prefix: str, sources: Sources) -> Opened | None:
    """The end of a call whose nodes are all done: its result, its outputs, and that it lets go of its groups."""
    call, children = node.calls[prefix], run.nodes_of(prefix)
    if call.result or any(child.phase != "done" for child in children):
        return None
    releases = [ReleaseConcurrency(group.group, ids.call_id(run.run, run.run_attempt, prefix, group.of)) for group in call.claims]
    return [_concluded(run, node.planned.key, call, children, sources)], [], [*releases]


def _concluded(run: Run, key: str, call: CallState, children: list[Node], sources: Sources) -> e.CallConcluded:
    prefix = call.planned.prefix
    jobs = {calls.local_key(child.planned.key): {"result": child.result, "outputs": child.outputs} for child in children}
    workflow, _ = calls.definition(sources.workflow, children[0].planned.key)
    result = plan.run_conclusion([child.result for child in children])
    if not call.entered or (call.asked and result != "success"):
        result = "cancelled"
    try:
        outputs = calls.outputs(workflow, {**run_contexts(run, sources.payload, prefix), "jobs": jobs})
    except PlanError as error:
        return e.CallConcluded(run.run_attempt, key, prefix, "failure", message=error.diagnostic(workflow).one_line())
    return e.CallConcluded(run.run_attempt, key, prefix, result, outputs)


def _is_under_way(caller: Node, prefix: str) -> bool:
    """Whether `max-parallel` lets this call's jobs in: the first calls that are not done yet are under way."""
    left = [each for each, call in caller.calls.items() if not call.result]
    return prefix in left[: caller.max_parallel or len(left)]
