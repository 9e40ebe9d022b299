"""What waits: a queued job, and the line in which it stands."""

from functools import lru_cache
from uuid import UUID

import msgspec

UNPLACED = 2**62
"""The position of a job whose commit is still to come: behind all others."""


class Line(msgspec.Struct, frozen=True, gc=False):
    """What the jobs of one waiting line have in common. labels: as the jobs ask for them."""

    tenant: str
    fair_key: str
    lane: str
    labels: tuple[str, ...]


class ReadyJob(msgspec.Struct, frozen=True, gc=False):
    """A queued job.

    position: of the event that made it ready, which is its place in its line. place: see lanes.place; it orders the
    lines of one fair-share key.
    """

    job: UUID
    line: Line
    position: int
    place: float
    avoid: UUID | None = None


@lru_cache(4096)
def wanted(labels: tuple[str, ...]) -> frozenset[str]:
    """The labels as a set."""
    return frozenset(labels)
