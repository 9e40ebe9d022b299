"""Tells the gateway how an attempt goes on: step transitions in order, and the outcome at the end.

Each report is sent until it is answered; that may be never, so it ends when the lease is lost. Transitions carry a
sequence number, so sending one twice is harmless. It must never reorder them, nor let a step begin before the end of the
one before it is acknowledged; only while the control plane is away is the spool's word enough.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar
from uuid import UUID

import msgspec

from runner import wire
from runner.client import Client
from runner.problems import ProtocolError, Refused, Rejected, Silent
from runner.spool import Spool

T = TypeVar("T")
RETRY_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0)


async def until_answered(send: Callable[[], Awaitable[T]], on_refused: Callable[[], None] = lambda: None) -> T:
    """Send again while nobody answers. Raises LeaseLost and Rejected; cancelled from outside when the lease is lost."""
    failures = 0
    while True:
        try:
            return await send()
        except (Refused, Silent) as error:
            if isinstance(error, Refused):
                on_refused()
            await asyncio.sleep(RETRY_SECONDS[min(failures, len(RETRY_SECONDS) - 1)])
            failures += 1


class Reporter:
    """The reports of one attempt. away: set while the control plane refuses them and the spool keeps them."""

    def __init__(self, client: Client, job: UUID, fence: wire.Fence, spool: Spool) -> None:
        self.client = client
        self.job = job
        self.fence = msgspec.structs.asdict(fence)
        self.spool = spool
        self.spool.on_begin.append(self.keep_all)
        self.sequence = 1
        self.waiting: list[wire.StepStart | wire.StepEnd] = []
        self.outcome: wire.Complete | None = None
        self.away = asyncio.Event()
        self.kept_through = 0
        self.sending: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """The first step is next. While the control plane is away nothing begins."""
        await until_answered(lambda: self.client.start(self.job, wire.Start(**self.fence)))

    def add(self, transition: wire.StepStart | wire.StepEnd) -> None:
        """Note a transition; it leaves with the next flush."""
        self.waiting.append(transition)
        if self.away.is_set():
            self.keep()

    async def flush(self) -> None:
        """Return when every transition noted so far is committed or, while the control plane is away, on disk.

        Several steps may ask at once: all wait for one sender, which takes along what is added meanwhile.
        """
        sending = self.sending
        if sending is None or sending.done():
            if not self.waiting:
                return
            self.away.clear()
            self.sending = sending = asyncio.ensure_future(self.send_all())
        refused = asyncio.ensure_future(self.away.wait())
        try:
            await asyncio.wait({sending, refused}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            refused.cancel()
        if sending.done():
            if self.sending is sending:
                self.sending = None
            sending.result()

    async def send_all(self) -> None:
        """Send what waits, and what is added meanwhile, until everything is committed."""
        while batch := tuple(self.waiting):
            message = wire.Steps(**self.fence, seq=self.sequence, transitions=batch)
            await until_answered(lambda: self.client.steps(self.job, message), self.spool.begin)  # noqa: B023 - awaited within this turn
            self.sequence += len(batch)
            del self.waiting[: len(batch)]
        self.away.clear()

    def keep_all(self) -> None:
        """The control plane is away: what waits goes to disk, and what is added from now on too."""
        self.away.set()
        self.keep()
        if self.outcome is not None:
            self.spool.set_outcome(self.outcome)

    def keep(self) -> None:
        """Put transitions on disk that are not there yet."""
        first = max(self.sequence, self.kept_through + 1)
        fresh = tuple(self.waiting[first - self.sequence :])
        if fresh and self.spool.open:
            self.spool.add_steps(wire.Steps(**self.fence, seq=first, transitions=fresh))
            self.kept_through = first + len(fresh) - 1

    async def logs(self, lines: tuple[wire.Line, ...]) -> wire.LogsAccepted:
        """One batch of lines, sent once; the log spool decides about sending it again."""
        return await self.client.logs(self.job, wire.Logs(**self.fence, lines=lines))

    def note_outcome(self, message: wire.Complete) -> None:
        """The attempt has ended: should this process end before the report is answered, its next life delivers it."""
        self.outcome = message
        self.spool.set_outcome(message)

    async def complete(self, message: wire.Complete) -> wire.Completed:
        """The outcome, after all transitions."""
        with suppress(Rejected):  # what the server made of the transitions, it knows when it hears the outcome
            while self.waiting:
                await self.flush()
                if self.sending is not None:
                    await asyncio.wait({self.sending})
        return await until_answered(lambda: self.client.complete(self.job, message), self.spool.begin)

    async def close(self) -> None:
        """Send nothing more."""
        if self.sending is not None:
            self.sending.cancel()
            with suppress(asyncio.CancelledError, ProtocolError):
                await self.sending
            self.sending = None
