"""The agents of the write side: the reactor and the reconciler."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from commands.handle import Handler
from commands.reactor import AGENT, Reactor
from commands.reconciler import Reconciler
from domain.job import commands as c
from domain.job.state import Acquired, BackingOff, Done, Queued, Running
from domain.ports import StreamUnreadable
from domain.run.commands import CancelRun, ExpireRun
from domain.run.state import RUN_MAX
from tests.commands.test_trigger import ORIGIN, RUNNER, System
from tests.domain.scenario import deadlines

WAIT_SECONDS = 10
BEGINNINGS = ("JobCreated", "RunTriggered")
WIDE = """
on: push
jobs:
  wide: {runs-on: linux, strategy: {matrix: {v: [1, 2, 3]}}, steps: [{run: x}]}
"""


class StreamDeadlines:
    """The port `Deadlines`, read from the states of the jobs and runs themselves."""

    def __init__(self, system: System) -> None:
        self._system = system

    async def _all(self) -> list[tuple[datetime, UUID, str]]:
        page = await self._system.store.read(0)
        events = page.events if page else ()
        streams = {event.stream: "job" if event.type == "JobCreated" else "run" for event in events if event.type in BEGINNINGS}
        found: list[tuple[datetime, UUID, str]] = []
        for stream, aggregate in streams.items():
            found += [(at, stream, kind) for at, kind in deadlines(await self._system.handler.state(stream, aggregate))]
        return sorted(found)

    async def due(self, now: datetime, limit: int = 100) -> list[tuple[UUID, str]]:
        """See the port."""
        return [(job, kind) for at, job, kind in await self._all() if at <= now][:limit]

    async def next_at(self) -> datetime | None:
        """See the port."""
        deadlines = await self._all()
        return deadlines[0][0] if deadlines else None


@asynccontextmanager
async def running(agent: Any) -> AsyncIterator[None]:
    """The agent at work."""
    task = asyncio.create_task(agent.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def attended() -> bool:
    """A gateway is there."""
    return True


async def eventually(condition: Callable[[], Awaitable[bool]]) -> None:
    """Until the condition holds, at most ten seconds."""
    async with asyncio.timeout(WAIT_SECONDS):
        while not await condition():
            await asyncio.sleep(0.005)


async def test_a_cancelled_run_cancels_its_jobs_and_completes() -> None:
    """The reactor carries the request to every job; the position is moved with the effects."""
    system = System()
    run = (await system.push(WIDE)).runs[0].run
    await system.handler.handle(CancelRun(run, "by hand"), ORIGIN)

    async def completed() -> bool:
        return bool((await system.handler.state(run, "run")).conclusion == "cancelled")

    async with running(Reactor(system.handler, system.store, system.store)):
        await eventually(completed)
    assert (await system.types()).count("JobCancelled") == 3
    assert await system.store.tracked(AGENT) > 0


async def test_the_reactor_reads_no_stream_that_this_process_has_moved() -> None:
    """The end of a job is looked at in the state that its own commit left."""
    system = System()
    run = await system.handler.state((await system.push(WIDE)).runs[0].run, "run")
    for job in run.nodes["wide"].jobs:
        await system.perform(job)
    loads = system.count_loads()
    reactor = Reactor(system.handler, system.store, system.store)
    page = await system.store.read(0)
    assert page is not None
    await reactor._react(page)
    assert loads == []


async def test_the_reactor_reads_what_another_process_has_moved() -> None:
    """A cached state that is older than the event is not good enough."""
    system = System()
    run = (await system.push(WIDE)).runs[0].run
    elsewhere = Handler(system.store, system.clock, system.blobs)
    await elsewhere.handle(CancelRun(run, "by hand"), ORIGIN)
    page = await system.store.read(0)
    assert page is not None
    await Reactor(system.handler, system.store, system.store)._react(page)
    assert (await system.types()).count("JobCancelled") == 3


async def test_a_restarted_reactor_does_nothing_twice() -> None:
    """A second life reads on from the recorded position, and what it meets again is a repeat."""
    system = System()
    run = (await system.push(WIDE)).runs[0].run
    await system.handler.handle(CancelRun(run, "by hand"), ORIGIN)

    async def completed() -> bool:
        return bool((await system.handler.state(run, "run")).conclusion)

    for _ in range(2):
        async with running(Reactor(system.handler, system.store, system.store)):
            await eventually(completed)
            await asyncio.sleep(0)
    assert (await system.types()).count("JobCancelled") == 3


async def test_a_failed_instance_cancels_its_siblings() -> None:
    """A matrix is fail-fast unless it says otherwise."""
    system = System()
    run = (await system.push(WIDE)).runs[0].run
    await system.perform((await system.queued())["wide (2)"], "failure")

    async def completed() -> bool:
        return bool((await system.handler.state(run, "run")).conclusion)

    async with running(Reactor(system.handler, system.store, system.store)):
        await eventually(completed)
    assert (await system.types()).count("JobCancelled") == 2


async def hold(system: System) -> UUID:
    """A job that a runner acquired and never heard of again."""
    await system.push(WIDE)
    job: UUID = (await system.queued())["wide (1)"]
    await system.handler.handle(c.AcquireJob(job, RUNNER, "r", ("linux",), 30, 120), ORIGIN)
    return job


async def test_a_vanished_runner_loses_its_lease_and_the_job_is_retried() -> None:
    """At the end of the lease the attempt is lost; at the end of the backoff the job is queued again."""
    system = System()
    job = await hold(system)
    reconciler = Reconciler(system.handler, StreamDeadlines(system), system.clock, 30, attended)
    assert await reconciler.tick() == 0
    system.clock.advance(30)
    assert await reconciler.tick() == 1
    system.clock.advance(2)
    assert await reconciler.tick() == 1
    state = await system.handler.state(job, "job")
    assert isinstance(state, Queued)
    assert state.avoid == RUNNER


async def test_a_lease_that_ended_during_an_outage_is_extended_once() -> None:
    """Nobody could store a heartbeat, so the runner gets one more TTL; only then is the attempt lost."""
    system = System()
    job = await hold(system)
    system.clock.advance(60)
    reconciler = Reconciler(system.handler, StreamDeadlines(system), system.clock, 30, attended)

    async def extended() -> bool:
        return "LeaseExtended" in await system.types()

    async with running(reconciler):
        await eventually(extended)
    state = await system.handler.state(job, "job")
    assert isinstance(state, Acquired)
    assert state.lease.expires_at == system.clock.now() + timedelta(seconds=30)
    system.clock.advance(30)
    await reconciler.tick()
    assert (await system.types()).count("LeaseExtended") == 1
    assert "AttemptLost" in await system.types()


async def test_no_lease_ends_while_no_gateway_is_there() -> None:
    """However long that lasts: each lease that runs out is extended, and the last one counts from the gateway's return."""
    system = System()
    job = await hold(system)
    there = True

    async def gateway() -> bool:
        return there

    reconciler = Reconciler(system.handler, StreamDeadlines(system), system.clock, 30, gateway)
    await reconciler.tick()
    there = False
    for _ in range(20):
        system.clock.advance(30)
        await reconciler.tick()
    there = True
    system.clock.advance(29)
    await reconciler.tick()
    assert (await system.types()).count("LeaseExtended") == 20
    assert isinstance(await system.handler.state(job, "job"), Acquired)
    system.clock.advance(1)
    await reconciler.tick()
    system.clock.advance(30)
    await reconciler.tick()
    assert "AttemptLost" in await system.types()


@pytest.mark.parametrize("kind", ["accept", "job"])
async def test_a_deadline_that_passed_in_an_outage_waits_for_what_the_runner_has_to_say(kind: str) -> None:
    """For one TTL; a runner that says nothing by then is out of time, and a job that began afterwards is on time."""
    system = System()
    job = await hold(system)
    state = await system.handler.state(job, "job")
    fence = {"runner": RUNNER, "attempt": 1, "epoch": 1, "lease": state.lease.lease}
    if kind == "job":
        await system.handler.handle(c.StartJob(job, **fence), ORIGIN)
    there = False

    async def gateway() -> bool:
        return there

    reconciler = Reconciler(system.handler, StreamDeadlines(system), system.clock, 30, gateway)
    system.clock.advance(365 * 60)
    await reconciler.tick()
    there = True
    if kind == "job":
        await system.handler.handle(c.RecordHeartbeat(job, **fence, lease_seconds=30), ORIGIN)
    system.clock.advance(29)
    await reconciler.tick()
    assert isinstance(await system.handler.state(job, "job"), Acquired if kind == "accept" else Running)
    system.clock.advance(1)
    await reconciler.tick()
    assert {"AttemptLost", "AttemptTimedOut"} & set(await system.types())


async def test_a_job_that_nobody_takes_ends_after_a_day() -> None:
    """The queue deadline is a tick like any other."""
    system = System()
    await system.push(WIDE)
    system.clock.advance(86_400)
    await Reconciler(system.handler, StreamDeadlines(system), system.clock, 30, attended).tick()
    page = await system.store.read(0)
    assert page is not None
    jobs = [event.stream for event in page.events if event.type == "JobCreated"]
    states = [await system.handler.state(job, "job") for job in jobs]
    assert all(isinstance(state, Done) and state.conclusion == "timed_out" for state in states)


class Due:
    """The port `Deadlines` of jobs whose leases have all ended."""

    def __init__(self, *jobs: UUID) -> None:
        self._jobs = jobs

    async def due(self, now: datetime, limit: int = 100) -> list[tuple[UUID, str]]:
        """See the port."""
        del now
        return [(job, "lease") for job in self._jobs][:limit]

    async def next_at(self) -> datetime | None:
        """See the port."""
        return None


async def test_a_job_of_a_newer_version_keeps_no_other_deadline_waiting() -> None:
    """Nothing can be decided on it here; the job behind it loses its lease in time."""
    system = System()
    strange = await hold(system)
    other: UUID = (await system.queued())["wide (2)"]
    await system.handler.handle(c.AcquireJob(other, RUNNER, "r", ("linux",), 30, 120), ORIGIN)
    system.store.append_of_newer_version(strange, "MoodChanged.v1")
    system.clock.advance(30)
    reconciler = Reconciler(system.handler, Due(strange, other), system.clock, 30, attended)
    assert await reconciler.tick() == 1
    assert isinstance(await system.handler.state(other, "job"), BackingOff)
    with pytest.raises(StreamUnreadable, match=r"MoodChanged\.v1"):
        await system.handler.latest(strange, "job")


async def test_the_reactor_goes_on_and_leaves_its_position_before_what_it_cannot_read() -> None:
    """A run behind the strange event is cancelled; newer code will begin at the event, as this code knows nothing of it."""
    system = System()
    strange = (await system.push(WIDE)).runs[0].run
    position = system.store.append_of_newer_version(strange, "MoodChanged.v1").position
    other = (await system.push(WIDE, key="k2")).runs[0].run
    await system.handler.handle(CancelRun(other, "by hand"), ORIGIN)

    async def completed() -> bool:
        return bool((await system.handler.state(other, "run")).conclusion == "cancelled")

    async with running(Reactor(system.handler, system.store, system.store)):
        await eventually(completed)
    assert await system.store.tracked(AGENT) < position


ENDLESS = """
on: push
jobs:
  a: {runs-on: linux, timeout-minutes: 100000, steps: [{run: x}]}
  b: {needs: a, if: success() || failure(), runs-on: linux, steps: [{run: x}]}
"""


async def test_a_run_that_takes_longer_than_its_limit_is_cancelled() -> None:
    """Not a second earlier; what has not begun never begins, and a second tick says nothing new."""
    system = System()
    run = (await system.push(ENDLESS)).runs[0].run
    job = (await system.queued())["a"]
    lease = RUN_MAX.total_seconds() * 2
    await system.handler.handle(c.AcquireJob(job, RUNNER, "r", ("linux",), lease, lease), ORIGIN)
    reconciler = Reconciler(system.handler, StreamDeadlines(system), system.clock, 30, attended)
    system.clock.advance(RUN_MAX.total_seconds() - 1)
    assert await reconciler.tick() == 0
    assert (await system.handler.handle(ExpireRun(run), ORIGIN)).events == ()
    system.clock.advance(1)
    assert await reconciler.tick() == 1
    assert await reconciler.tick() == 0
    await system.handler.handle(c.CancelJob(job, "the reactor says so", force=True), ORIGIN)
    state = await system.handler.state(run, "run")
    assert (state.conclusion, state.nodes["b"].result) == ("cancelled", "skipped")


IN_TURN = """
on: push
concurrency: {group: deploy, queue: max}
jobs:
  a: {runs-on: linux, timeout-minutes: 100000, steps: [{run: x}]}
"""


async def test_the_time_that_a_run_waits_for_its_group_does_not_count() -> None:
    """Its limit begins when it is let in; while it waits there is none, however long that takes."""
    system = System()
    first = (await system.push(IN_TURN, key="first")).runs[0].run
    second = (await system.push(IN_TURN, key="second")).runs[0].run
    system.clock.advance(RUN_MAX.total_seconds() - 1)
    (job,) = (await system.handler.state(first, "run")).live_jobs()
    system.clock.advance(11)
    assert (await system.handler.handle(ExpireRun(second), ORIGIN)).events == ()
    await system.handler.handle(c.CancelJob(job, "by hand"), ORIGIN)
    admitted = system.clock.now()
    assert (await system.handler.state(second, "run")).expires_at == admitted + RUN_MAX
    system.clock.advance(RUN_MAX.total_seconds() - 1)
    assert (await system.handler.handle(ExpireRun(second), ORIGIN)).events == ()
    system.clock.advance(1)
    assert (await system.handler.handle(ExpireRun(second), ORIGIN)).events != ()


async def test_a_runner_that_only_ever_sends_heartbeats_loses_the_job_at_its_limit() -> None:
    """The job's wall-clock limit holds without the runner's help, ten seconds after `timeout-minutes`."""
    system = System()
    await system.push(WIDE.replace("runs-on: linux", "runs-on: linux, timeout-minutes: 1"))
    job = (await system.queued())["wide (1)"]
    await system.handler.handle(c.AcquireJob(job, RUNNER, "r", ("linux",), 30, 120), ORIGIN)
    state = await system.handler.state(job, "job")
    fence = {"runner": RUNNER, "attempt": 1, "epoch": 1, "lease": state.lease.lease}
    await system.handler.handle(c.StartJob(job, **fence), ORIGIN)
    reconciler = Reconciler(system.handler, StreamDeadlines(system), system.clock, 30, attended)
    for _ in range(7):
        assert isinstance(await system.handler.state(job, "job"), Running)
        system.clock.advance(10)
        await system.handler.handle(c.RecordHeartbeat(job, **fence, lease_seconds=30), ORIGIN)
        await reconciler.tick()
    state = await system.handler.state(job, "job")
    assert isinstance(state, Done)
    assert state.conclusion == "timed_out"
    late = await system.handler.handle(c.RecordHeartbeat(job, **fence, lease_seconds=30), ORIGIN)
    assert late.refusal is not None
    assert late.refusal.code == "lease_lost"
