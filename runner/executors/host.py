"""Runs steps as processes of this machine, each job below a guardian of its own. No isolation but the user's own rights.

A guardian takes some 20 ms to start, so one is made ready ahead, and one whose job has left nothing serves a later job:
that nothing is left is not believed but proved, because a subreaper without a child has no descendant. Of those as many
are kept as the agent has slots, so that jobs that end together do not cost the next ones a start. The agent itself never
forks a step, however large it has become.
"""

import asyncio
import os
import threading
from contextlib import suppress

from runner.executors import tree
from runner.executors.link import GuardedProcess, GuardianLink
from runner.executors.port import CellLost, Command

KILL_PATIENCE_SECONDS = 20.0


class HostCell:
    """One job's use of a guardian. After `close` nothing that is done to the cell reaches the guardian any more."""

    def __init__(self, executor: "HostExecutor", link: GuardianLink) -> None:
        self.executor = executor
        self.link = link
        self.open = True
        self.opening = threading.Lock()
        self.closing: asyncio.Future[int] | None = None
        self.destroyed: bool | None = None

    async def start(self, command: Command) -> GuardedProcess:
        """See Cell."""
        if not self.open:
            raise CellLost("the cell of the job is closed")
        return await self.link.start(command)

    def live_until(self, deadline: float | None) -> None:
        """See Cell."""
        with self.opening, suppress(CellLost):
            if self.open:
                self.link.send({"order": "deadline", "at": deadline})

    def expired(self) -> bool:
        """See Cell."""
        return self.link.expired

    def lost(self) -> bool:
        """See Cell."""
        return self.link.lost if self.destroyed is None else self.destroyed

    async def close(self) -> int:
        """See Cell."""
        if self.closing is None:
            self.closing = asyncio.ensure_future(self.end())
        return await asyncio.shield(self.closing)

    async def end(self) -> int:
        """Kill everything; a guardian that is clean goes back to the executor, any other one ends."""
        self.live_until(None)
        with self.opening:
            self.open = False
        left = await self.link.kill()
        self.destroyed = self.link.lost  # from here on the executor ends the guardian, or gives it to another job
        await self.executor.take_back(self, clean=left == 0 and not self.link.lost and not self.link.expired)
        return left


class HostExecutor:
    """Cells on this machine, at least one guardian ahead and at most `slots` of them idle."""

    isolation = "host"

    def __init__(self, slots: int = 1) -> None:
        self.earlier = tree.descendants(os.getpid())
        self.slots = slots
        self.spares: list[GuardianLink] = []
        self.cells: set[HostCell] = set()
        self.endings: set[asyncio.Future[None]] = set()
        self.closed = False

    async def open(self) -> HostCell:
        """See Executor."""
        self.prepare()
        cell = HostCell(self, self.spares.pop())
        self.cells.add(cell)
        return cell

    def prepare(self) -> None:
        """Make the next guardian ready; called when the agent has nothing more urgent to do."""
        for spare in [spare for spare in self.spares if spare.lost]:
            self.spares.remove(spare)
            ending = asyncio.ensure_future(spare.close())
            self.endings.add(ending)
            ending.add_done_callback(self.endings.discard)
        if not self.spares:
            self.spares.append(GuardianLink())

    async def take_back(self, cell: HostCell, *, clean: bool) -> None:
        """A job has ended: keep its guardian for a later one, if it may and there are not enough."""
        self.cells.discard(cell)
        if clean and not self.closed and len(self.spares) < self.slots:
            self.spares.append(cell.link)
        else:
            await cell.link.close()

    async def close(self) -> None:
        """See Executor."""
        self.closed = True
        for cell in tuple(self.cells):
            await cell.close()
        spares, self.spares = self.spares, []
        await asyncio.gather(*(spare.close() for spare in spares), *self.endings)

    def end_orphans(self) -> int:
        """Kill what a guardian that was itself killed has left to this process, if this process is a subreaper.

        Everything below this process is taken for such an orphan, unless it stands below a living guardian or was there
        before this executor: call it only in a process that starts nothing else meanwhile. Returns how many would not die.
        """
        links = [cell.link for cell in self.cells] + self.spares
        own = os.getpid()
        earlier = {pid for pid, _ in tree.descendants(own) & self.earlier}
        spared = frozenset(earlier | {link.guardian.pid for link in links if not link.lost})
        orphans = {pid for pid, _ in tree.descendants(own, pruned=spared)}

        def reap() -> None:
            for pid in orphans:
                with suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG)

        return tree.kill_all(own, reap, KILL_PATIENCE_SECONDS, pruned=spared)
