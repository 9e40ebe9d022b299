"""Keeps the long-running parts of a process alive, and lets none of them die in silence.

A part that fails is logged and started again, more slowly each time; one that keeps failing ends the whole process
loudly, because half a server that looks whole is worse than none.
"""

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Awaitable, Callable

log = logging.getLogger(__name__)

FAILURES_MAX = 8
WINDOW_SECONDS = 60.0
PAUSE_SECONDS_MAX = 2.0


class Agents:
    """The agents of one process. failed: set when one of them is given up; failure: what it said.

    errors: how often each failed, by (name, class of the error).
    """

    def __init__(self) -> None:
        self.failed = asyncio.Event()
        self.failure: str | None = None
        self.errors: Counter[tuple[str, ...]] = Counter()
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def keep(self, name: str, run: Callable[[], Awaitable[None]]) -> None:
        """Run an agent until `stop`; `run` is called again whenever it ends."""
        self._tasks[name] = asyncio.create_task(self._keep(name, run), name=name)

    def give_up(self, failure: str) -> None:
        """This process cannot go on."""
        if self.failure is None:
            self.failure = failure
        self.failed.set()

    async def stop(self) -> None:
        """End all agents."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _keep(self, name: str, run: Callable[[], Awaitable[None]]) -> None:
        failures: deque[float] = deque(maxlen=FAILURES_MAX)
        loop = asyncio.get_running_loop()
        while True:
            try:
                await run()
                said = "it ended by itself"
            except Exception as error:
                log.exception("agent %s failed", name)
                self.errors[name, type(error).__name__] += 1
                said = f"{type(error).__name__}: {error}"
            failures.append(loop.time())
            if len(failures) == FAILURES_MAX and failures[-1] - failures[0] < WINDOW_SECONDS:
                self.give_up(f"{name} failed {FAILURES_MAX} times within {WINDOW_SECONDS:g} s ({said})")
                return
            await asyncio.sleep(min(0.1 * 2 ** (len(failures) - 1), PAUSE_SECONDS_MAX))
