"""What other streams say about a run's surroundings, as the views know it: runners, concurrency groups, places in line."""

from datetime import datetime
from uuid import UUID

import msgspec


class Runner(msgspec.Struct, frozen=True):
    """A runner that is not retired. duty: "active", "paused" or "draining"; held: the jobs that it works on.

    changed_by: the actor of the last change of duty, "" where none is known; changed_at: when. repositories: the fair-share keys
    of those that its group serves; None: all.
    """

    id: UUID
    name: str
    labels: tuple[str, ...]
    slots: int
    online: bool
    duty: str = "active"
    held: tuple[UUID, ...] = ()
    changed_by: str = ""
    changed_at: datetime | None = None
    group: str = ""
    repositories: frozenset[str] | None = None

    @property
    def takes_jobs(self) -> bool:
        """Whether it takes a job now, or as soon as it has a free slot."""
        return self.online and self.duty == "active"


class Holder(msgspec.Struct, frozen=True):
    """Who holds a concurrency group. id: the run, the job or the call; node: the job's key or the call's prefix.

    pending: who waits for the group, in the order of their turns.
    """

    id: UUID
    run: UUID
    number: int
    workflow_path: str
    since: datetime
    job: UUID | None = None
    node: str = ""
    pending: tuple[UUID, ...] = ()


class Surroundings(msgspec.Struct, frozen=True):
    """At one moment. groups: who holds them, by id. ahead: how many turns come before a queued job's, 0: it is next.

    drain_seconds: how long the runners need for what waits with a job's labels, by job; absent: nobody can tell.
    """

    now: datetime
    runners: tuple[Runner, ...] = ()
    groups: dict[UUID, Holder] = {}
    ahead: dict[UUID, int] = {}
    drain_seconds: dict[UUID, float] = {}
