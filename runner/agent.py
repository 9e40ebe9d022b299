"""The agent: registers, keeps a poll open, runs what it is given in as many slots as it has, obeys orders.

It is crash-only: told to stop it kills its jobs and leaves, and the server gives them to another attempt. On disk there
are only the id under which it is known and, while the control plane is away, what that could not be told. It must never
hold a job that its poll did not announce a slot for.
"""

import asyncio
import fcntl
import os
import secrets
import sys
from contextlib import suppress
from pathlib import Path
from typing import IO
from uuid import UUID

import msgspec

from runner import environment, leftovers, spool, wire, workspace
from runner.client import Client
from runner.clock import StoreClock
from runner.executors import orphans, tree
from runner.executors.host import HostExecutor
from runner.job import Host, Job
from runner.lease_keeper import Gateway, Terms, deadline
from runner.problems import Distrusted, ProtocolError, Refused, Rejected, Silent, Unanswered
from runner.server import Server

RETRY_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
REPEATED_ORDER_SECONDS = 0.5
UNANSWERED_MAX = 5
"""A server that ends so many TLS connections in a row without an answer does not want this client."""


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What the command line says. once: leave after one job. ephemeral: the same, and be forgotten by the server."""

    server: Server
    name: str
    labels: tuple[str, ...]
    slots: int
    work: Path
    once: bool = False
    ephemeral: bool = False
    version: str = ""


class WorkInUse(Exception):  # noqa: N818 - an outcome with a name of its own
    """Another agent uses the same working folder."""


def default_labels() -> tuple[str, ...]:
    """What a self-hosted runner on this machine is called on GitHub."""
    return ("self-hosted", environment.system().lower(), environment.architecture().lower())


def lock(work: Path) -> IO[str]:
    """Take the working folder for this process. Raises WorkInUse."""
    work.mkdir(parents=True, exist_ok=True)
    file = (work / "lock").open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise WorkInUse(f"another runner works in {work}; give each its own --work") from error
    return file


def registration(work: Path, *, ephemeral: bool) -> str:
    """The id under which this runner is known: kept, so that it comes back as itself, unless it is ephemeral."""
    file = work / "registration"
    if ephemeral:
        return secrets.token_hex(16)
    if not file.exists():
        fresh = work / "registration.new"
        fresh.write_text(secrets.token_hex(16))
        fresh.replace(file)
    return file.read_text().strip()


class Agent:
    """One runner. `run` returns the exit code."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.clock = StoreClock()
        self.executor = HostExecutor(options.slots)
        self.jobs: dict[UUID, Job] = {}
        self.tasks: set[asyncio.Task[None]] = set()
        self.deliveries: dict[UUID, asyncio.Task[None]] = {}
        self.taken = 0
        self.draining = False
        self.known_orders: set[UUID] = set()
        self.changed = asyncio.Event()

    async def run(self) -> int:
        """Work until drained, or until the one job is done. Raises WorkInUse, and Rejected where the token is of no use."""
        options = self.options
        held = lock(options.work)
        try:
            tree.become_subreaper()
            orphans.end_marked(options.work)
            workspace.sweep(options.work)
            async with Client(options.server, self.clock) as client:
                registered = await self.register(client)
                host = Host(
                    runner=registered.runner,
                    name=options.name,
                    work=options.work,
                    server=options.server,
                    client=client,
                    gateway=Gateway(options.server, self.clock),
                    executor=self.executor,
                    clock=self.clock,
                    terms=Terms(registered.lease_seconds, registered.heartbeat_seconds, registered.offline_seconds),
                )
                self.executor.prepare()
                self.deliver(host)
                try:
                    await self.serve(host, registered)
                finally:
                    ending = [*self.tasks, *self.deliveries.values()]
                    for task in ending:
                        task.cancel()
                    await asyncio.gather(*ending, return_exceptions=True)
                    await self.executor.close()
        finally:
            held.close()
        return 0

    async def register(self, client: Client) -> wire.Registered:
        """Make this runner known, waiting for a server that is not there yet."""
        options = self.options
        message = wire.Register(
            registration=registration(options.work, ephemeral=options.ephemeral),
            name=options.name,
            labels=options.labels,
            slots=options.slots,
            os=environment.system().lower(),
            arch=environment.architecture().lower(),
            version=options.version,
            ephemeral=options.ephemeral,
            pid=os.getpid(),
        )
        failures = unanswered = 0
        while True:
            try:
                return await client.register(message)
            except Distrusted:
                raise
            except (Refused, Silent) as error:
                unanswered = unanswered + 1 if isinstance(error, Unanswered) else 0
                if unanswered == UNANSWERED_MAX:
                    raise Distrusted(str(error)) from error
                if failures % 20 == 0:
                    sys.stderr.write(f"runner {options.name}: waiting for {options.server.url}: {error}\n")
                await asyncio.sleep(RETRY_SECONDS[min(failures, len(RETRY_SECONDS) - 1)])
                failures += 1

    async def serve(self, host: Host, registered: wire.Registered) -> None:
        """Poll, and poll again as soon as a slot is free or an answer is in."""
        failures = 0
        while not self.done():
            free = self.free_slots()
            jobs = (*self.jobs, *self.deliveries)
            message = wire.Acquire(runner=registered.runner, free_slots=free, wait_seconds=registered.poll_seconds, jobs=jobs)
            self.changed.clear()
            poll = asyncio.ensure_future(host.client.acquire(message))
            changed = asyncio.ensure_future(self.changed.wait())
            try:
                await asyncio.wait({poll, changed} if free == 0 else {poll}, return_when=asyncio.FIRST_COMPLETED)
                if not poll.done():
                    continue  # it announced no slot, so no job can be in its answer: ask again with the free slot
                answer = await poll
            except ProtocolError as error:
                if isinstance(error, Rejected):
                    raise
                await asyncio.sleep(RETRY_SECONDS[min(failures, len(RETRY_SECONDS) - 1)])
                failures += 1
                continue
            finally:
                poll.cancel()
                changed.cancel()
                await asyncio.gather(poll, changed, return_exceptions=True)
            failures = 0
            for lease in answer.leases:
                self.begin(host, lease, answer)
            fresh = self.obey(answer.orders)
            if answer.orders and not answer.leases and not fresh:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self.changed.wait(), REPEATED_ORDER_SECONDS)

    def deliver(self, host: Host) -> None:
        """Tell the server what an earlier life could not; until then those jobs count as held, and no new one is taken."""
        for left in spool.leftovers(self.options.work):
            self.deliveries[left.left.job] = asyncio.ensure_future(self.deliver_one(left, host))

    async def deliver_one(self, left: spool.Spool, host: Host) -> None:
        """One attempt's rest."""
        try:
            await leftovers.deliver(left, host.client, host.gateway, self.clock, host.terms)
        except Exception as error:  # noqa: BLE001 - see execute
            sys.stderr.write(f"job {left.left.name}, of before: {type(error).__name__}: {error}\n")
        finally:
            self.deliveries.pop(left.left.job, None)
            self.changed.set()

    def done(self) -> bool:
        """Whether there is nothing left to do."""
        last = (self.options.once or self.options.ephemeral) and self.taken > 0
        return (self.draining or last) and not self.tasks and not self.deliveries

    def free_slots(self) -> int:
        """How many jobs the next poll may bring."""
        if self.draining or self.deliveries:
            return 0
        if self.options.once or self.options.ephemeral:
            return 1 if self.taken == 0 else 0
        return max(0, self.options.slots - len(self.tasks))

    def begin(self, host: Host, lease: wire.Lease, answer: wire.Acquired) -> None:
        """Run a job that was handed out. The lease counts from when the server can have answered at the earliest."""
        self.taken += 1
        answered = min(self.clock.earliest(answer.now), asyncio.get_running_loop().time())
        job = Job(host, lease, deadline(answered, lease.expires_in_seconds), self.obey)
        earlier = self.jobs.get(lease.message.job)
        self.jobs[lease.message.job] = job
        starting = asyncio.ensure_future(job.reporter.start())  # before anything else of the job, and before the next poll
        task = asyncio.ensure_future(self.execute(job, starting, earlier))
        self.tasks.add(task)
        task.add_done_callback(lambda ended: self.end(ended, starting))

    async def execute(self, job: Job, starting: asyncio.Future[None], earlier: Job | None) -> None:
        """One job, whose troubles are its own. earlier: an attempt of it that is still here; both would use one folder."""
        key = job.message.job
        try:
            if earlier is not None:
                earlier.lose("the job was handed out again")
                await earlier.over.wait()
            await job.run(starting)
        except Exception as error:  # noqa: BLE001 - whatever one job does must not end the others
            sys.stderr.write(f"job {job.message.name}: {type(error).__name__}: {error}\n")
            await job.give_up()
        finally:
            job.over.set()
            if self.jobs.get(key) is job:
                del self.jobs[key]
            if job.cells is not None and job.cells.lost():
                self.executor.end_orphans()

    def end(self, task: asyncio.Task[None], starting: asyncio.Future[None]) -> None:
        """A slot is free."""
        starting.cancel()
        self.tasks.discard(task)
        self.changed.set()
        self.prepare()

    def prepare(self) -> None:
        """Have a guardian ready for the next job."""
        if not self.done():
            self.executor.prepare()

    def obey(self, orders: tuple[wire.Order, ...]) -> bool:
        """Do what is ordered. Returns whether any order was new; a repeated one changes nothing."""
        fresh = {order.order for order in orders} - self.known_orders
        for order in orders:
            match order.kind:
                case "drain":
                    self.draining = True
                    self.changed.set()
                case "cancel" | "force_cancel":
                    job = self.jobs.get(order.job) if order.job is not None else None
                    if job is not None and (job.message.attempt, job.message.epoch) == (order.attempt, order.epoch):
                        job.cancel(force=order.kind == "force_cancel")
                case "pause":
                    pass  # a paused runner polls on; the server gives it nothing
        self.known_orders = {order.order for order in orders}
        return bool(fresh)
