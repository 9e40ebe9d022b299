"""Why and how a running step is stopped: its own time limit, a cancelled job, a forced end, a lost lease.

The ladder is GitHub's: INT, 7.5 s later TERM, 2.5 s later KILL, each to the whole tree of the step.
"""

import asyncio
import signal
from collections.abc import Callable
from typing import Any, Literal

from runner.executors.port import CellLost, Process

INT_SECONDS = 7.5
TERM_SECONDS = 2.5

Stopped = Literal["timeout", "cancelled"]


class Cancellation:
    """Whether the job was told to stop. `asked` and `forced` never become false again."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.forced = asyncio.Event()
        self.timed_out = False
        self.parts: list[Cancellation] = []

    def part(self) -> "Cancellation":
        """That of a step which can be told to stop alone. What comes to the whole from now on comes to it too."""
        part = Cancellation()
        self.parts.append(part)
        return part

    def ask(self, *, timed_out: bool = False) -> None:
        """Stop what runs; steps with always() or cancelled() still run."""
        if not self.asked.is_set():
            self.timed_out = timed_out
            self.asked.set()
            for part in self.parts:
                part.ask()

    def force(self) -> None:
        """Stop at once, and run nothing more."""
        self.asked.set()
        self.forced.set()
        for part in self.parts:
            part.force()


async def supervise(
    process: Process, cancellation: Cancellation, limit_seconds: float | None, goes_on: Callable[[], bool]
) -> tuple[int, Stopped | None]:
    """Wait for the end of a step, or make it end. goes_on: whether the step may run on although the job is cancelled.

    Returns the exit code and why it was stopped, if it was. Raises CellLost.
    """
    ended = asyncio.ensure_future(process.wait())
    asked = asyncio.ensure_future(cancellation.asked.wait())
    forced = asyncio.ensure_future(cancellation.forced.wait())
    watched: set[asyncio.Future[Any]] = {ended, asked, forced}
    now = asyncio.get_running_loop().time
    ends_at = None if limit_seconds is None else now() + limit_seconds
    stopped: Stopped | None = None
    try:
        while stopped is None:
            left = None if ends_at is None else ends_at - now()
            done, _ = await asyncio.wait(watched, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            if ended.done():
                break
            if ends_at is not None and now() >= ends_at:
                stopped = "timeout"
            elif done and (forced.done() or not goes_on()):
                stopped = "cancelled"
            watched -= done
        if stopped is not None:
            await descend(process, ended, forced)
        return await ended, stopped
    finally:
        for future in (asked, forced, ended):
            future.cancel()


async def descend(process: Process, ended: asyncio.Future[Any], forced: asyncio.Future[Any]) -> None:
    """The ladder, down to the end of the whole tree."""
    for number, seconds in ((signal.SIGINT, INT_SECONDS), (signal.SIGTERM, TERM_SECONDS)):
        if forced.done():
            break
        process.signal(number)
        await asyncio.wait({ended, forced}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if ended.done():
            break
    try:
        await process.kill()
    except CellLost:
        return
