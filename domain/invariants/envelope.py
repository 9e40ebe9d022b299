"""Invariants 1 and 8: versions, positions, causes and correlation."""

from collections.abc import Iterator
from uuid import UUID

from domain.envelope import Recorded
from domain.invariants.job import Finding, JobLedger
from domain.job import events as job
from domain.run import events as run


class EnvelopeAccount:
    """What was seen so far, of every stream."""

    def __init__(self, jobs: JobLedger) -> None:
        self._jobs = jobs
        self._position = 0
        self._versions: dict[UUID, int] = {}
        self._ids: set[UUID] = set()

    def see(self, event: Recorded) -> Iterator[Finding]:
        """The findings about one event's envelope."""
        if event.position <= self._position:
            yield 1, f"position {event.position} was read after position {self._position}"
        self._position = max(self._position, event.position)
        expected = self._versions.get(event.stream, 0) + 1
        if event.version != expected:
            yield 1, f"version {event.version} stands where version {expected} belongs"
        self._versions[event.stream] = event.version
        yield from self._cause(event)
        self._ids.add(event.id)

    def _cause(self, event: Recorded) -> Iterator[Finding]:
        meta = event.meta
        if meta.cause is None and meta.command is None:
            yield 8, f"{event.type} names neither a command nor an earlier event as its cause"
        if meta.cause is not None and meta.cause not in self._ids:
            yield 8, f"{event.type} names the cause {meta.cause}, which is no earlier event"
        belongs = self._run_of(event)
        if belongs is not None and meta.correlation != belongs:
            yield 8, f"{event.type} has correlation {meta.correlation}, but its run is {belongs}"

    def _run_of(self, event: Recorded) -> UUID | None:
        if isinstance(event.data, run.RunEvent):
            return event.stream
        if isinstance(event.data, job.JobCreated):
            return event.data.run
        return self._jobs.run_of(event.stream)
