"""The jobs that a node becomes: their streams, their names and what is recorded of them when they are created."""

from typing import Any
from uuid import UUID

from domain import ids
from domain.job.commands import CreateJob
from domain.job.events import JobCreated, PlannedStep
from domain.retry import RetryPolicy
from domain.run.events import RunEvent
from domain.run.state import Node, Run
from domain.scheduling.lanes import lane_of
from domain.workflow import plan

Opened = tuple[list[RunEvent], list[CreateJob], list[Any]]
"""A step of a run: its events, the jobs to create, and what else follows, such as the groups to claim."""


def jobs_so_far(run: Run, key: str, instance: str) -> list[UUID]:
    """The streams that an instance of a node has had in all run attempts up to this one, the newest first."""
    return [ids.job_id(run.run, attempt, key, instance) for attempt in range(run.run_attempt, 0, -1)]


def place(run: Run, node: Node, instance: str) -> UUID:
    """The job of an instance: the one that a re-run carried over, else a new one."""
    streams = jobs_so_far(run, node.planned.key, instance)
    return next((job for job in streams if job in node.jobs), streams[0])


def create(run: Run, node: Node, instance: plan.Instance, job: UUID) -> CreateJob:
    """The job of an instance that was just planned."""
    spec = _spec(
        run,
        node,
        instance=instance.instance,
        name=full_name(run, node, instance.name),
        labels=instance.labels,
        steps=instance.steps,
        timeout_seconds=instance.timeout_seconds,
        cancel_timeout_seconds=instance.cancel_timeout_seconds,
        retry=instance.retry,
        matrix=instance.matrix,
        continue_on_error=instance.continue_on_error,
    )
    return CreateJob(job, spec, lane=lane_of(run.facts.event), tenant=run.tenant, fair_key=str(run.facts.repository))


def full_name(run: Run, node: Node, name: str) -> str:
    """What people see: `caller / called`, as on GitHub."""
    call = run.call_of(node.planned.key)
    return f"{call.planned.name} / {name}" if call is not None else name


def bare_spec(run: Run, node: Node) -> JobCreated:
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
    retry: RetryPolicy = RetryPolicy(),  # noqa: B008 - frozen, so that all callers may share one
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
