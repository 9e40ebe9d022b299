"""Which waiting runner gets which ready job: one pure function, called on every change of either side.

Every match takes one free slot. A job goes to a runner that has all of its labels; among those, first to one that is
not the job's `avoid` (the runner that lost it before), then to the one with the most free slots, then to the one that
has waited longest. Jobs are served oldest first, but a job that nobody here can take never blocks those behind it.

It must never look at a clock or decide who owns a job: its answer is a proposal, the expected version of JobAcquired
decides.
"""

from collections.abc import Iterable, Sequence
from uuid import UUID

import msgspec

UNPLACED = 2**63 - 1
"""The position of a job whose commit is still to come: behind all others."""


class ReadyJob(msgspec.Struct, frozen=True, gc=False):
    """A queued job. position: of the event that made it ready, which is its place in the queue."""

    job: UUID
    labels: frozenset[str]
    position: int
    avoid: UUID | None = None


class Poller(msgspec.Struct, frozen=True):
    """A runner that waits with free slots. since: a number that grows with each poll, so the smallest waits longest."""

    runner: UUID
    labels: frozenset[str]
    slots: int
    since: int = 0


def match(ready: Iterable[ReadyJob], pollers: Sequence[Poller]) -> list[tuple[ReadyJob, Poller]]:
    """Pairs to try, in order of the jobs given (oldest first). No runner gets more jobs than it has slots."""
    free = {poller.runner: poller.slots for poller in pollers if poller.slots > 0}
    pairs: list[tuple[ReadyJob, Poller]] = []
    for job in ready:
        if not free:
            break
        fitting = [poller for poller in pollers if poller.runner in free and job.labels <= poller.labels]
        if not fitting:
            continue
        chosen = min(fitting, key=lambda poller: (poller.runner == job.avoid, -free[poller.runner], poller.since))
        pairs.append((job, chosen))
        free[chosen.runner] -= 1
        if free[chosen.runner] == 0:
            del free[chosen.runner]
    return pairs
