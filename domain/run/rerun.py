"""Re-running a run that is over: which jobs run again, which are carried over by reference, and what forbids it.

A new run attempt has job streams of its own, so logs, events and results of the earlier ones stay as they are. Whatever
depends on a job that runs again runs again too: its needs may come out differently.
"""

from collections.abc import Set as AbstractSet
from uuid import UUID

from domain.envelope import Meta
from domain.refusals import REPEAT, Decision, Refusal
from domain.run import events as e
from domain.run.advance import begin
from domain.run.commands import PlanRerun, RerunRun
from domain.run.evolve import evolve
from domain.run.run_contexts import Sources
from domain.run.specs import jobs_so_far
from domain.run.state import RUN_MAX, Run
from domain.workflow.calls import caller_of, prefix_of

FAILED = ("failure", "cancelled")
"""Results of jobs that "failed" means, as on GitHub: a failure that `continue-on-error` allowed is none."""


def rerun(state: Run, command: RerunRun, origin: Meta) -> Decision | Refusal:
    """The next run attempt; a repeat of the command (by its id) gives no event."""
    if origin.command is not None and origin.command in state.reruns:
        return REPEAT
    if state.conclusion is None:
        message = f"run {state.run} is not over (run attempt {state.run_attempt}), so it cannot run again"
        return Refusal("run_not_completed", message, state="in progress", help="wait for its end, or cancel it first")
    chosen = _chosen(state, command)
    if isinstance(chosen, Refusal):
        return chosen
    again, carried = _parted(state, chosen, everything=command.scope == "all")
    requested = e.RunRerunRequested(state.run_attempt + 1, command.scope, again, carried)
    return Decision((requested,), (PlanRerun(state.run),))


def plan_again(state: Run, command: PlanRerun, origin: Meta) -> Decision:
    """The plan of the run attempt that was just asked for: the same nodes, those that are carried over being done."""
    if command.workflow_ast is None:
        raise ValueError("PlanRerun needs the workflow that the run names")
    planned = e.RunPlanned(
        state.run_attempt,
        state.plan,
        tuple(node.planned for node in state.nodes.values()),
        state.matrix,
        carried=tuple(key for key, node in state.nodes.items() if node.phase != "pending"),
        expires_at=origin.at + RUN_MAX,
    )
    run = evolve(state.run, state, planned, origin)
    then = begin(run, Sources(command.workflow_ast, command.payload_json), origin)
    return Decision((planned, *then.events), then.commands)


def _chosen(state: Run, command: RerunRun) -> AbstractSet[UUID] | Refusal:
    """The jobs that were asked for themselves."""
    jobs = {job: result for node in state.nodes.values() for job, result in node.jobs.items()}
    match command.scope:
        case "all":
            return jobs.keys()
        case "failed":
            # What a cancellation kept from running is told as skipped.
            again = (*FAILED, "skipped") if state.cancelled else FAILED
            failed = {job for job, result in jobs.items() if result in again}
            if not failed:
                message = f"run {state.run} ended {state.conclusion} and no job of it failed"
                return Refusal("nothing_failed", message, state=f"completed ({state.conclusion})", help="re-run all jobs, or one of them")
            return failed
        case "job":
            return _one(state, command, jobs)


def _one(state: Run, command: RerunRun, jobs: dict[UUID, str]) -> AbstractSet[UUID] | Refusal:
    found = next((job for job in jobs_so_far(state, command.key, command.instance) if job in jobs), None)
    if found is None:
        message = f"run attempt {state.run_attempt} of run {state.run} has no job {command.key} {command.instance}".rstrip()
        return Refusal("job_not_in_attempt", message, state=f"completed ({state.conclusion})", help="re-run a job of the last run attempt")
    if jobs[found] == "skipped" and not state.cancelled:
        message = f"job {command.key} was skipped; it would be skipped again"
        return Refusal("job_skipped", message, state="done (skipped)", help="re-run the jobs that it needs")
    return {found}


def _parted(state: Run, chosen: AbstractSet[UUID], *, everything: bool) -> tuple[tuple[str, ...], tuple[UUID, ...]]:
    """The nodes that run again, whole or in part, and the jobs that are carried over."""
    touched = {key for key, node in state.nodes.items() if node.jobs.keys() & chosen}
    whole = {key for key in state.nodes if everything and not prefix_of(key)}
    while True:
        # A call runs again when something of it does, and what is within a call when all of it does.
        touched |= {caller for key in touched | whole for caller in _callers(key)}
        more = {key for key, node in state.nodes.items() if set(node.planned.needs) & (touched | whole) or whole & set(_callers(key))}
        if more <= whole:
            break
        whole |= more
    carried = tuple(job for key, node in state.nodes.items() if key not in whole for job in node.jobs if job not in chosen)
    return tuple(key for key in state.nodes if key in touched | whole), carried


def _callers(key: str) -> list[str]:
    """The calling nodes that a node is below, the nearest first."""
    found = []
    while prefix := prefix_of(key):
        key = caller_of(prefix)
        found.append(key)
    return found
