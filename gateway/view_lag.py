"""How far the views lag behind the log, and what follows: while they lag too far, nothing new is started (429).

The lag is the age of the oldest event, as this gateway heard of it, that the views do not show yet. Work that is there
goes on: heartbeats, reports and completions are never refused for it, nor is what ends work, since that is how a lag
becomes smaller. Nothing is written, so whoever is refused may simply ask again.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable

from domain.ports import StoreUnavailable
from gateway.problems import problem

LAG_SECONDS_MAX = 1.0
LOOK_SECONDS = 0.25
SAMPLE_SECONDS = 0.05
"""How often the views are asked while there is something that they may not show; how finely the age of events is known."""
RETRY_AFTER_SECONDS = 1

Shown = Callable[[], Awaitable[int]]
"""The position up to which the views show the log. Raises StoreUnavailable."""


class ViewLag:
    """One per gateway. seconds: the lag at the last look."""

    def __init__(self, shown: Shown, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._shown = shown
        self._monotonic = monotonic
        self._heard: deque[tuple[int, float]] = deque()
        self.seconds = 0.0

    def hear(self, position: int) -> None:
        """An event at this position was committed. Of those that come close to each other only the first is kept."""
        now = self._monotonic()
        if not self._heard or (now - self._heard[-1][1] >= SAMPLE_SECONDS and position > self._heard[-1][0]):
            self._heard.append((position, now))

    async def run(self) -> None:
        """Look again and again; nothing is asked while the views show all that was heard."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await self.look()

    async def look(self) -> None:
        """Measure. A database that cannot be read says nothing new."""
        if not self._heard:
            self.seconds = 0.0
            return
        try:
            shown = await self._shown()
        except StoreUnavailable:
            return
        while self._heard and self._heard[0][0] <= shown:
            self._heard.popleft()
        self.seconds = self._monotonic() - self._heard[0][1] if self._heard else 0.0

    def admit(self) -> None:
        """Let new work in. Raises the problem where the views lag too far."""
        if self.seconds > LAG_SECONDS_MAX:
            what = (
                f"the views are {self.seconds:.1f} s behind the log; nothing new is started while that is more than {LAG_SECONDS_MAX:g} s"
            )
            raise problem(429, "views_behind", what, hint="nothing was written; send it again", retry_after_seconds=RETRY_AFTER_SECONDS)
