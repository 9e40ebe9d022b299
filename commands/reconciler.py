"""The agent of time: sends `Expire` for every deadline that has passed, and `RetryJob` at the end of a backoff.

It reads deadlines from a view, which may be behind or double; the job itself re-checks each one, so a late or repeated
tick is harmless. A lease that ran out while nobody could store a heartbeat (start-up, lost database, no gateway) is first
extended by one TTL: the runner may well be alive, and it is the control plane that was away. For that long the other
deadlines of such an attempt wait too, because what it has to say about them is still on its way. Runners count on this:
to them a refusal is worth one lease.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from uuid import UUID

from commands.handle import Handler, Origin
from domain.job.commands import Expire, ExtendLease
from domain.job.state import Acquired, JobState, Running
from domain.ports import Clock, Deadlines, StoreUnavailable, StreamUnreadable, VersionConflict
from domain.run.commands import ExpireRun
from domain.run.state import Run

ACTOR = "system"
TICK_SECONDS_MAX = 0.5
DUE_MAX = 200
ANSWERED = ("accept", "step", "job", "cancel")
"""Deadlines that a runner's answer would have met."""

log = logging.getLogger(__name__)


class Reconciler:
    """Runs until cancelled; any number of them on one store are harmless. attended: whether a gateway is there."""

    def __init__(
        self, handler: Handler, deadlines: Deadlines, clock: Clock, lease_seconds: float, attended: Callable[[], Awaitable[bool]]
    ) -> None:
        self._handler = handler
        self._deadlines = deadlines
        self._clock = clock
        self._lease_seconds = lease_seconds
        self._attended = attended
        self._outage_end: datetime | None = None
        self._pardoned: set[tuple[UUID, int]] = set()
        self._waiting = False
        self._unreadable: set[UUID] = set()

    async def run(self) -> None:
        """Work at every deadline, at most half a second late."""
        self._grant_amnesty()
        while True:
            try:
                await self.tick()
                await asyncio.sleep(await self._pause())
            except (StoreUnavailable, VersionConflict, OSError) as error:
                log.warning("deadlines wait for the store: %s", error)
                await asyncio.sleep(TICK_SECONDS_MAX)
                self._grant_amnesty()

    async def tick(self) -> int:
        """Send what is due now; returns how many commands had an effect."""
        if not await self._attended():
            self._grant_amnesty()
        effects = 0
        self._waiting = False
        for about, kind in await self._deadlines.due(self._clock.now(), DUE_MAX):
            try:
                effects += await (self._expire_run(about) if kind == "run" else self._send(about, kind))
            except StreamUnreadable as error:
                if about not in self._unreadable:
                    log.error("no deadline of job or run %s can be kept: %s", about, error)  # noqa: TRY400 - the trace says nothing more
                self._unreadable.add(about)
                self._waiting = True
        return effects

    def _grant_amnesty(self) -> None:
        """Leases that were last renewed before now may have missed heartbeats: extend each of them once instead of expiring it.

        Also one that has not ended yet: its runner tries again only every second, or hangs in a request of before.
        """
        self._outage_end = self._clock.now()
        self._pardoned.clear()

    async def _expire_run(self, run: UUID) -> bool:
        state: Run | None = await self._handler.latest(run, "run")
        if state is None:
            return False
        return bool((await self._handler.handle(ExpireRun(run), Origin(state.tenant, ACTOR, correlation=run))).events)

    async def _send(self, job: UUID, kind: str) -> bool:
        state = await self._handler.latest(job, "job")
        if state is None:
            return False
        if kind in ANSWERED and self._is_unheard(state):
            self._waiting = True
            return False
        origin = Origin(state.life.tenant, ACTOR, correlation=state.life.spec.run)
        if kind == "lease" and isinstance(state, Acquired | Running) and self._pardons(job, state):
            command: Expire | ExtendLease = ExtendLease(job, state.lease.epoch, self._lease_seconds, "outage")
        else:
            command = Expire(job, kind)  # type: ignore[arg-type]  # the kinds of the view are those of the command
        return bool((await self._handler.handle(command, origin)).events)

    def _pardons(self, job: UUID, state: Acquired | Running) -> bool:
        key = (job, state.lease.epoch)
        if not self._is_of_before(state) or state.lease.expires_at > self._clock.now() or key in self._pardoned:
            return False
        self._pardoned.add(key)
        return True

    def _is_of_before(self, state: Acquired | Running) -> bool:
        """Whether the lease was last renewed before the outage ended."""
        return self._outage_end is not None and state.lease.expires_at <= self._outage_end + timedelta(seconds=self._lease_seconds)

    def _is_unheard(self, state: JobState) -> bool:
        """Whether the runner's answer may still wait with the runner: the attempt is of before the outage, which just ended."""
        if self._outage_end is None or self._clock.now() >= self._outage_end + timedelta(seconds=self._lease_seconds):
            return False
        match state:
            case Running():
                return state.started_at <= self._outage_end
            case Acquired():
                return self._is_of_before(state)
            case _:
                return False

    async def _pause(self) -> float:
        if self._waiting:
            return TICK_SECONDS_MAX
        next_at = await self._deadlines.next_at()
        if next_at is None:
            return TICK_SECONDS_MAX
        # A deadline that is due but had no effect is only a view that is behind: do not spin on it.
        until = (next_at - self._clock.now()) / timedelta(seconds=1)
        return min(max(until, 0.02), TICK_SECONDS_MAX)
