"""The store's time in this process: read when it starts and every 30 s, carried on by the monotonic clock.

Decisions compare instants that several processes took, so there is one authority, the store; a wall clock that jumps
changes nothing. Time never goes backwards here: when the store's does, that is reported and time stands still until
the store has caught up.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Self

from domain.ports import StoreUnavailable
from infra import tasks

logger = logging.getLogger(__name__)

INTERVAL_SECONDS = 30.0
STEP_SECONDS = 0.5
"""Less than this backwards is the error of a measurement over a network, not a step."""


class StoreClock:
    """See domain.ports.Clock. Construct with `start`, end with `close`.

    behind: how far the store's time was behind this clock when it was last read; above STEP_SECONDS it has stepped back.
    """

    def __init__(self, read: Callable[[], Awaitable[datetime]], at: datetime, monotonic: Callable[[], float] = time.monotonic) -> None:
        """at: the store's time now."""
        self._read = read
        self._monotonic = monotonic
        self._task: asyncio.Task[None] | None = None
        self._at = at
        self._mark = monotonic()
        self._last = at
        self.behind = timedelta(0)

    @classmethod
    async def start(cls, read: Callable[[], Awaitable[datetime]]) -> Self:
        """Read the store's time (`PostgresEventStore.time`) and keep reading it. Raises StoreUnavailable."""
        clock = cls(read, await read())
        await clock.align()
        clock._task = asyncio.create_task(clock._keep_aligned(), name="store clock")
        return clock

    async def close(self) -> None:
        """Stop reading. `now` goes on by the monotonic clock."""
        await tasks.end(self._task)

    def now(self) -> datetime:
        """See the port."""
        self._last = max(self._last, self._estimate())
        return self._last

    @property
    def stepped_back(self) -> bool:
        """Whether time stands still now because the store's went back."""
        return self._last - self._estimate() > timedelta(seconds=STEP_SECONDS)

    async def align(self) -> None:
        """Read the store's time once. Raises StoreUnavailable."""
        before = self._monotonic()
        at = await self._read()
        after = self._monotonic()
        known = self.now()
        self._at, self._mark = at, (before + after) / 2
        self.behind = known - self._estimate()
        if self.behind > timedelta(seconds=STEP_SECONDS):
            logger.error(
                "STO010: the store's time stepped back by %.1f s to %s; time stands still until it has caught up. Help: look at"
                " the time synchronisation of the database's machine",
                self.behind.total_seconds(),
                at.isoformat(),
            )

    def _estimate(self) -> datetime:
        return self._at + timedelta(seconds=self._monotonic() - self._mark)

    async def _keep_aligned(self) -> None:
        while True:
            await asyncio.sleep(INTERVAL_SECONDS)
            try:
                await self.align()
            except StoreUnavailable as error:
                logger.warning("the store's time was not read, the monotonic clock goes on: %s", error)
