"""The needs gate: which nodes of a plan are ready, skipped or broken now, and whether the run is complete.

A pure function of recorded facts (results and outputs of jobs, the payload, the workflow), so that replay gives the same
plan. It opens nodes until nothing more follows, because a skipped node may make the next one ready.
"""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import msgspec
from msgspec.structs import replace

from domain import ids
from domain.concurrency import ClaimConcurrency, ReleaseConcurrency
from domain.envelope import Meta
from domain.job.commands import CreateJob
from domain.job.events import JobCreated, PlannedStep
from domain.retry import RetryPolicy
from domain.run import admission
from domain.run import events as e
from domain.run.evolve import evolve
from domain.run.state import Node, Run, ancestors
from domain.scheduling.lanes import lane_of
from domain.workflow import calls, contexts, plan, retry_policy
from domain.workflow.evaluation import Evaluator, PlanError
from domain.workflow.model import Workflow


class Sources(msgspec.Struct, frozen=True):
    """What the run's digests stand for: the parsed workflow and the event's payload."""

    workflow: Workflow
    payload: Mapping[str, Any]


class Advance(msgspec.Struct, frozen=True):
    """What follows: events of the run, and the jobs to create or queue and the groups to claim in the same commit."""

    events: tuple[e.RunEvent, ...]
    commands: tuple[Any, ...]


Opened = tuple[list[e.RunEvent], list[CreateJob], list[ClaimConcurrency]]
"""The events that open a node, the jobs to create and the groups that these claim."""


def begin(run: Run, sources: Sources, meta: Meta) -> Advance:
    """The first step of a run attempt that was just planned: claim the workflow's concurrency group, else open nodes."""
    try:
        concurrency = Evaluator(run_contexts(run, sources.payload)).concurrency(sources.workflow.concurrency)
    except PlanError as error:
        return _broken(run, error.diagnostic(sources.workflow).one_line())
    if concurrency is None:
        return advance(run, sources, meta)
    group = ids.concurrency_group_id(run.facts.repository, concurrency.name)
    held = e.RunHeld(run.run_attempt, group, concurrency.name, concurrency.cancel_in_progress, concurrency.queue)
    return Advance((held,), (admission.claim(run, held),))


def abandon(run: Run) -> Advance:
    """The end of a cancelled run that its concurrency group never let in: none of its nodes is opened."""
    nodes = [node for node in run.nodes.values() if node.phase == "pending"]
    jobs = {node.planned.key: ids.job_id(run.run, run.run_attempt, node.planned.key, "") for node in nodes}
    events = [e.NodeSkipped(run.run_attempt, key, job, "cancelled") for key, job in jobs.items()]
    commands = [CreateJob(jobs[node.planned.key], _bare_spec(run, node), skip="cancelled") for node in nodes]
    return Advance((*events, e.RunCompleted(run.run_attempt, "cancelled")), (*commands, *_release(run)))


def _broken(run: Run, message: str) -> Advance:
    """The end of a run whose concurrency group cannot be told: all of its nodes fail that are not done already."""
    jobs = {key: ids.job_id(run.run, run.run_attempt, key, "") for key, node in run.nodes.items() if node.phase == "pending"}
    events = [e.NodeFailed(run.run_attempt, key, job, message) for key, job in jobs.items()]
    commands = [CreateJob(job, _bare_spec(run, run.nodes[key]), fail="plan_failed") for key, job in jobs.items()]
    return Advance((*events, e.RunCompleted(run.run_attempt, "failure")), tuple(commands))


def advance(run: Run, sources: Sources, meta: Meta) -> Advance:
    """Open every node whose needs are done, as often as that makes others ready; complete the run when none is left."""
    if run.held:
        return Advance((), ())
    events: list[e.RunEvent] = []
    creates: list[CreateJob] = []
    # What is created comes first: a claim may end other jobs at once and with that let some of these in.
    commands: list[Any] = []
    for node in run.nodes.values():
        admitted, following = admission.admit(run, node)
        events.extend(admitted)
        commands.extend(following)
    while steps := _next(run, sources):
        for opened, created, claims in steps:
            for event in opened:
                run = evolve(run.run, run, event, meta)
            events.extend(opened)
            creates.extend(created)
            commands.extend(claims)
    if run.conclusion is None and run.nodes and all(node.phase == "done" for node in run.nodes.values()):
        events.append(e.RunCompleted(run.run_attempt, _conclusion(run)))
        commands.extend(_release(run))
    return Advance(tuple(events), (*creates, *commands))


def _next(run: Run, sources: Sources) -> list[Opened]:
    """What can be told now: calls whose jobs are all done; where there are none, nodes that are ready."""
    ended = [_end_call(run, node, prefix, sources) for node in run.nodes.values() for prefix in node.calls if _is_over(run, node, prefix)]
    if ended:
        return [([event], [], []) for event in ended]
    return [_open(run, node, sources) for node in run.nodes.values() if _is_ready(run, node)]


def _is_over(run: Run, node: Node, prefix: str) -> bool:
    return not node.calls[prefix].result and all(child.phase == "done" for child in run.nodes_of(prefix))


def _end_call(run: Run, node: Node, prefix: str, sources: Sources) -> e.CallConcluded:
    """A call's result from its jobs, and its outputs."""
    key, children = node.planned.key, run.nodes_of(prefix)
    jobs = {calls.local_key(child.planned.key): {"result": child.result, "outputs": child.outputs} for child in children}
    called, _ = calls.definition(sources.workflow, children[0].planned.key)
    result = plan.run_conclusion([child.result for child in children])
    try:
        outputs = calls.outputs(called, {**run_contexts(run, sources.payload, prefix), "jobs": jobs})
    except PlanError as error:
        return e.CallConcluded(run.run_attempt, key, prefix, "failure", message=error.diagnostic(called).one_line())
    return e.CallConcluded(run.run_attempt, key, prefix, result, outputs)


def _release(run: Run) -> tuple[ReleaseConcurrency, ...]:
    return (ReleaseConcurrency(run.concurrency.group, run.run),) if run.concurrency is not None else ()


def _conclusion(run: Run) -> str:
    conclusion = plan.run_conclusion([node.result for node in run.nodes.values()])
    return "cancelled" if run.cancelled and conclusion != "success" else conclusion


def _is_ready(run: Run, node: Node) -> bool:
    if node.phase != "pending" or not all(run.nodes[key].phase == "done" for key in node.planned.needs):
        return False
    prefix = calls.prefix_of(node.planned.key)
    return not prefix or _is_under_way(run.nodes[calls.caller_of(prefix)], prefix)


def _is_under_way(caller: Node, prefix: str) -> bool:
    """Whether `max-parallel` lets this call's jobs in: the first calls that are not done yet are under way."""
    left = [each for each, call in caller.calls.items() if not call.result]
    return prefix in left[: caller.max_parallel or len(left)]


def _open(run: Run, node: Node, sources: Sources) -> Opened:
    key = node.planned.key
    verdict = plan.expand(
        sources.workflow,
        key,
        planning_contexts(run, node, sources.payload),
        ancestors(run, key),
        cancelled=run.cancelled or _is_cancelled(run, key),
        matrix_filter=run.matrix or None,
        retry=retry_policy.parse(run.facts.retry),
    )
    sole = ids.job_id(run.run, run.run_attempt, key, "")
    match verdict:
        case plan.Expanded():
            placed = [(_place(run, node, instance.instance), instance) for instance in verdict.instances]
            instances = tuple(e.NodeInstance(job, instance.instance, instance.name) for job, instance in placed)
            fresh = [(job, instance) for job, instance in placed if job not in node.jobs]
            created = [_create(run, node, instance, job) for job, instance in fresh]
            expanded = e.NodeExpanded(run.run_attempt, key, instances, verdict.trace, fail_fast=verdict.fail_fast)
            held = admission.holds(run, created, replace(verdict, instances=tuple(instance for _, instance in fresh)))
            waiting = {each.job for each in held}
            created = [replace(command, hold=command.job in waiting) for command in created]
            return [expanded, *held], created, [admission.claim(run, each) for each in held if each.reason == "concurrency"]
        case plan.Called():
            return [_called(run, node, verdict, sources)], [], []
        case plan.Skipped():
            skipped = e.NodeSkipped(run.run_attempt, key, sole, verdict.reason, verdict.trace)
            command = CreateJob(sole, _bare_spec(run, node), skip=verdict.reason, condition=verdict.condition, trace=verdict.trace)
            return [skipped], [command], []
        case plan.Broken():
            failed = e.NodeFailed(run.run_attempt, key, sole, verdict.diagnostic.one_line())
            return [failed], [CreateJob(sole, _bare_spec(run, node), fail="plan_failed")], []


def _called(run: Run, node: Node, verdict: plan.Called, sources: Sources) -> e.NodeCalled:
    """The nodes of the called workflow join the plan, once for each call."""
    key = node.planned.key
    uses = calls.definition(sources.workflow, key)[1].uses or ""
    planned = []
    for call in verdict.calls:
        named = replace(call, name=_full_name(run, node, call.name))
        nodes = plan.nodes(sources.workflow.called[uses], call=named)
        planned.append(e.PlannedCall(call.prefix, named.name, nodes, call.matrix, call.inputs))
    limit = verdict.max_parallel or 0
    return e.NodeCalled(run.run_attempt, key, uses, tuple(planned), verdict.trace, fail_fast=verdict.fail_fast, max_parallel=limit)


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


def _is_cancelled(run: Run, key: str) -> bool:
    """Whether a call that the node belongs to, at any depth, was cancelled because another one of its matrix failed."""
    call = run.call_of(key)
    return call is not None and (call.cancelled or _is_cancelled(run, calls.caller_of(call.planned.prefix)))


def jobs_so_far(run: Run, key: str, instance: str) -> list[UUID]:
    """The streams that an instance of a node has had in all run attempts up to this one, the newest first."""
    return [ids.job_id(run.run, attempt, key, instance) for attempt in range(run.run_attempt, 0, -1)]


def _place(run: Run, node: Node, instance: str) -> UUID:
    """The job of an instance: the one that a re-run carried over, else a new one."""
    streams = jobs_so_far(run, node.planned.key, instance)
    return next((job for job in streams if job in node.jobs), streams[0])


def _create(run: Run, node: Node, instance: plan.Instance, job: UUID) -> CreateJob:
    spec = _spec(
        run,
        node,
        instance=instance.instance,
        name=_full_name(run, node, instance.name),
        labels=instance.labels,
        steps=instance.steps,
        timeout_seconds=instance.timeout_seconds,
        cancel_timeout_seconds=instance.cancel_timeout_seconds,
        retry=instance.retry,
        matrix=instance.matrix,
        continue_on_error=instance.continue_on_error,
    )
    return CreateJob(job, spec, lane=lane_of(run.facts.event), tenant=run.tenant, fair_key=str(run.facts.repository))


def _full_name(run: Run, node: Node, name: str) -> str:
    """What people see: `caller / called`, as on GitHub."""
    call = run.call_of(node.planned.key)
    return f"{call.planned.name} / {name}" if call is not None else name


def _bare_spec(run: Run, node: Node) -> JobCreated:
    """The spec of a job that will never be queued: it only stands for its node."""
    return _spec(run, node, name=node.planned.name or node.planned.key)


def _spec(
    run: Run,
    node: Node,
    *,
    name: str,
    instance: str = "",
    labels: tuple[str, ...] = (),
    steps: tuple[PlannedStep, ...] = (),
    timeout_seconds: float = 0,
    cancel_timeout_seconds: float = 0,
    retry: RetryPolicy = RetryPolicy(),  # noqa: B008 - frozen
    matrix: dict[str, Any] | None = None,
    continue_on_error: bool = False,
) -> JobCreated:
    facts = run.facts
    return JobCreated(
        run=run.run,
        run_attempt=run.run_attempt,
        run_number=facts.number,
        workflow_path=facts.workflow_path,
        repository=facts.repository,
        key=node.planned.key,
        instance=instance,
        name=name,
        labels=labels,
        steps=steps,
        needs=node.planned.needs,
        plan=run.plan,
        timeout_seconds=timeout_seconds,
        cancel_timeout_seconds=cancel_timeout_seconds,
        retry=retry,
        matrix=matrix or {},
        continue_on_error=continue_on_error,
    )


def job_of(run: Run, job: UUID) -> Node | None:
    """The node that a job belongs to."""
    return next((node for node in run.nodes.values() if job in node.jobs), None)
