"""Which leases each runner holds, as this gateway knows them: for what a restarted runner lost and for orders to it.

Fed by own commits and by the feed. A lease that this process never saw (it was handed out before a restart) is simply
unknown here; the reconciler ends it by its deadline. It must never decide about a lease: the job does.
"""

import time
from collections.abc import Callable, Iterable
from uuid import UUID

import msgspec

from domain.envelope import Recorded
from domain.job import events as e

ENDS = (e.AttemptLost, e.AttemptFailed, e.AttemptTimedOut, e.JobSucceeded, e.JobFailed, e.JobTimedOut, e.JobCancelled)
"""Events after which the lease of the job's last attempt is over."""


class HeldLease(msgspec.Struct, frozen=True):
    """A live lease. since: this process's monotonic seconds when it was seen; position: of its JobAcquired."""

    job: UUID
    runner: UUID
    attempt: int
    epoch: int
    since: float
    position: int


class Leases:
    """All live leases by job and by runner. wake: called with a runner when there may be an order for it."""

    def __init__(self, wake: Callable[[UUID], None], monotonic: Callable[[], float] = time.monotonic) -> None:
        self._wake = wake
        self._monotonic = monotonic
        self._by_job: dict[UUID, HeldLease] = {}
        self._by_runner: dict[UUID, dict[UUID, HeldLease]] = {}
        self._ended: dict[UUID, int] = {}
        self._restored = False

    def on_events(self, events: Iterable[Recorded]) -> None:
        """Note what a commit or a page of the feed says; each event may come twice."""
        for event in events:
            match event.data:
                case e.JobAcquired(runner=runner, attempt=attempt, epoch=epoch):
                    self._begin(HeldLease(event.stream, runner, attempt, epoch, self._monotonic(), event.position))
                case e.JobCancellationRequested():
                    held = self._by_job.get(event.stream)
                    if held is not None:
                        self._wake(held.runner)
                case data if isinstance(data, ENDS):
                    self._end(event.stream, event.position)
                case _:
                    pass

    def restore(self, leases: Iterable[HeldLease]) -> None:
        """Take in the leases that the views knew when this gateway started; until then every end that is heard is kept.

        A view may be behind the feed: a lease that it still knows may be over, and nobody would say so again.
        """
        for lease in leases:
            self._begin(lease)
        self._restored = True

    def settled(self, position: int) -> None:
        """The feed has passed this position."""
        if self._restored:
            self._ended = {job: ended for job, ended in self._ended.items() if ended > position}

    def of(self, runner: UUID) -> list[HeldLease]:
        """The leases that a runner holds."""
        return list(self._by_runner.get(runner, {}).values())

    def _begin(self, lease: HeldLease) -> None:
        known = self._by_job.get(lease.job)
        if self._ended.get(lease.job, -1) > lease.position or (known is not None and known.position >= lease.position):
            return
        self._forget(lease.job)
        self._by_job[lease.job] = lease
        self._by_runner.setdefault(lease.runner, {})[lease.job] = lease

    def _end(self, job: UUID, position: int) -> None:
        held = self._by_job.get(job)
        if held is not None and held.position > position:
            return
        self._ended[job] = max(position, self._ended.get(job, 0))
        if held is not None:
            self._forget(job)
            self._wake(held.runner)

    def _forget(self, job: UUID) -> None:
        held = self._by_job.pop(job, None)
        if held is None:
            return
        leases = self._by_runner[held.runner]
        leases.pop(job, None)
        if not leases:
            del self._by_runner[held.runner]
