"""The cells of one job: one for the steps that follow each other, and one for each step that runs beside them.

A cell tells what came from its step apart from what was there before, and can therefore run one step at a time. So a
background step gets a cell to itself, and a later one may have it when it is free; what a step leaves running lives on in
it until the job ends. All cells of a job live as long as its lease.
"""

import asyncio
import threading

from runner.executors.port import Cell, Executor


class Cells:
    """Opened as they are needed, closed together. `live_until` may be called from any thread, the rest on the loop."""

    def __init__(self, executor: Executor, first: Cell) -> None:
        self.executor = executor
        self.first = first
        self.opened = [first]
        self.free: list[Cell] = []
        self.deadline: float | None = None
        self.changing = threading.Lock()

    async def take(self) -> Cell:
        """A cell for a background step."""
        if self.free:
            return self.free.pop()
        cell = await self.executor.open()
        with self.changing:
            self.opened.append(cell)
            cell.live_until(self.deadline)
        return cell

    def give_back(self, cell: Cell) -> None:
        """The background step that had it has ended."""
        self.free.append(cell)

    def live_until(self, deadline: float | None) -> None:
        """See Cell."""
        with self.changing:
            self.deadline = deadline
            for cell in self.opened:
                cell.live_until(deadline)

    def lost(self) -> bool:
        """Whether one of them was destroyed from outside."""
        return any(cell.lost() for cell in self.opened)

    async def close(self) -> int:
        """See Cell."""
        return sum(await asyncio.gather(*(cell.close() for cell in self.opened)))
