"""The events of a run and its jobs, in position order, read from their streams: the run's, then all of its jobs' at once.

The streams are the truth at any moment, so no view has to catch up first.
"""

from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

from domain.envelope import Recorded
from domain.job.events import HeartbeatRecorded, JobAcquired
from domain.run.events import NodeExpanded, NodeFailed, NodeSkipped, RunCompleted, RunRerunRequested

EVERYTHING = 2**63 - 1
"""A position behind the end of every log."""


class Log(Protocol):
    """Where the events of a stream are: the store, or the part of it that somebody may see."""

    async def load(self, stream: UUID, after: int = 0) -> Sequence[Recorded]:
        """The events of a stream with version > after, in order."""

    async def load_streams(self, streams: Sequence[UUID], through: int, besides: Sequence[type] = ()) -> Sequence[Recorded]:
        """The events of several streams with position <= through, in position order, without those of the types `besides`."""


async def run_history(store: Log, run: UUID, through: int, besides: Sequence[type] = ()) -> list[Recorded]:
    """All events of a run with position <= through; empty when there is no such run. besides: types that are left out."""
    found = list(await store.load_streams([run], through, besides))
    jobs: dict[UUID, None] = {}
    for event in found:
        match event.data:
            case NodeExpanded(instances=instances):
                jobs.update(dict.fromkeys(instance.job for instance in instances))
            case NodeSkipped(job=job) | NodeFailed(job=job):
                jobs[job] = None
            case _:
                pass
    if jobs:
        found.extend(await store.load_streams(list(jobs), through, besides))
        found.sort(key=lambda event: event.position)
    return found


async def with_runners(store: Log, events: Sequence[Recorded], through: int) -> list[Recorded]:
    """A run's events with those of the runners that held a job of it."""
    runners = dict.fromkeys(event.data.runner for event in events if isinstance(event.data, JobAcquired))
    beside = await store.load_streams(list(runners), through) if runners else ()
    return sorted([*events, *beside], key=lambda event: event.position)


async def provenance_history(store: Log, run: UUID, through: int) -> list[Recorded]:
    """What provenance is made of: a run's events without its heartbeats, and how its runners came to be known."""
    return await with_runners(store, await run_history(store, run, through, (HeartbeatRecorded,)), through)


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
