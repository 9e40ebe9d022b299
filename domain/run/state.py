"""What a run knows of itself: its inputs, its plan, and how far each node of the plan has come."""

from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec

from domain.run.events import JobHeld, PlannedNode, RunHeld, RunTriggered


class Node(msgspec.Struct, frozen=True):
    """A node of the plan. jobs: each instance's result, "" while it is not done. result: set once the node is done.

    held: the jobs that may not enter the queue yet. groups: the concurrency group that a job waits for or holds.
    """

    planned: PlannedNode
    phase: Literal["pending", "open", "done"] = "pending"
    jobs: dict[UUID, str] = {}
    result: str = ""
    outputs: dict[str, str] = {}
    fail_fast: bool = False
    held: dict[UUID, JobHeld] = {}
    groups: dict[UUID, UUID] = {}


class Run(msgspec.Struct, frozen=True):
    """A run in its current run attempt. conclusion: None until it is complete.

    concurrency: the group of the whole run, where it has one; held: the run waits for it.
    """

    run: UUID
    tenant: str
    actor: str
    facts: RunTriggered
    triggered_at: datetime
    run_attempt: int = 0
    plan: str = ""
    matrix: dict[str, tuple[str, ...]] = {}
    nodes: dict[str, Node] = {}
    concurrency: RunHeld | None = None
    held: bool = False
    cancelled: bool = False
    conclusion: str | None = None

    def live_jobs(self) -> list[UUID]:
        """The jobs that exist and are not done, in plan order."""
        return [job for node in self.nodes.values() for job, result in node.jobs.items() if not result]


def ancestors(run: Run, node: str) -> dict[str, str]:
    """The results of all transitive needs of a node, by key."""
    found: dict[str, str] = {}
    pending = list(run.nodes[node].planned.needs)
    while pending:
        key = pending.pop()
        if key not in found:
            found[key] = run.nodes[key].result
            pending.extend(run.nodes[key].planned.needs)
    return found
