"""The long poll of a runner: `acquire`.

It is answered as soon as a job is acquired for the runner or an order is new, else when its time is up. It races the
client's going away: a poll whose client is gone takes no job, and a job that was acquired for it in that very moment
goes back to the queue at once (ReportLost). An order stands in every answer until its effect is reported, but ends a
poll early only once in a while, so that a runner that is busy cancelling does not poll in a circle.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from uuid import UUID

from msgspec.structs import replace

from commands.handle import Handler, Origin, Outcome
from domain import ids
from domain.job.commands import AcquireJob, ReportLost
from domain.job.state import Acquired, Done, JobState, Running
from domain.ports import Clock, StreamUnreadable
from domain.registration import DEFAULT_GROUP
from domain.run.commands import ClaimSlots
from domain.runner_group import RunnerGroup
from domain.runner_pool import Runner
from domain.scheduling.line import ReadyJob
from gateway.http import ClientGone, Reply, Request, answer
from gateway.job_message import JobMessages
from gateway.leases import HeldLease, Leases
from gateway.presence import Presence
from gateway.problems import problem, refused
from gateway.ready_jobs import Access, Poll, ReadyJobs
from gateway.refusals import Refusals
from runner import wire

POLL_SECONDS_MAX = 50.0
ORDER_REPEAT_SECONDS = 5.0
LOST_GRACE_SECONDS = 5.0
"""A runner whose poll does not name a lease this long after it was handed out does not have the job."""


class Acquiring:
    """Serves the polls of this gateway's runners."""

    def __init__(
        self,
        handler: Handler,
        clock: Clock,
        messages: JobMessages,
        presence: Presence,
        *,
        refusals: Refusals,
        lease_seconds: float,
        accept_seconds: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._handler = handler
        self._clock = clock
        self._messages = messages
        self._presence = presence
        self._refusals = refusals
        self._lease_seconds = lease_seconds
        self._accept_seconds = accept_seconds
        self._monotonic = monotonic
        self._delivered: dict[UUID, float] = {}
        self.leases = Leases(self._wake, monotonic)
        self.ready: ReadyJobs

    async def poll(self, request: Request, body: wire.Acquire) -> Reply:
        """Answer one `acquire`."""
        runner: Runner | None = await self._handler.own(request.identity.tenant, body.runner, "runner")
        if runner is None:
            raise problem(404, "runner_not_found", f"there is no runner {body.runner}", hint="register again")
        if runner.duty == "retired":
            raise problem(409, "runner_retired", f"runner {runner.facts.name} was removed", hint="register it under a new registration")
        origin = Origin(runner.tenant, f"runner:{body.runner}", request.identity.token, ids.command_id("request", request.request_id))
        await self._check_slots(runner, body, origin)
        await self._presence.arrived(body.runner, origin, online=runner.online)
        await self._report_lost(body, runner.tenant)
        facts = runner.facts if runner.duty == "active" else replace(runner.facts, slots=0)
        access = await self._access(runner)
        poll = self.ready.open(body.runner, facts.name, facts.labels, self._free(body, facts.slots), access)
        try:
            orders = await self._wait(request, body, poll, facts.slots)
        finally:
            granted = await self.ready.close(poll)
            self._presence.seen(body.runner)
        if request.gone().done():
            await self._give_back(granted)
            raise ClientGone
        if poll.failed is not None and not granted:
            raise poll.failed
        now = self._clock.now()
        leases = tuple(
            [
                wire.Lease(expires_in_seconds=(job.lease.expires_at - now).total_seconds(), message=await self._messages.of(job))
                for job in granted
            ]
        )
        request.close()
        return answer(wire.Acquired(leases=leases, orders=orders, now=now))

    async def _access(self, runner: Runner) -> Access:
        """Whose jobs the runner takes, as its group says."""
        group = ids.runner_group_id(runner.tenant, runner.facts.group or DEFAULT_GROUP)
        state: RunnerGroup | None = await self._handler.own(runner.tenant, group, "runner_group")
        served = state.repositories if state is not None else None
        return Access(runner.tenant, group, None if served is None else frozenset(map(str, served)))

    async def _check_slots(self, runner: Runner, body: wire.Acquire, origin: Origin) -> None:
        """Refuse a runner that claims more slots than it registered. With none free it may name jobs of before too."""
        held = len(set(body.jobs))
        if body.free_slots and not 0 < body.free_slots + held <= runner.facts.slots:
            outcome = await self._handler.handle(ClaimSlots(body.runner, body.free_slots, held), origin)
            if outcome.refusal is not None:
                await self._refusals.record(origin, "ClaimSlots", str(body.runner), outcome.refusal)
                raise refused(outcome.refusal)

    def _free(self, body: wire.Acquire, slots: int) -> int:
        """How many jobs the poll may bring. What it does not name counts until it is lost, or a runner could hide what it holds."""
        return max(0, min(body.free_slots, slots - len(self.leases.of(body.runner))))

    def acquire(self, job: UUID, poll: Poll) -> AcquireJob:
        """The command by which this poll's runner takes a job."""
        return AcquireJob(
            job,
            runner=poll.runner,
            runner_name=poll.name,
            labels=poll.labels,
            lease_seconds=self._lease_seconds,
            accept_seconds=self._accept_seconds,
        )

    async def take(self, pairs: Sequence[tuple[ReadyJob, Poll]]) -> list[Outcome]:
        """Put AcquireJob to these jobs for these polls' runners, all in one append."""
        return await self._handler.handle_each(
            [(self.acquire(job.job, poll), Origin(poll.tenant, f"runner:{poll.runner}")) for job, poll in pairs]
        )

    async def look(self, job: UUID) -> JobState | None:
        """The state of a job."""
        state: JobState | None = await self._handler.state(job, "job")
        return state

    async def orders(self, runner: UUID, jobs: tuple[UUID, ...], over: dict[UUID, wire.Order] | None = None) -> tuple[wire.Order, ...]:
        """What this runner is asked to do about the jobs that it says it holds.

        over: the orders of jobs that have ended, which nothing changes any more: filled here and believed the next time,
        because an ended job has to be read from the store.
        """
        over = {} if over is None else over
        found = []
        for job in jobs:
            if job in over:
                found.append(over[job])
                continue
            try:
                state: JobState | None = await self._handler.state(job, "job")
            except StreamUnreadable:  # its runner goes on with its other jobs; of this one its own requests are told
                continue
            match state:
                case Acquired(lease=lease, cancel=cancel) | Running(lease=lease, cancel=cancel) if lease.runner == runner:
                    if cancel is not None:
                        found.append(wire.Order(kind="cancel", order=cancel.order, job=job, attempt=lease.attempt, epoch=lease.epoch))
                case Done(life=life):
                    order = ids.derive("order", job, life.epoch, "over")
                    over[job] = wire.Order(kind="force_cancel", order=order, job=job, attempt=life.attempt, epoch=life.epoch)
                    found.append(over[job])
                case _:
                    pass
        duty: Runner | None = await self._handler.state(runner, "runner")
        if duty is not None and duty.duty == "draining":
            found.append(wire.Order(kind="drain", order=ids.derive("order", runner, "drain")))
        return tuple(found)

    async def _wait(self, request: Request, body: wire.Acquire, poll: Poll, slots: int) -> tuple[wire.Order, ...]:
        """Until there is something to say, the time is up or the client is gone; returns the orders to answer with.

        A poll that could bring more now than when it began ends too: what its runner did not name has been lost since.
        """
        over: dict[UUID, wire.Order] = {}
        request.gone().add_done_callback(lambda _: poll.news.set())
        ends = self._monotonic() + min(max(body.wait_seconds, 0), POLL_SECONDS_MAX)
        while True:
            poll.news.clear()
            recheck = await self._report_lost(body, poll.tenant)
            orders = await self.orders(body.runner, body.jobs, over)
            now = self._monotonic()
            fresh = [order for order in orders if now - self._delivered.get(order.order, -ORDER_REPEAT_SECONDS) >= ORDER_REPEAT_SECONDS]
            ready = (poll.granted and not poll.in_flight) or poll.failed is not None
            ready = ready or (not poll.in_flight and not poll.granted and self._free(body, slots) > poll.slots)
            if poll.closed or fresh or ready or now >= ends:
                self._note_delivered(orders, now)
                return orders
            if orders:
                recheck = min(recheck, ORDER_REPEAT_SECONDS)
            if not poll.news.is_set():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(min(ends - now, recheck)):
                        await poll.news.wait()
            if request.gone().done():
                return ()

    def _note_delivered(self, orders: tuple[wire.Order, ...], now: float) -> None:
        for order in orders:
            self._delivered[order.order] = now
        if len(self._delivered) > 1000:
            self._delivered = {order: at for order, at in self._delivered.items() if now - at < ORDER_REPEAT_SECONDS}

    async def _report_lost(self, body: wire.Acquire, tenant: str) -> float:
        """Report the leases that the runner does not name; returns in how many seconds to look again."""
        recheck = POLL_SECONDS_MAX
        for lease in self.leases.of(body.runner):
            if lease.job in body.jobs:
                continue
            age = self._monotonic() - lease.since
            if age < LOST_GRACE_SECONDS:
                recheck = min(recheck, LOST_GRACE_SECONDS - age)
            else:
                # One that never began was in an answer that did not arrive: that costs no attempt.
                state: JobState | None = await self._handler.state(lease.job, "job")
                await self._lost(lease, tenant, "not_started" if isinstance(state, Acquired) else "runner_restarted")
        return recheck

    async def _give_back(self, granted: list[Acquired]) -> None:
        for state in granted:
            lease = state.lease
            await self._lost(HeldLease(state.life.job, lease.runner, lease.attempt, lease.epoch, 0, 0), state.life.tenant, "not_started")

    async def _lost(self, lease: HeldLease, tenant: str, reason: str) -> None:
        with contextlib.suppress(StreamUnreadable):  # the runner's other jobs do not depend on it
            await self._handler.handle(ReportLost(lease.job, epoch=lease.epoch, reason=reason), Origin(tenant, "system:gateway"))

    def _wake(self, runner: UUID) -> None:
        poll = self.ready.polls.get(runner)
        if poll is not None:
            poll.news.set()
