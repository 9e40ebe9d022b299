"""Executes one attempt of a job from its lease to its end: set-up, steps, outputs, report, removal.

The order is fixed: the workspace, then `start`, then the steps one by one, then the tree is killed, the log flushed, the
outcome reported and the folder removed. When the lease is lost everything stops where it is and nothing is reported,
because the job belongs to somebody else. What the runner itself cannot do (no space, no folder, a killed guardian) is
an outcome too: failure, reason `setup_failed`.
"""

import asyncio
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from uuid import UUID

import msgspec

from runner import ending, hash_files, wire, workspace
from runner.cells import Cells
from runner.client import Client
from runner.clock import StoreClock
from runner.evaluation import EvaluationError
from runner.executors.port import CellLost, Executor
from runner.job_state import JobState
from runner.lease_keeper import Gateway, LeaseKeeper, Terms
from runner.logs import LogSpool
from runner.problems import LeaseLost, Rejected
from runner.report import Reporter, until_answered
from runner.server import Server
from runner.spool import Left, Spool
from runner.step_loop import StepLoop

SETUP = ending.SETUP


class Host(msgspec.Struct, frozen=True):
    """What all jobs of an agent share."""

    runner: UUID
    name: str
    work: Path
    server: Server
    client: Client
    gateway: Gateway
    executor: Executor
    clock: StoreClock
    terms: Terms


class Job:
    """One attempt on this runner. `run` does all of it; the other methods may be called while it runs."""

    def __init__(self, host: Host, lease: wire.Lease, until: float, on_orders: Callable[[tuple[wire.Order, ...]], object]) -> None:
        self.host = host
        self.message = lease.message
        self.until = until
        self.on_orders = on_orders
        message = lease.message
        fence = wire.Fence(runner=host.runner, attempt=message.attempt, epoch=message.epoch, lease=message.lease)
        self.disk = Spool(host.work, Left(message.job, message.name, fence))
        self.reporter = Reporter(host.client, message.job, fence, self.disk)
        self.spool = LogSpool(self.reporter.logs, host.clock, self.disk)
        self.state: JobState | None = None
        self.cells: Cells | None = None
        self.steps: StepLoop | None = None
        self.keeper: LeaseKeeper | None = None
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.over = asyncio.Event()
        self.failure = ""
        self.reason = ""
        self.cancelled_early = False
        self.forced_early = False

    def cancel(self, *, force: bool) -> None:
        """An order of the server; repeating it changes nothing."""
        self.forced_early = self.forced_early or force
        self.cancelled_early = True
        if self.state is not None:
            if force:
                self.state.cancellation.force()
            else:
                self.state.cancellation.ask()

    def lose(self, reason: str) -> None:
        """The lease is gone: kill the tree first, then let `run` find out."""
        if self.cells is not None:
            self.cells.live_until(0)
        if not self.lost.done():
            self.lost.set_result(reason)

    async def run(self, starting: asyncio.Future[None]) -> str:
        """Execute. starting: the report of the start, on its way. Returns the reported conclusion, or "lost"."""
        work = asyncio.ensure_future(self.attempt(starting))
        try:
            await asyncio.wait({work, self.lost}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not work.done():
                work.cancel()
                await asyncio.wait({work})
        try:
            conclusion = await work
        except asyncio.CancelledError:
            if not self.lost.done():
                raise  # the agent ends; what is on disk waits for its next life
            conclusion = "lost"
        except LeaseLost as error:
            self.lose(str(error))
            conclusion = "lost"
        except Exception:
            self.disk.remove()
            raise
        self.disk.remove()
        if conclusion == "lost":
            sys.stderr.write(f"job {self.message.name}: the lease was lost: {self.lost.result()}\n")
        return conclusion

    async def attempt(self, starting: asyncio.Future[None]) -> str:
        """The attempt, whatever happens cleaned up after. The server hears of the start while the workspace is made."""
        sender = asyncio.ensure_future(self.spool.run())
        root: Path | None = None
        try:
            try:
                self.cells = Cells(self.host.executor, await self.host.executor.open())
                self.keep_lease(self.cells)
                space = workspace.make(self.host.work, self.message.job, str(self.message.github.get("repository") or ""))
                root = space.root
                self.state = JobState(
                    message=self.message,
                    space=space,
                    cell=self.cells.first,
                    spool=self.spool,
                    runner_name=self.host.name,
                    server=self.host.server,
                    hash_files=hash_files.function(space.checkout),
                )
                if self.cancelled_early:
                    self.cancel(force=self.forced_early)
                await starting  # no step begins before the server has answered
                self.steps = StepLoop(self.state, self.reporter, self.cells)
                await self.run_steps(self.state, self.steps)
            except (OSError, CellLost) as error:
                await starting
                self.setup_failed(error)
            if self.cells is not None:
                await self.cells.close()
            if self.state is not None:
                for reader in self.state.readers:
                    reader.close()
            return await self.finish()
        finally:
            if self.keeper is not None:
                self.keeper.stop()
            if self.cells is not None:
                await asyncio.shield(self.cells.close())
            sender.cancel()
            await self.reporter.close()
            self.spool.close()
            if root is not None:
                with suppress(OSError):
                    await asyncio.to_thread(workspace.remove, root)

    async def give_up(self) -> None:
        """The runner itself cannot go on: say so at once, or nobody would know before the end of the lease.

        The server then gives the job to another attempt. It is said for as long as the lease lasts.
        """
        until = self.keeper.until if self.keeper is not None else self.until
        message = ending.given_up(self.reporter, self.spool)
        with suppress(LeaseLost, Rejected, TimeoutError):
            async with asyncio.timeout_at(until):
                await until_answered(lambda: self.host.client.complete(self.message.job, message))

    def keep_lease(self, cells: Cells) -> None:
        """From here on the lease is renewed, and the cells die with it."""
        loop = asyncio.get_running_loop()

        def lost(reason: str) -> None:
            cells.live_until(0)
            loop.call_soon_threadsafe(self.lose, reason)

        def orders(orders: tuple[wire.Order, ...]) -> None:
            loop.call_soon_threadsafe(self.on_orders, orders)

        terms = self.host.terms
        if self.message.definition.environment is not None:
            terms = msgspec.structs.replace(terms, offline=0)  # what touches the world outside never outlives its lease
        cells.live_until(self.until)
        self.keeper = LeaseKeeper(
            gateway=self.host.gateway,
            path=f"/jobs/{self.message.job}/renew",
            message=wire.Renew(**self.reporter.fence),
            until=self.until,
            terms=terms,
            on_renewed=cells.live_until,
            on_orders=orders,
            on_lost=lost,
        )
        self.keeper.start()

    def setup_failed(self, error: Exception) -> None:
        """The runner's own trouble ends the job."""
        self.reason = "setup_failed"
        self.failure = f"{type(error).__name__}: {error}"
        self.spool.append(SETUP, "system", f"##[error]The runner could not go on: {self.failure}")
        if self.state is not None:
            self.state.contexts.status = "failure"

    async def run_steps(self, job: JobState, steps: StepLoop) -> None:
        """All steps in order. The job's own time limit counts from here."""
        job.log(SETUP, f"Runner {self.host.name}, {job.runner['os']} {job.runner['arch']}, isolation {self.host.executor.isolation}")
        job.log(SETUP, f"Job {self.message.name}, attempt {self.message.attempt}")
        loop = asyncio.get_running_loop()
        watch = asyncio.ensure_future(self.enforce_limits(job))
        limit = loop.call_later(self.message.timeout_seconds, lambda: job.cancellation.ask(timed_out=True))
        try:
            try:
                job.evaluate_environment()
            except EvaluationError as error:
                self.setup_failed(error)
                return
            await steps.run()
        finally:
            limit.cancel()
            watch.cancel()

    async def enforce_limits(self, job: JobState) -> None:
        """A cancelled job may clean up for its cancel timeout, and no longer."""
        await job.cancellation.asked.wait()
        if self.state is not None and job.contexts.status == "success":
            job.contexts.status = "cancelled"
        await asyncio.sleep(self.message.cancel_timeout_seconds)
        job.cancellation.force()

    async def finish(self) -> str:
        """Report the transitions and lines that are left, then the outcome. Raises LeaseLost where it is not ours to report."""
        if self.lost.done():
            raise LeaseLost(self.lost.result())
        failed_step = self.steps.failed_step if self.steps is not None else None
        failure = self.failure or (self.steps.failure if self.steps is not None else "")
        reason = self.reason or ("step_failed" if failed_step is not None else "")
        ended = ending.of(self.state, failure=failure, reason=reason, failed_step=failed_step)
        with suppress(Rejected):
            await self.reporter.flush()
        return await ending.report(ended, self.reporter, self.spool)
