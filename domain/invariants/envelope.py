"""Invariants 1 and 8: versions, positions, causes and correlation; that every event is its stream's tenant's."""

from uuid import UUID

import msgspec

from domain.envelope import Recorded
from domain.ids import event_number, event_root
from domain.invariants.job import Finding, JobLedger
from domain.job import events as job
from domain.run import events as run


class Stream(msgspec.Struct, gc=False):
    """What was seen of a stream. root: see domain.ids.event_root."""

    version: int
    tenant: str
    root: bytes


class EnvelopeAccount:
    """What was seen so far, of every stream."""

    def __init__(self, jobs: JobLedger) -> None:
        self._jobs = jobs
        self._position = 0
        self._streams: dict[int, Stream] = {}
        self._known: set[int] = set()
        self._unnamed: list[tuple[bytes, int]] = []

    def see(self, event: Recorded) -> list[Finding]:
        """The findings about one event's envelope."""
        found: list[Finding] = []
        version, meta = event.version, event.meta
        if event.position <= self._position:
            found.append((1, f"position {event.position} was read after position {self._position}"))
        else:
            self._position = event.position
        stream = self._streams.get(event.stream.int)
        if stream is None:
            stream = self._streams[event.stream.int] = Stream(0, meta.tenant, event_root(event.stream))
        if version != stream.version + 1:
            found.append((1, f"version {version} stands where version {stream.version + 1} belongs"))
        stream.version = version
        if meta.tenant != stream.tenant:
            found.append((8, f"{event.type} is of tenant {meta.tenant}; its stream is of {stream.tenant}"))
        cause = meta.cause
        if cause is None:
            if meta.command is None:
                found.append((8, f"{event.type} names neither a command nor an earlier event as its cause"))
        elif cause.int not in self._known and not self._find(cause.int):
            found.append((8, f"{event.type} names the cause {cause}, which is no earlier event"))
        data = event.data
        belongs: UUID | None = None
        if isinstance(data, job.JobCreated):
            belongs = data.run
        elif isinstance(data, job.JobEvent):
            account = self._jobs.get(event.stream)
            belongs = account.spec.run if account is not None else None
        elif isinstance(data, run.RunEvent):
            belongs = event.stream
        if belongs is not None and (meta.correlation is None or meta.correlation.int != belongs.int):
            found.append((8, f"{event.type} has correlation {meta.correlation}, but its run is {belongs}"))
        self._unnamed.append((stream.root, version))
        return found

    def _find(self, cause: int) -> bool:
        """Whether an earlier event has this id. Ids are computed from the newest event back, since most causes are near."""
        while self._unnamed:
            number = event_number(*self._unnamed.pop())
            self._known.add(number)
            if number == cause:
                return True
        return False
