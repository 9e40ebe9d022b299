"""Invariants 1 and 8: versions, positions, causes and correlation; that every event is its stream's tenant's."""

from uuid import UUID

from domain.envelope import Recorded
from domain.ids import event_number
from domain.invariants.job import Finding, JobLedger
from domain.job import events as job
from domain.run import events as run


class EnvelopeAccount:
    """What was seen so far, of every stream."""

    def __init__(self, jobs: JobLedger) -> None:
        self._jobs = jobs
        self._position = 0
        self._versions: dict[UUID, int] = {}
        self._tenants: dict[UUID, str] = {}
        self._known: set[int] = set()
        self._unnamed: list[tuple[UUID, int]] = []

    def see(self, event: Recorded) -> list[Finding]:
        """The findings about one event's envelope."""
        found: list[Finding] = []
        stream, version, meta = event.stream, event.version, event.meta
        if event.position <= self._position:
            found.append((1, f"position {event.position} was read after position {self._position}"))
        else:
            self._position = event.position
        expected = self._versions.get(stream, 0) + 1
        self._versions[stream] = version
        if version != expected:
            found.append((1, f"version {version} stands where version {expected} belongs"))
        if expected == 1:
            self._tenants[stream] = meta.tenant
        elif meta.tenant != self._tenants[stream]:
            found.append((8, f"{event.type} is of tenant {meta.tenant}; its stream is of {self._tenants[stream]}"))
        cause = meta.cause
        if cause is None:
            if meta.command is None:
                found.append((8, f"{event.type} names neither a command nor an earlier event as its cause"))
        elif cause.int not in self._known and not self._find(cause.int):
            found.append((8, f"{event.type} names the cause {cause}, which is no earlier event"))
        data = event.data
        belongs: UUID | None = None
        if isinstance(data, run.RunEvent):
            belongs = stream
        elif isinstance(data, job.JobCreated):
            belongs = data.run
        elif isinstance(data, job.JobEvent):
            belongs = self._jobs.run_of(stream)
        if belongs is not None and meta.correlation != belongs:
            found.append((8, f"{event.type} has correlation {meta.correlation}, but its run is {belongs}"))
        self._unnamed.append((stream, version))
        return found

    def _find(self, cause: int) -> bool:
        """Whether an earlier event has this id. Ids are computed from the newest event back, since most causes are near."""
        while self._unnamed:
            number = event_number(*self._unnamed.pop())
            self._known.add(number)
            if number == cause:
                return True
        return False
