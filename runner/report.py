"""Tells the gateway how an attempt goes on: step transitions in order, and the outcome at the end.

Each report is sent until it is answered; that may be never, so it ends when the lease is lost. Transitions carry a
sequence number, so sending one twice is harmless. It must never reorder them, nor let a step begin before the end of the
one before it is acknowledged.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar
from uuid import UUID

import msgspec

from runner import wire
from runner.client import Client, Refused, Silent

T = TypeVar("T")
RETRY_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0)


async def until_answered(send: Callable[[], Awaitable[T]]) -> T:
    """Send again while nobody answers. Raises LeaseLost and Rejected; cancelled from outside when the lease is lost."""
    failures = 0
    while True:
        try:
            return await send()
        except (Refused, Silent):
            await asyncio.sleep(RETRY_SECONDS[min(failures, len(RETRY_SECONDS) - 1)])
            failures += 1


class Reporter:
    """The reports of one attempt."""

    def __init__(self, client: Client, job: UUID, fence: wire.Fence) -> None:
        self.client = client
        self.job = job
        self.fence = msgspec.structs.asdict(fence)
        self.sequence = 1
        self.waiting: list[wire.StepStart | wire.StepEnd] = []
        self.sending = asyncio.Lock()

    async def start(self) -> None:
        """The first step is next."""
        await until_answered(lambda: self.client.start(self.job, wire.Start(**self.fence)))

    def add(self, transition: wire.StepStart | wire.StepEnd) -> None:
        """Note a transition; it leaves with the next flush."""
        self.waiting.append(transition)

    async def flush(self) -> None:
        """Return when every transition noted so far is committed."""
        async with self.sending:
            batch = tuple(self.waiting)
            if not batch:
                return
            message = wire.Steps(**self.fence, seq=self.sequence, transitions=batch)
            await until_answered(lambda: self.client.steps(self.job, message))
            self.sequence += len(batch)
            del self.waiting[: len(batch)]

    async def logs(self, lines: tuple[wire.Line, ...]) -> wire.LogsAccepted:
        """One batch of lines, sent once; the spool decides about sending it again."""
        return await self.client.logs(self.job, wire.Logs(**self.fence, lines=lines))

    async def complete(self, message: wire.Complete) -> wire.Completed:
        """The outcome."""
        return await until_answered(lambda: self.client.complete(self.job, message))
