"""Keeps refusals of authenticated actors for the audit view, without letting one actor fill the log with them.

The first of its kind is recorded at once. Repeats within a minute (same actor, command, target and code) are counted and
recorded as one event at the minute's end. It must never fail the request that it is about: that has its answer.
"""

import asyncio
import logging
from uuid import UUID

import msgspec

from commands.handle import Handler, Origin
from domain import ids
from domain.ports import Clock, StoreUnavailable
from domain.refusals import Refusal
from domain.run.commands import RecordRefusal

log = logging.getLogger(__name__)

WINDOW_SECONDS = 60.0


class Repeats(msgspec.Struct):
    """Refusals of one kind since the first one was recorded."""

    origin: Origin
    command: RecordRefusal
    count: int = 0


class Refusals:
    """Records refusals."""

    def __init__(self, handler: Handler, clock: Clock) -> None:
        self._handler = handler
        self._clock = clock
        self._repeats: dict[tuple[str, str, str, str], Repeats] = {}
        self._sums: set[asyncio.Task[None]] = set()

    async def record(self, origin: Origin, command: str, target: str, refusal: Refusal) -> None:
        """Keep one refusal."""
        key = (origin.actor, command, target, refusal.code)
        known = self._repeats.get(key)
        if known is not None:
            known.count += 1
            return
        kept = RecordRefusal(self._audit(origin), command, target, refusal.code, refusal.message)
        self._repeats[key] = Repeats(origin, kept)
        asyncio.get_running_loop().call_later(WINDOW_SECONDS, self._close, key)
        await self._store(kept, origin)

    async def flush(self) -> None:
        """Record what was counted so far (graceful stop)."""
        for key in list(self._repeats):
            repeats = self._repeats.pop(key)
            await self._sum(repeats)

    def _close(self, key: tuple[str, str, str, str]) -> None:
        repeats = self._repeats.pop(key, None)
        if repeats is not None and repeats.count:
            task = asyncio.create_task(self._sum(repeats))
            self._sums.add(task)
            task.add_done_callback(self._sums.discard)

    async def _sum(self, repeats: Repeats) -> None:
        if repeats.count:
            command = msgspec.structs.replace(repeats.command, audit=self._audit(repeats.origin), count=repeats.count)
            await self._store(command, repeats.origin)

    async def _store(self, command: RecordRefusal, origin: Origin) -> None:
        try:
            await self._handler.handle(command, origin)
        except StoreUnavailable as error:
            log.warning("a refusal was not recorded: %s", error)

    def _audit(self, origin: Origin) -> UUID:
        return ids.audit_id(origin.tenant, self._clock.now().date().isoformat())
