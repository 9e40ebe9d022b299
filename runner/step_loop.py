"""All steps of a job, one after the other or beside each other: which run, how each is concluded, what the job makes of it.

What a step leaves for later ones reaches the job's contexts when it ends; of a background step, when a `wait`, `wait-all`
or `cancel` names it. A step that failed fails the job from then on, unless it may. It must never let a step begin before
the end of the one before it is acknowledged.
"""

import asyncio
from datetime import datetime

from domain.workflow.model import Step
from domain.workflow.step_order import control, targets
from domain.workflow.steps import conclusion as concluded
from runner import wire
from runner.background import Background, Beside
from runner.cells import Cells
from runner.effects import effect_key, sha256
from runner.evaluation import EvaluationError
from runner.job_state import JobState, StepResult
from runner.report import Reporter
from runner.steps import run_step, title


class StepLoop:
    """The steps of one attempt. failed_step, failure: the first step that failed the job, and its words."""

    def __init__(self, job: JobState, reporter: Reporter, cells: Cells) -> None:
        self.job = job
        self.reporter = reporter
        self.cells = cells
        self.started: asyncio.Future[None] | None = None
        self.failed_step: int | None = None
        self.failure = ""

    async def run(self) -> None:
        """Run all steps. Raises CellLost, OSError, and what the gateway's answers raise."""
        try:
            async with asyncio.TaskGroup() as group:
                background = Background(self.cells, group, self.begin, self.told, self.end_beside)
                for step in self.job.message.definition.steps:
                    if self.job.cancellation.forced.is_set():
                        break
                    await self.step(step, background)
            if any(beside.conclusion == "failure" for beside in background.steps.values()):
                self.fail()
            if self.started is not None:
                await self.started
        except BaseExceptionGroup as faults:
            raise faults.exceptions[0] from None
        finally:
            if self.started is not None and not self.started.done():
                self.started.cancel()

    async def step(self, step: Step, background: Background) -> None:
        """One step in its turn: to its end, or to its beginning where it runs in the background."""
        job = self.job
        if job.cancellation.asked.is_set():
            job.contexts.status = "cancelled"
        runs = True if control(step) else self.holds(step)
        if runs is False:
            skipped = StepResult(outcome="skipped")
            self.leave(step, skipped, self.end(job, step, job.now(), skipped))
        elif runs is True and step.background:
            background.launch(job, step)
        else:
            began = self.begin(step)
            await self.told()
            result = runs if isinstance(runs, StepResult) else await self.result(step, background)
            conclusion = self.end(job, step, began, result)
            self.leave(step, result, conclusion)
            if conclusion == "failure":
                self.fail()

    async def result(self, step: Step, background: Background) -> StepResult:
        """What a step of the foreground comes to."""
        if not control(step):
            return await run_step(self.job, step)
        indices = targets(self.job.message.definition.steps, step)
        names = ", ".join(title(self.job, each.step) for index, each in background.steps.items() if index in indices) or "none"
        if step.cancel is not None:
            self.job.log(step.index, f"Cancelling background steps: {names}")
            found = await background.cancel(indices)
        else:
            self.job.log(step.index, f"Waiting for background steps: {names}")
            found = await background.wait(indices)
        for beside in found:
            self.job.log(step.index, f"{title(beside.job, beside.step)}: {beside.conclusion}")
            self.leave(beside.step, beside.result, beside.conclusion)
        conclusions = {beside.conclusion for beside in found}
        if step.cancel is not None or not conclusions & {"failure", "cancelled"}:
            return StepResult(outcome="success")
        if "failure" in conclusions:
            return StepResult(outcome="failure", message="A background step failed.")
        return StepResult(outcome="cancelled", message="A background step was cancelled.")

    def holds(self, step: Step) -> bool | StepResult:
        """Whether the step runs; a condition that cannot be evaluated is a failed step."""
        try:
            return self.job.contexts.condition(step.condition)
        except EvaluationError as error:
            self.job.log(step.index, f"##[error]{error}")
            return StepResult(outcome="failure", message=self.job.masker.mask(str(error)))

    def begin(self, step: Step) -> datetime:
        """Note that a step begins, and when."""
        began = self.job.now()
        self.reporter.add(wire.StepStart(index=step.index, started_at=began))
        return began

    async def told(self) -> None:
        """Return when the server knows what was noted; the first step need not wait, nothing came before it."""
        if self.started is None:
            self.started = asyncio.ensure_future(self.reporter.flush())
        else:
            await self.started
            await self.reporter.flush()

    async def end_beside(self, beside: Beside, began: datetime, result: StepResult) -> None:
        """Record how a background step ended, at once for the server, and for later steps when they ask."""
        beside.result = result
        beside.conclusion = self.end(beside.job, beside.step, began, result)
        beside.ended.set()
        await self.told()

    def end(self, job: JobState, step: Step, began: datetime, result: StepResult) -> str:
        """Note for the server how a step ended. Returns its conclusion. job: as the step saw it."""
        goes_on = False
        if result.outcome == "failure":
            try:
                goes_on = job.contexts.flag("continue-on-error", step.continue_on_error)
            except EvaluationError as error:
                job.log(step.index, f"##[error]{error}")
        conclusion = concluded(result.outcome, goes_on)
        if conclusion == "failure" and self.failed_step is None:
            self.failed_step = step.index
            self.failure = f"{title(job, step)}: {result.message}"
        runs_something = result.outcome != "skipped" and not control(step)
        self.reporter.add(
            wire.StepEnd(
                index=step.index,
                outcome=result.outcome,  # type: ignore[arg-type] # one of the four words
                conclusion=conclusion,  # type: ignore[arg-type] # one of the four words
                exit_code=result.exit_code,
                effect=effect_key(job.message, step, result.inputs, job.masker) if runs_something else "",
                started_at=began,
                ended_at=job.now(),
                outputs={name: sha256(value) for name, value in result.outputs.items()},
                message=result.message,
                subjects=result.subjects,
            )
        )
        return conclusion

    def leave(self, step: Step, result: StepResult, conclusion: str) -> None:
        """From here on later steps see what this one left."""
        job = self.job
        job.export(result.env)
        job.prepend(result.paths)
        job.contexts.set_step(step.id, result.outcome, conclusion, result.outputs)

    def fail(self) -> None:
        """The job has failed, unless something else ended it before."""
        if self.job.contexts.status == "success":
            self.job.contexts.status = "failure"
