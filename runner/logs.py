"""Carries the log lines of one attempt to the gateway: numbered, in order, in batches, kept until they are stored.

A batch leaves when 500 lines wait or the first has waited 100 ms, since a batch costs as much as hundreds of lines; while
one is under way the next grows, so a flood is sent in larger batches and not in more of them. Memory is bounded: past the
bound the spool is full, the readers leave the pipes alone, and the job waits on its full pipe. While the control plane is
away lines go to a bounded file instead, and come back from there in order. It must never drop a line, nor send one that was not masked.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from itertools import islice

from runner import wire
from runner.clock import StoreClock
from runner.problems import ProtocolError, Refused, Silent
from runner.spool import Backlog, Spool
from runner.step_output import Stream

BATCH_LINES = 500
BATCH_SECONDS = 0.1
BATCH_LINES_MAX = 2000
BATCH_BYTES_MAX = 512 * 1024
KEPT_BYTES_MAX = 16 * 1024 * 1024
LINE_OVERHEAD_BYTES = 200
RETRY_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0)
ASK_SECONDS = 0.5
"""How often a full spool asks what has been stored meanwhile."""

Send = Callable[[tuple[wire.Line, ...]], Awaitable[wire.LogsAccepted]]


class LogSpool:
    """The lines of one attempt on their way. `run` has to be running for anything to leave."""

    def __init__(self, send: Send, clock: StoreClock, disk: Spool) -> None:
        self.send = send
        self.clock = clock
        self.disk = disk
        disk.on_begin.insert(0, self.go_away)  # the lines come before the outcome that counts them
        self.backlog: Backlog | None = None
        self.away = False
        self.kept: deque[wire.Line] = deque()
        self.kept_bytes = 0
        self.last_line = 0
        self.sent_through = 0
        self.received_through = 0
        self.stopped: str | None = None
        self.waiting = asyncio.Event()
        self.urgent = asyncio.Event()
        self.drained = asyncio.Event()
        self.drained.set()
        self.full = False
        self.on_room: list[Callable[[], None]] = []

    def append(self, step: int, stream: Stream, *texts: str) -> None:
        """Add masked lines that came at one time."""
        if self.stopped is not None:
            return
        at = self.clock.now()
        lines = [wire.Line(line=line, step=step, at=at, stream=stream, text=text) for line, text in enumerate(texts, self.last_line + 1)]
        self.last_line += len(lines)
        if self.backlog is not None and (self.away or self.backlog.unread):
            for line in lines:
                self.backlog.append(line)
        else:
            self.keep(lines)
        if not self.waiting.is_set():
            self.waiting.set()
            self.drained.clear()
        if self.last_line - self.sent_through >= BATCH_LINES:
            self.urgent.set()
        self.full = self.full or self.is_full()

    def keep(self, lines: list[wire.Line]) -> None:
        """Hold lines in memory."""
        self.kept.extend(lines)
        self.kept_bytes += sum([len(line.text) for line in lines]) + LINE_OVERHEAD_BYTES * len(lines)

    def is_full(self) -> bool:
        """Whether a bound is reached."""
        return self.kept_bytes >= KEPT_BYTES_MAX or (self.backlog is not None and self.backlog.full)

    def go_away(self) -> None:
        """The control plane is away: what is not stored goes to disk, and what comes goes there first."""
        self.away = True
        if self.backlog is None:
            self.backlog = self.disk.backlog()
            if self.backlog is None:
                return
        if self.backlog.unread:
            self.backlog.flush()
            return  # all that comes goes there anyway
        for line in self.kept:
            if line.line > self.backlog.last:
                self.backlog.append(line)
        self.backlog.skip()
        self.backlog.flush()

    def resume(self, backlog: Backlog) -> None:
        """Take over the lines that an earlier life could not deliver."""
        self.backlog = backlog
        self.load()
        if self.kept:
            self.sent_through = self.kept[0].line - 1
        self.last_line = backlog.last
        self.waiting.set()
        self.drained.clear()
        self.urgent.set()

    def load(self) -> None:
        """Bring lines back from disk, when those in memory are all on their way."""
        held = self.kept[-1].line if self.kept else self.sent_through
        while self.backlog is not None and self.backlog.unread and held <= self.sent_through and self.kept_bytes < KEPT_BYTES_MAX:
            lines = self.backlog.read()
            if not lines:
                return
            self.keep(lines)
            held = lines[-1].line

    async def send_all(self) -> None:
        """Batch after batch. Raises what says that nobody wants the lines: LeaseLost, Rejected."""
        failures = 0
        while True:
            await self.waiting.wait()
            if self.last_line - self.sent_through < BATCH_LINES and not self.urgent.is_set():
                with suppress(TimeoutError):
                    await asyncio.wait_for(self.urgent.wait(), BATCH_SECONDS)
            self.urgent.clear()
            self.load()
            batch = self.batch()
            if not batch:
                await asyncio.sleep(ASK_SECONDS)  # full of lines that were received: an empty batch asks what is stored
            try:
                accepted = await self.send(batch)
            except (Refused, Silent) as error:
                if isinstance(error, Refused):
                    self.disk.begin()
                self.urgent.set()
                await asyncio.sleep(RETRY_SECONDS[min(failures, len(RETRY_SECONDS) - 1)])
                failures += 1
            else:
                failures = 0
                self.accept(accepted)

    async def run(self) -> None:
        """Send until cancelled, or until the gateway wants no more lines; a job never waits for a sender that is gone."""
        try:
            await self.send_all()
        except Exception as error:
            self.stop(f"{type(error).__name__}: {error}")
            if not isinstance(error, ProtocolError):
                raise

    def batch(self) -> tuple[wire.Line, ...]:
        """The next lines to send, a bounded number of them."""
        lines: list[wire.Line] = []
        size = 0
        start = max(0, self.sent_through + 1 - self.kept[0].line) if self.kept else 0
        for line in islice(self.kept, start, start + BATCH_LINES_MAX):
            size += len(line.text)
            if lines and size > BATCH_BYTES_MAX:
                break
            lines.append(line)
        return tuple(lines)

    def accept(self, accepted: wire.LogsAccepted) -> None:
        """Go on after what was received, and forget what is stored. A gateway that lost lines gets them again."""
        self.away = False
        self.received_through = self.sent_through = accepted.received_through
        if self.kept and self.kept[0].line > accepted.received_through + 1:
            self.stop(f"the gateway has lost lines before {self.kept[0].line} that it had stored")
            return
        stored = min(accepted.stored_through, accepted.received_through)
        while self.kept and self.kept[0].line <= stored:
            self.kept_bytes -= len(self.kept.popleft().text) + LINE_OVERHEAD_BYTES
        if self.backlog is not None and not self.backlog.unread and accepted.stored_through >= self.backlog.last:
            self.backlog.remove()
            self.backlog = None
        if self.last_line <= self.sent_through:
            self.drained.set()
        elif self.last_line - self.sent_through >= BATCH_LINES:
            self.urgent.set()
        if self.full and self.kept_bytes < KEPT_BYTES_MAX // 2 and not self.is_full():
            self.full = False
            self.call_room()
        if self.last_line <= self.sent_through and not self.full:
            self.waiting.clear()

    def stop(self, reason: str) -> None:
        """Nobody wants the lines: swallow whatever still comes."""
        self.stopped = reason
        self.close()
        self.kept.clear()
        self.kept_bytes = 0
        self.full = False
        self.drained.set()
        self.call_room()

    def close(self) -> None:
        """Let go of the file; what is in it stays for whoever comes next."""
        if self.backlog is not None:
            self.backlog.close()
            self.backlog = None

    def call_room(self) -> None:
        """Wake the readers that wait for room."""
        callbacks, self.on_room = self.on_room, []
        for callback in callbacks:
            callback()

    def send_again(self) -> None:
        """The gateway misses lines that it had received: send everything that is still kept."""
        if self.kept:
            self.sent_through = self.kept[0].line - 1
            self.drained.clear()
            self.waiting.set()
            self.urgent.set()

    async def flush(self) -> None:
        """Return when the gateway has received every line, or wants none."""
        self.urgent.set()
        await self.drained.wait()

    def write(self) -> None:
        """Have on disk what belongs there."""
        if self.backlog is not None:
            self.backlog.flush()
