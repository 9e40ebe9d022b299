"""Who is there: a runner is online while its poll is open, and offline when it has not polled for a lease's time.

Presence itself is no event; its changes are (RunnerOnline, RunnerOffline). This agent watches the polls of its own
gateway, tells the other gateways whom it has seen, and asks them before it takes a runner for silent: it may have gone over
to one of them. Every gateway that has known a runner goes on to ask, so nobody is forgotten with the gateway that it used.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Collection
from typing import Literal
from uuid import UUID

from commands.handle import Handler, Origin
from domain.ports import StoreUnavailable
from domain.run.commands import NoteRunner
from domain.runner_pool import Runner
from gateway.ports import Sightings

log = logging.getLogger(__name__)


class Presence:
    """Notes runners that come and go. polling: tells whether a runner's poll is open at this moment."""

    def __init__(
        self,
        handler: Handler,
        silent_seconds: float,
        polling: Callable[[UUID], bool],
        sightings: Sightings,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sightings = sightings
        self._handler = handler
        self._silent_seconds = silent_seconds
        self._polling = polling
        self._monotonic = monotonic
        self._last: dict[UUID, float] = {}

    def expect(self, runner: UUID) -> None:
        """A runner that was online when this gateway started: it has a lease's time to show itself."""
        self._last.setdefault(runner, self._monotonic())

    async def ended(self, runner: UUID, pid: int) -> None:
        """A runner's process of an earlier life of this server is gone; nothing is noted where a new process has taken over."""
        state: Runner | None = await self._handler.state(runner, "runner")
        if state is not None and state.online and state.facts.pid == pid:
            await self._note_gone(runner, "stopped")
            self._last.pop(runner, None)

    def seen(self, runner: UUID) -> None:
        """The runner has just polled or renewed."""
        self._last[runner] = self._monotonic()

    async def arrived(self, runner: UUID, origin: Origin, *, online: bool) -> None:
        """A poll opens. online: what the runner's stream says."""
        self.seen(runner)
        if not online:
            await self._handler.handle(NoteRunner(runner, "online"), origin)

    async def left(self, pids: Collection[int]) -> None:
        """The processes of these runners, children of this server, have ended."""
        for runner in list(self._last):
            state: Runner | None = await self._handler.state(runner, "runner")
            if state is not None and state.facts.pid in pids:
                await self._note_gone(runner, "stopped")
                del self._last[runner]

    async def run(self) -> None:
        """Look for silent runners until cancelled."""
        while True:
            await asyncio.sleep(self._silent_seconds / 4)
            try:
                await self.sweep()
            except StoreUnavailable as error:
                log.warning("silent runners are noted later: %s", error)

    async def sweep(self) -> list[UUID]:
        """Note every runner that has been silent for too long, here and elsewhere; returns them."""
        here = [runner for runner in self._last if self._polling(runner)]
        if here:
            await self._sightings.tell(here)
        missed = self._silent()
        if missed:
            for runner in await self._sightings.elsewhere(missed, self._silent_seconds):
                self.seen(runner)
        silent = self._silent()
        for runner in silent:
            await self._note_gone(runner, "silent")
            del self._last[runner]
        return silent

    def _silent(self) -> list[UUID]:
        """Those who have not been seen here for too long."""
        now = self._monotonic()
        return [runner for runner, last in self._last.items() if now - last >= self._silent_seconds and not self._polling(runner)]

    async def _note_gone(self, runner: UUID, reason: str) -> None:
        """Offline; an ephemeral runner for good, because it never comes back under this identity."""
        state: Runner | None = await self._handler.state(runner, "runner")
        if state is not None:
            change: Literal["retire", "offline"] = "retire" if state.facts.ephemeral else "offline"
            await self._handler.handle(NoteRunner(runner, change, reason), Origin(state.tenant, "system:presence"))
