"""Which jobs of an expanded node may enter the queue: `max-parallel` of the matrix, then each job's concurrency group.

The run stream decides: a job that has to wait is created and held (JobHeld), and queued once it is let in (JobAdmitted).
When a retry may begin the job itself decides; the run is told, because its own clock depends on it.
A place under `max-parallel` is free again when one of the node's jobs ends; the group tells by itself (AdmitJob).
"""

from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from domain import ids
from domain.concurrency import Claim, ClaimConcurrency
from domain.job.commands import CreateJob, QueueJob
from domain.refusals import REPEAT, Decision
from domain.run import events as e
from domain.run.commands import AdmitJob, NoteBackoff
from domain.run.state import Node, Run
from domain.scheduling.lanes import lane_of
from domain.workflow.plan import Expanded


def holds(run: Run, created: Sequence[CreateJob], expanded: Expanded) -> list[e.JobHeld]:
    """The jobs of a node that has just been expanded that may not enter the queue yet, in matrix order."""
    limit = expanded.max_parallel or len(created)
    found = []
    for number, (command, instance) in enumerate(zip(created, expanded.instances, strict=True)):
        concurrency = instance.concurrency
        if number < limit and concurrency is None:
            continue
        held = e.JobHeld(run.run_attempt, command.spec.key, command.job, "concurrency" if number < limit else "max_parallel")
        if number >= limit:
            held = replace(held, limit=limit)
        if concurrency is not None:
            group = ids.concurrency_group_id(run.facts.repository, concurrency.name)
            cancel, queue = concurrency.cancel_in_progress, concurrency.queue
            held = replace(held, group=group, name=concurrency.name, cancel_in_progress=cancel, queue=queue)
        found.append(held)
    return found


def admit(run: Run, node: Node) -> tuple[list[e.RunEvent], list[Any]]:
    """The jobs that `max-parallel` held back and that others have made room for: queue them, or claim their groups."""
    waiting = [held for held in node.held.values() if held.reason == "max_parallel"]
    if not waiting or run.cancelled or (node.fail_fast and "failure" in node.jobs.values()):
        return [], []
    under_way = sum(not result for result in node.jobs.values()) - len(waiting)
    events: list[e.RunEvent] = []
    commands: list[Any] = []
    for held in waiting[: max(waiting[0].limit - under_way, 0)]:
        if held.group is None:
            events.append(e.JobAdmitted(run.run_attempt, held.node, held.job))
            commands.append(_queue(run, held.job))
        else:
            claiming = replace(held, reason="concurrency", limit=0)
            events.append(claiming)
            commands.append(claim(run, claiming))
    return events, commands


def admitted(run: Run, command: AdmitJob) -> Decision:
    """The group let a job in: it enters the queue. Or its backoff is over, and it has entered the queue by itself."""
    node = next((node for node in run.nodes.values() if command.job in node.held), None)
    if node is None or command.run_attempt != run.run_attempt:
        return REPEAT
    event = e.JobAdmitted(run.run_attempt, node.planned.key, command.job)
    return Decision((event,), () if node.held[command.job].reason == "backoff" else (_queue(run, command.job),))


def backing_off(run: Run, command: NoteBackoff) -> Decision:
    """An attempt of a job ended, and the next one has to wait."""
    node = run.nodes.get(command.node)
    if node is None or command.run_attempt != run.run_attempt or node.jobs.get(command.job) != "" or command.job in node.held:
        return REPEAT
    return Decision((e.JobHeld(run.run_attempt, command.node, command.job, "backoff"),))


def claim(run: Run, held: e.JobHeld | e.RunHeld) -> ClaimConcurrency:
    """The claim of a job's group, or of the run's."""
    assert held.group is not None, "only a job with a group waits for it"  # noqa: S101 - a fact, not a check
    job = held.job if isinstance(held, e.JobHeld) else None
    who = Claim(
        holder=job or run.run,
        name=held.name,
        repository=run.facts.repository,
        run=run.run,
        run_attempt=run.run_attempt,
        number=run.facts.number,
        workflow_path=run.facts.workflow_path,
        job=job,
        node=held.node if isinstance(held, e.JobHeld) else "",
    )
    return ClaimConcurrency(held.group, who, held.cancel_in_progress, held.queue)


def _queue(run: Run, job: Any) -> QueueJob:
    return QueueJob(job, lane=lane_of(run.facts.event), tenant=run.tenant, fair_key=str(run.facts.repository))
