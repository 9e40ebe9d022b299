"""The events of a run and its jobs, in position order, read from their streams.

The streams are the truth at any moment, so no view has to catch up first.
"""

from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

from domain.envelope import Recorded
from domain.run.events import NodeExpanded, NodeFailed, NodeSkipped, RunCompleted, RunRerunRequested


class Log(Protocol):
    """Where the events of a stream are: the store, or the part of it that somebody may see."""

    async def load(self, stream: UUID, after: int = 0) -> Sequence[Recorded]:
        """The events of a stream with version > after, in order."""


async def run_history(store: Log, run: UUID, through: int) -> list[Recorded]:
    """All events of a run with position <= through; empty when there is no such run."""
    found = [event for event in await store.load(run) if event.position <= through]
    jobs: dict[UUID, None] = {}
    for event in found:
        match event.data:
            case NodeExpanded(instances=instances):
                jobs.update(dict.fromkeys(instance.job for instance in instances))
            case NodeSkipped(job=job) | NodeFailed(job=job):
                jobs[job] = None
            case _:
                pass
    for stream in jobs:
        found.extend(event for event in await store.load(stream) if event.position <= through)
    found.sort(key=lambda event: event.position)
    return found


def is_complete(events: list[Recorded], run: UUID, *, before: bool = False) -> bool:
    """Whether a run is over after these events, in order. before: whether it was over before them."""
    for event in events:
        if event.stream == run:
            match event.data:
                case RunCompleted():
                    before = True
                case RunRerunRequested():
                    before = False
                case _:
                    pass
    return before
