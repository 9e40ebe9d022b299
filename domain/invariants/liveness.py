"""Invariant 10: nothing stands still without a live cause.

Judged at the end of a log, and meant for one that has settled: a job that is not over has to be in the queue, held by a
runner, in a pause or held back by its run; a run that is not over needs such a job, or a group that it waits for. With
`now`, the deadlines that keep these causes alive must not lie further back than a grace: nobody looked at them.
"""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import ClassVar
from uuid import UUID

import msgspec

from domain.envelope import Recorded
from domain.invariants.job import CONCLUSIONS
from domain.job import events as job
from domain.run import events as run

GRACE = timedelta(seconds=60)

Late = tuple[int, UUID, str]
"""(position, stream, what is wrong)."""


class Standing(msgspec.Struct):
    """A job that is not over. cause: what keeps it; until: when somebody has to look at it at the latest."""

    id: UUID
    run: UUID
    position: int
    cause: str = ""
    until: datetime | None = None


class LivenessAccount:
    """What every job and run waits for."""

    def __init__(self) -> None:
        self._jobs: dict[int, Standing] = {}
        self._held: dict[UUID, str] = {}
        self._runs: dict[UUID, int] = {}
        self._waiting: dict[UUID, int] = {}

    def see(self, event: Recorded) -> tuple[()]:
        """Note what an event changes; nothing is wrong before the end."""
        self.RULES[type(event.data)](self, event)
        return ()

    def _renewed(self, event: Recorded) -> None:
        standing = self._jobs.get(event.stream.int)
        if standing is not None:
            standing.until = event.data.expires_at

    def _created(self, event: Recorded) -> None:
        self._jobs[event.stream.int] = Standing(event.stream, event.data.run, event.position)

    def _ended(self, event: Recorded) -> None:
        self._jobs.pop(event.stream.int, None)

    def _held_back(self, event: Recorded) -> None:
        self._held[event.data.job] = event.data.reason

    def _let_in(self, event: Recorded) -> None:
        self._held.pop(event.data.job, None)

    def _planned(self, event: Recorded) -> None:
        self._runs[event.stream] = event.position

    def _completed(self, event: Recorded) -> None:
        self._runs.pop(event.stream, None)
        self._waiting.pop(event.stream, None)

    def _waits(self, event: Recorded) -> None:
        self._waiting[event.stream] = self._waiting.get(event.stream, 0) + 1

    def _admitted(self, event: Recorded) -> None:
        self._waiting[event.stream] = self._waiting.get(event.stream, 0) - 1

    def _queued(self, event: Recorded) -> None:
        self._keep(event, "queue", event.data.expires_at)

    def _acquired(self, event: Recorded) -> None:
        self._keep(event, "lease", event.data.expires_at)

    def _attempt_ended(self, event: Recorded) -> None:
        self._keep(event, "pause" if event.data.retry_at is not None else "", event.data.retry_at)

    RULES: ClassVar[dict[type, Callable[["LivenessAccount", Recorded], None]]] = {
        job.JobCreated: _created,
        job.JobQueued: _queued,
        job.JobRetried: _queued,
        job.JobAcquired: _acquired,
        job.HeartbeatRecorded: _renewed,
        job.LeaseExtended: _renewed,
        job.AttemptLost: _attempt_ended,
        job.AttemptFailed: _attempt_ended,
        job.AttemptTimedOut: _attempt_ended,
        **dict.fromkeys(CONCLUSIONS, _ended),
        run.JobHeld: _held_back,
        run.JobAdmitted: _let_in,
        run.JobConcluded: _let_in,
        run.RunPlanned: _planned,
        run.RunCompleted: _completed,
        run.RunHeld: _waits,
        run.CallHeld: _waits,
        run.RunAdmitted: _admitted,
        run.CallAdmitted: _admitted,
    }
    """What each event changes; all others pass."""

    def end(self, now: datetime | None) -> Iterator[Late]:
        """What stands still at the end of the log."""
        alive = set()
        for each in self._jobs.values():
            stream, held = each.id, self._held.get(each.id, "")
            if not each.cause and not held:
                yield each.position, stream, "the job is not over and nothing keeps it: no queue, no lease, no pause, no group"
            elif now is not None and each.until is not None and each.until + GRACE < now:
                yield each.position, stream, f"the job's {each.cause} ended at {each.until} and nobody looked at it"
            alive.add(each.run)
        for stream, position in self._runs.items():
            if stream not in alive and self._waiting.get(stream, 0) <= 0:
                yield position, stream, "the run is not over and none of its jobs is under way"

    def _keep(self, event: Recorded, cause: str, until: datetime | None) -> None:
        standing = self._jobs.get(event.stream.int)
        if standing is not None:
            standing.cause, standing.until, standing.position = cause, until, event.position
