"""The holds view: runs, jobs and calls of workflows that are ready and not let in yet, and who holds the concurrency groups.

Display only: who is let in is decided by the run's stream and the group's. A hold tells what it waits for; who is in the
way is looked up in the other table when somebody asks, because that changes while the hold stays as it is.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from domain import concurrency, ids
from domain.envelope import Recorded
from domain.run import events as run
from projections.rows import Connection
from projections.table import Key, Rule, Table, View, by_stream


class HoldRow(msgspec.Struct, gc=False):
    """A run, a job or a call that is held back. reason: "concurrency" or "max_parallel" (limit: of the matrix); name: the group's.

    call: the prefix of a call's nodes, "" for a run or a job.
    """

    id: UUID
    run_id: UUID
    reason: str
    limit: int
    group_id: UUID | None
    name: str
    since: datetime
    call: str = ""


class GroupRow(msgspec.Struct, gc=False):
    """A concurrency group that somebody holds. holder: the run, the job, or the call; node: the job's key or the call's prefix."""

    id: UUID
    name: str
    repository: UUID
    holder: UUID
    run_id: UUID
    number: int
    workflow_path: str
    job: UUID | None
    node: str
    since: datetime


def _by_job(event: Recorded) -> Sequence[Key]:
    return (event.data.job,)


def _held_back(event: Recorded) -> Sequence[Key]:
    """A job that waits for a retry is no hold: its own row tells of the attempt that ended."""
    return (event.data.job,) if event.data.reason != "backoff" else ()


def _by_holder(event: Recorded) -> Sequence[Key]:
    return (event.data.holder,)


def _by_call(event: Recorded) -> Sequence[Key]:
    data: run.CallConcluded = event.data
    return [ids.call_id(event.stream, data.run_attempt, data.call, of) for of in ("job", "workflow")]


def _run_held(_row: HoldRow | None, event: Recorded, key: Key) -> HoldRow:
    data: run.RunHeld = event.data
    return HoldRow(key, event.stream, "concurrency", 0, data.group, data.name, event.meta.at)


def _job_held(_row: HoldRow | None, event: Recorded, key: Key) -> HoldRow:
    data: run.JobHeld = event.data
    return HoldRow(key, event.stream, data.reason, data.limit, data.group, data.name, event.meta.at)


def _call_held(_row: HoldRow | None, event: Recorded, key: Key) -> HoldRow:
    data: run.CallHeld = event.data
    return HoldRow(key, event.stream, "concurrency", 0, data.group, data.name, event.meta.at, data.call)


def _gone(_row: Any, _event: Recorded, _key: Key) -> None:
    return None


HOLDS_TABLE = Table(
    "holds",
    HoldRow,
    ("id",),
    {
        run.RunHeld: Rule(_run_held, by_stream, opens=True),
        run.RunAdmitted: Rule(_gone, by_stream, opens=True),
        run.RunCompleted: Rule(_gone, by_stream, opens=True),
        run.CallHeld: Rule(_call_held, _by_holder, opens=True),
        run.CallAdmitted: Rule(_gone, _by_holder, opens=True),
        run.CallConcluded: Rule(_gone, _by_call, opens=True),
        run.JobHeld: Rule(_job_held, _held_back, opens=True),
        run.JobAdmitted: Rule(_gone, _by_job, opens=True),
        run.JobConcluded: Rule(_gone, _by_job, opens=True),
    },
    scope="run_id",
    indexes=("(run_id)",),
)


def _acquired(_row: GroupRow | None, event: Recorded, key: Key) -> GroupRow:
    claim: concurrency.Claim = event.data.claim
    return GroupRow(
        key,
        claim.name,
        claim.repository,
        claim.holder,
        claim.run,
        claim.number,
        claim.workflow_path,
        claim.job,
        claim.node,
        event.meta.at,
    )


def _released(row: GroupRow | None, event: Recorded, _key: Key) -> GroupRow | None:
    """One that only waited may give up, too."""
    return None if row is None or row.holder == event.data.holder else row


GROUPS_TABLE = Table(
    "concurrency_groups",
    GroupRow,
    ("id",),
    {
        concurrency.ConcurrencyAcquired: Rule(_acquired, by_stream, opens=True),
        concurrency.ConcurrencyReleased: Rule(_released, by_stream),
    },
)

HOLDS = View("holds", (HOLDS_TABLE, GROUPS_TABLE))


class Hold(msgspec.Struct, frozen=True):
    """A run, job or call that is held back, and who is in the way. reason: a sentence for people. call: a call's prefix."""

    id: UUID
    run_id: UUID
    group: str
    since: datetime
    reason: str
    call: str = ""


_HELD = """
SELECT h.id, h.run_id, h.reason, h."limit", h.name, h.since, g.number, g.workflow_path, g.run_id = h.run_id, h.call
FROM views.holds h JOIN views.runs r ON r.id = h.run_id LEFT JOIN views.concurrency_groups g ON g.id = h.group_id
WHERE r.tenant = %(tenant)s AND (%(ids)s::uuid[] IS NULL OR h.id = ANY(%(ids)s) OR (h.call <> '' AND h.run_id = %(run)s))
ORDER BY h.since, h.id LIMIT 1000
"""


async def holds(connection: Connection, tenant: str, ids: Sequence[UUID] | None = None, calls_of: UUID | None = None) -> list[Hold]:
    """What is held back and why, the oldest first; of these runs and jobs, where some are named, and of a run's calls."""
    values = {"tenant": tenant, "ids": list(ids) if ids is not None else None, "run": calls_of}
    cursor = await connection.execute(_HELD, values)
    return [
        Hold(identity, run_id, name, since, _sentence(reason, limit, name, number, path, own=bool(own)), call)
        for identity, run_id, reason, limit, name, since, number, path, own, call in await cursor.fetchall()
    ]


def _sentence(reason: str, limit: int, name: str, number: int | None, path: str | None, *, own: bool) -> str:
    if reason == "max_parallel":
        return f"waiting for others of its matrix: max-parallel is {limit}"
    if number is None:
        return f"waiting for concurrency group {name}"
    holder = "another part of this run" if own else f"run {number} of {path}"
    return f"waiting for concurrency group {name} held by {holder}"
