"""The background steps of a job: which run, which wait for a place, and what each came to.

As on GitHub at most ten run at a time, in the order of the file. What a step leaves for later ones (outputs, variables,
folders of the PATH, whether it failed) is kept back until a `wait`, a `wait-all` or a `cancel` names it.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime

from domain.workflow.model import Step
from domain.workflow.step_order import BACKGROUND_MAX
from runner.cells import Cells
from runner.job_state import JobState, StepResult
from runner.steps import run_step


class Beside:
    """One background step. job: the job as it was where the step stands; conclusion: empty until it has ended."""

    def __init__(self, job: JobState, step: Step) -> None:
        self.job = job
        self.step = step
        self.result = StepResult(outcome="")
        self.conclusion = ""
        self.ended = asyncio.Event()


Begin = Callable[[Step], datetime]
"""Notes that a step begins, and says when."""
End = Callable[[Beside, datetime, StepResult], Awaitable[None]]
"""Records how one ended and tells the server."""


class Background:
    """All background steps of a job. group: what they run in; a fault of one ends it."""

    def __init__(self, cells: Cells, group: asyncio.TaskGroup, begin: Begin, told: Callable[[], Awaitable[None]], end: End) -> None:
        self.cells = cells
        self.group = group
        self.begin = begin
        self.told = told
        self.end = end
        self.steps: dict[int, Beside] = {}
        self.waiting: deque[Beside] = deque()
        self.running = 0

    def launch(self, job: JobState, step: Step) -> None:
        """Run a step whose condition holds beside what follows; at once, where there is a place."""
        beside = self.steps[step.index] = Beside(job.beside(), step)
        self.waiting.append(beside)
        self.fill()

    def fill(self) -> None:
        """Give free places to those that wait."""
        while self.waiting and self.running < BACKGROUND_MAX:
            beside = self.waiting.popleft()
            if beside.job.cancellation.asked.is_set():
                self.group.create_task(self.never_began(beside))
            else:
                self.running += 1
                self.group.create_task(self.run(beside, self.begin(beside.step)))

    async def run(self, beside: Beside, began: datetime) -> None:
        """One step from its place to its end."""
        await self.told()
        beside.job.cell = await self.cells.take()
        result = await run_step(beside.job, beside.step)
        self.cells.give_back(beside.job.cell)
        self.running -= 1
        await self.end(beside, began, result)
        self.fill()

    async def never_began(self, beside: Beside) -> None:
        """A step that was cancelled before it got a place."""
        await self.end(beside, beside.job.now(), StepResult(outcome="cancelled", message="The step was cancelled."))

    async def wait(self, indices: Iterable[int]) -> list[Beside]:
        """Wait for the ends of these steps; those that were skipped are passed over. Returns the others, in order."""
        found = [self.steps[index] for index in indices if index in self.steps]
        for beside in found:
            await beside.ended.wait()
        return found

    async def cancel(self, indices: Iterable[int]) -> list[Beside]:
        """End these steps, and nothing else; returns as `wait` does."""
        named = tuple(indices)
        for beside in [self.steps[index] for index in named if index in self.steps]:
            beside.job.cancellation.ask()
            if beside in self.waiting:
                self.waiting.remove(beside)
                await self.never_began(beside)
        return await self.wait(named)
