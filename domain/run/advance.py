"""The needs gate: which nodes of a plan are ready, skipped or broken now, and whether the run is complete.

A pure function of recorded facts (results and outputs of jobs, the payload, the workflow), so that replay gives the same
plan. It opens nodes until nothing more follows, because a skipped node may make the next one ready.
"""

from typing import Any
from uuid import UUID

import msgspec
from msgspec.structs import replace

from domain import ids
from domain.concurrency import ReleaseConcurrency
from domain.envelope import Meta
from domain.job.commands import CreateJob
from domain.run import admission, call, specs
from domain.run import events as e
from domain.run.evolve import evolve
from domain.run.run_contexts import Sources, planning_contexts, run_contexts
from domain.run.specs import Opened
from domain.run.state import Node, Run, ancestors
from domain.workflow import calls, plan, retry_policy
from domain.workflow.evaluation import Evaluator, PlanError


class Advance(msgspec.Struct, frozen=True):
    """What follows: events of the run, and the jobs to create or queue and the groups to claim in the same commit."""

    events: tuple[e.RunEvent, ...]
    commands: tuple[Any, ...]


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
    commands = [CreateJob(jobs[node.planned.key], specs.bare_spec(run, node), skip="cancelled") for node in nodes]
    return Advance((*events, e.RunCompleted(run.run_attempt, "cancelled")), (*commands, *_release(run)))


def _broken(run: Run, message: str) -> Advance:
    """The end of a run whose concurrency group cannot be told: all of its nodes fail that are not done already."""
    jobs = {key: ids.job_id(run.run, run.run_attempt, key, "") for key, node in run.nodes.items() if node.phase == "pending"}
    events = [e.NodeFailed(run.run_attempt, key, job, message) for key, job in jobs.items()]
    commands = [CreateJob(job, specs.bare_spec(run, run.nodes[key]), fail="plan_failed") for key, job in jobs.items()]
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
        for opened, created, following in steps:
            for event in opened:
                run = evolve(run.run, run, event, meta)
            events.extend(opened)
            creates.extend(created)
            commands.extend(following)
    if run.conclusion is None and run.nodes and all(node.phase == "done" for node in run.nodes.values()):
        events.append(e.RunCompleted(run.run_attempt, _conclusion(run)))
        commands.extend(_release(run))
    return Advance(tuple(events), (*creates, *commands))


def _next(run: Run, sources: Sources) -> list[Opened]:
    """What can be told now: ends of calls; where there are none, groups that calls claim; else nodes that are ready."""
    open_calls = [(node, prefix) for node in run.nodes.values() for prefix, state in node.calls.items() if not state.result]
    ended = [call.end(run, node, prefix, sources) for node, prefix in open_calls]
    entering = [call.enter(run, node, prefix) for node, prefix in open_calls] if not any(ended) else []
    told = [each for each in (*ended, *entering) if each is not None]
    return told or [_open(run, node, sources) for node in run.nodes.values() if _is_ready(run, node)]


def _release(run: Run) -> tuple[ReleaseConcurrency, ...]:
    return (ReleaseConcurrency(run.concurrency.group, run.run),) if run.concurrency is not None else ()


def _conclusion(run: Run) -> str:
    conclusion = plan.run_conclusion([node.result for node in run.nodes.values()])
    return "cancelled" if run.cancelled and conclusion != "success" else conclusion


def _is_ready(run: Run, node: Node) -> bool:
    if node.phase != "pending" or not all(run.nodes[key].phase == "done" for key in node.planned.needs):
        return False
    return call.may_open(run, calls.prefix_of(node.planned.key))


def _open(run: Run, node: Node, sources: Sources) -> Opened:
    key = node.planned.key
    verdict = plan.expand(
        sources.workflow,
        key,
        planning_contexts(run, node, sources.payload),
        ancestors(run, key),
        cancelled=call.is_cancelled(run, calls.prefix_of(key)),
        matrix_filter=run.matrix or None,
        retry=retry_policy.parse(run.facts.retry),
    )
    sole = ids.job_id(run.run, run.run_attempt, key, "")
    match verdict:
        case plan.Expanded():
            placed = [(specs.place(run, node, instance.instance), instance) for instance in verdict.instances]
            instances = tuple(e.NodeInstance(job, instance.instance, instance.name) for job, instance in placed)
            fresh = [(job, instance) for job, instance in placed if job not in node.jobs]
            created = [specs.create(run, node, instance, job) for job, instance in fresh]
            expanded = e.NodeExpanded(run.run_attempt, key, instances, verdict.trace, fail_fast=verdict.fail_fast)
            held = admission.holds(run, created, replace(verdict, instances=tuple(instance for _, instance in fresh)))
            waiting = {each.job for each in held}
            created = [replace(command, hold=command.job in waiting) for command in created]
            return [expanded, *held], created, [admission.claim(run, each) for each in held if each.reason == "concurrency"]
        case plan.Called():
            return [call.called(run, node, verdict, sources)], [], []
        case plan.Skipped():
            skipped = e.NodeSkipped(run.run_attempt, key, sole, verdict.reason, verdict.trace)
            command = CreateJob(sole, specs.bare_spec(run, node), skip=verdict.reason, condition=verdict.condition, trace=verdict.trace)
            return [skipped], [command], []
        case plan.Broken():
            failed = e.NodeFailed(run.run_attempt, key, sole, verdict.diagnostic.one_line())
            return [failed], [CreateJob(sole, specs.bare_spec(run, node), fail="plan_failed")], []


def job_of(run: Run, job: UUID) -> Node | None:
    """The node that a job belongs to."""
    return next((node for node in run.nodes.values() if job in node.jobs), None)
