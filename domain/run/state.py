"""What a run knows of itself: its inputs, its plan, and how far each node of the plan has come."""

from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

import msgspec

from domain.run.events import CallGroup, FollowersFixed, JobHeld, PlannedCall, PlannedNode, RunHeld, RunTriggered
from domain.workflow.calls import caller_of, local_key, prefix_of


class CallState(msgspec.Struct, frozen=True):
    """A call of a workflow. result: set once all its jobs are done; cancelled: another call of the matrix failed.

    claimed: how many of its concurrency groups it holds or waits for; held: it waits for the last of these. asked: a
    group wants its end.
    """

    planned: PlannedCall
    result: str = ""
    cancelled: bool = False
    claimed: int = 0
    held: bool = False
    asked: bool = False

    @property
    def entered(self) -> bool:
        """Whether it holds all groups that it has to hold, so that its nodes may be opened."""
        return self.claimed == len(self.planned.groups) and not self.held

    @property
    def claims(self) -> tuple[CallGroup, ...]:
        """The groups that it holds or waits for."""
        return self.planned.groups[: self.claimed]


RUN_MAX = timedelta(days=35)
"""How long a run attempt may take, as on GitHub."""


class Node(msgspec.Struct, frozen=True):
    """A node of the plan. jobs: each instance's result, "" while it is not done. result: set once the node is done.

    given: the outputs of each job or call that is done, in the order in which they ended. A pending node may hold jobs already:
    those that a re-run carries over.
    held: the jobs that may not enter the queue yet, or not again. groups: the concurrency group that a job waits for or holds.
    calls: of a node that calls a workflow, by their prefix; then there are no jobs. max_parallel: of the calls, 0: all.
    """

    planned: PlannedNode
    phase: Literal["pending", "open", "done"] = "pending"
    jobs: dict[UUID, str] = {}
    result: str = ""
    given: dict[UUID | str, dict[str, str]] = {}
    fail_fast: bool = False
    held: dict[UUID, JobHeld] = {}
    groups: dict[UUID, UUID] = {}
    calls: dict[str, CallState] = {}
    max_parallel: int = 0

    @property
    def outputs(self) -> dict[str, str]:
        """As on GitHub: of several instances that set the same output, the last one that ended wins, if it is not empty."""
        merged: dict[str, str] = {}
        for outputs in self.given.values():
            merged |= {name: value for name, value in outputs.items() if value or name not in merged}
        return merged


class Run(msgspec.Struct, frozen=True):
    """A run in its current run attempt. conclusion: None until it is complete.

    expires_at: then it is cancelled, unless it is held or its clock stands still, as it does since stopped_at.
    actor: who triggered it; triggering_actor: who asked for this run attempt. reruns: the commands that asked for one,
    and which they got, so that a repeat is recognised.
    concurrency: the group of the whole run, where it has one; held: the run waits for it.
    followers: what listens to it.
    """

    run: UUID
    tenant: str
    actor: str
    facts: RunTriggered
    triggered_at: datetime
    triggering_actor: str = ""
    run_attempt: int = 0
    reruns: dict[UUID, int] = {}
    plan: str = ""
    matrix: dict[str, tuple[str, ...]] = {}
    nodes: dict[str, Node] = {}
    concurrency: RunHeld | None = None
    followers: FollowersFixed | None = None
    held: bool = False
    cancelled: bool = False
    conclusion: str | None = None
    expires_at: datetime | None = None
    stopped_at: datetime | None = None

    def live_jobs(self, prefixes: tuple[str, ...] = ("",)) -> list[UUID]:
        """The jobs that exist and are not done, in plan order. prefixes: of the keys of the nodes that count."""
        nodes = [node for key, node in self.nodes.items() if key.startswith(prefixes)]
        return [job for node in nodes for job, result in node.jobs.items() if not result]

    def call_of(self, key: str) -> CallState | None:
        """The call that a node belongs to; None for a job of the file itself."""
        prefix = prefix_of(key)
        return self.nodes[caller_of(prefix)].calls[prefix] if prefix else None

    def held_calls(self, prefixes: tuple[str, ...] = ("",)) -> list[str]:
        """The calls that wait for a concurrency group. prefixes: as those of `live_jobs`."""
        calls = [(prefix, call) for node in self.nodes.values() for prefix, call in node.calls.items()]
        return [prefix for prefix, call in calls if call.held and not call.result and f"{prefix}/".startswith(prefixes)]

    def nodes_of(self, prefix: str) -> list[Node]:
        """The nodes that a call added, without those of calls within it."""
        return [node for key, node in self.nodes.items() if prefix_of(key) == prefix]


def ancestors(run: Run, node: str) -> dict[str, str]:
    """The results of all transitive needs of a node, by the id of the job in its file."""
    found: dict[str, str] = {}
    pending = list(run.nodes[node].planned.needs)
    while pending:
        key = pending.pop()
        if local_key(key) not in found:
            found[local_key(key)] = run.nodes[key].result
            pending.extend(run.nodes[key].planned.needs)
    return found
