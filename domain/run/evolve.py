"""How each event changes a run's state."""

from uuid import UUID

from msgspec.structs import replace

from domain.envelope import Meta
from domain.job.evolve import ImpossibleHistoryError
from domain.run import events as e
from domain.run.state import Node, Run
from domain.workflow.plan import run_conclusion


def evolve(stream: UUID, state: Run | None, event: e.RunEvent, meta: Meta) -> Run:
    """The state after `event`. Raises ImpossibleHistoryError when no history of this code leads there."""
    if isinstance(event, e.RunTriggered):
        return Run(run=stream, tenant=meta.tenant, actor=meta.actor, facts=event, triggered_at=meta.at)
    if state is None:
        raise ImpossibleHistoryError(f"{type(event).__name__} is the first event of run {stream}")
    match event:
        case e.RunPlanned():
            nodes = {node.key: Node(node) for node in event.nodes}
            return replace(
                state,
                run_attempt=event.run_attempt,
                plan=event.plan,
                matrix=event.matrix,
                nodes=nodes,
                cancelled=False,
                conclusion=None,
            )
        case e.NodeExpanded():
            jobs = {instance.job: "" for instance in event.instances}
            return _with(state, event.node, phase="open", jobs=jobs, fail_fast=event.fail_fast)
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
            return state
        case _:
            raise ImpossibleHistoryError(f"{type(event).__name__} in the stream of run {stream}")


def _with(state: Run, key: str, **changes: object) -> Run:
    return replace(state, nodes={**state.nodes, key: replace(state.nodes[key], **changes)})


def _concluded(state: Run, event: e.JobConcluded) -> Run:
    node = state.nodes[event.node]
    jobs = {**node.jobs, event.job: event.result}
    # As on GitHub: of several instances that set the same output, the last one that finished wins, if it is not empty.
    outputs = {**node.outputs, **{name: value for name, value in event.outputs.items() if value or name not in node.outputs}}
    if all(jobs.values()):
        return _with(state, event.node, phase="done", jobs=jobs, outputs=outputs, result=run_conclusion(list(jobs.values())))
    return _with(state, event.node, jobs=jobs, outputs=outputs)
