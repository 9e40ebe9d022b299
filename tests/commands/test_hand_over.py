"""A job that becomes ready while a runner waits is acquired in the commit that queues it."""

from collections.abc import Sequence
from uuid import UUID

import msgspec
import pytest

from commands.handle import Handler, Origin
from domain import ids
from domain.envelope import Recorded
from domain.job import commands as c
from domain.job.state import Acquired
from domain.ports import StoreUnavailable, StreamWrite, Tracking
from domain.scheduling.line import ReadyJob
from tests.domain.machine import CALLED, gathered, push
from tests.domain.scenario import JOB, RUNNER, created
from tests.fakes import FixedClock, MemoryBlobs, MemoryEventStore

ORIGIN = Origin("default", "someone", command=ids.command_id("test", "1"))


class OneRunner:
    """The port `ReadyJobs`: a runner that takes whatever comes; what it was told is kept."""

    def __init__(self, labels: tuple[str, ...] = ("linux",)) -> None:
        self.labels = labels
        self.settled: list[tuple[UUID, Acquired | None]] = []

    def reserve(self, jobs: Sequence[ReadyJob]) -> list[c.AcquireJob]:
        """See the port."""
        return [c.AcquireJob(job.job, RUNNER, "r1", self.labels, 30, 120) for job in jobs]

    def settle(self, job: UUID, state: Acquired | None) -> None:
        """See the port."""
        self.settled.append((job, state))


class CountingStore(MemoryEventStore):
    """Keeps what each append brought."""

    def __init__(self) -> None:
        super().__init__()
        self.appends: list[list[str]] = []

    async def append(self, writes: Sequence[StreamWrite], tracking: Tracking | None = None) -> tuple[Recorded, ...]:
        """See the port."""
        self.appends.append([type(event.data).__name__ for write in writes for event in write.events])
        return await super().append(writes, tracking)


def handler(store: MemoryEventStore, clock: FixedClock | None = None) -> tuple[Handler, OneRunner]:
    made = Handler(store, clock or FixedClock(), MemoryBlobs())
    made.ready = runner = OneRunner()
    return made, runner


async def test_queued_and_acquired_are_one_append() -> None:
    """The runner is told after the commit; the acquisition names the runner as actor and JobQueued as its cause."""
    store = CountingStore()
    gateway, runner = handler(store)
    outcome = await gateway.handle(c.CreateJob(JOB, created()), ORIGIN)
    assert store.appends == [["JobCreated", "JobQueued", "JobAcquired"]]
    assert runner.settled == [(JOB, outcome.state)]
    _, queued, acquired = outcome.events
    assert (acquired.meta.actor, acquired.meta.command, acquired.meta.cause) == (f"runner:{RUNNER}", None, queued.id)


async def test_a_retry_is_handed_over_too() -> None:
    """JobRetried is the return to the queue; the run is told in the same commit."""
    store, clock = CountingStore(), FixedClock()
    gateway, runner = handler(store, clock)
    workflow = gathered("on: push\njobs: {a: {runs-on: linux, steps: [{run: a}]}}", CALLED)
    plan, payload = [await gateway.blobs.put(each) for each in (msgspec.json.encode(workflow), b"{}")]
    trigger = push("one", workflow, plan, payload)
    await gateway.handle(trigger, ORIGIN)
    (job,) = (await gateway.state(trigger.run, "run")).live_jobs()
    await gateway.handle(c.ReportLost(job, 1, "not_started"), ORIGIN)
    clock.advance(5)
    await gateway.handle(c.Expire(job, "retry"), ORIGIN)
    assert store.appends[1:] == [
        ["AttemptLost", "JobHeld", "RunClockStopped"],
        ["JobRetried", "JobAdmitted", "RunClockResumed", "JobAcquired"],
    ]
    assert len(runner.settled) == 2


async def test_a_commit_that_fails_gives_the_slot_back() -> None:
    """Nothing is in the log, and the runner is told so."""
    store = CountingStore()
    gateway, runner = handler(store)
    await gateway.state(JOB, "job")
    store.append = _unavailable  # type: ignore[method-assign]  # the store goes away between load and append
    with pytest.raises(StoreUnavailable):
        await gateway.handle(c.CreateJob(JOB, created()), ORIGIN)
    assert runner.settled == [(JOB, None)]


async def test_a_refused_acquisition_leaves_the_job_in_the_queue() -> None:
    """The commit goes on without it."""
    store = CountingStore()
    gateway, runner = handler(store)
    runner.labels = ("windows",)
    await gateway.handle(c.CreateJob(JOB, created()), ORIGIN)
    assert store.appends == [["JobCreated", "JobQueued"]]
    assert runner.settled == [(JOB, None)]


async def test_another_gateway_that_was_first_costs_one_more_try() -> None:
    """The slot is given back, decided on anew and handed over in the commit that goes through."""
    store = CountingStore()
    gateway, runner = handler(store)
    await gateway.state(JOB, "job")
    first = store.append

    async def once(writes: Sequence[StreamWrite], tracking: Tracking | None = None) -> tuple[Recorded, ...]:
        store.append = first  # type: ignore[method-assign]  # only the first append finds another writer before it
        other, _ = handler(store)
        other.ready = None
        await other.handle(c.CreateJob(JOB, created()), ORIGIN)
        return await first(writes, tracking)

    store.append = once  # type: ignore[method-assign]  # see above
    outcome = await gateway.handle(c.CreateJob(JOB, created()), ORIGIN)
    assert outcome.events == ()
    assert runner.settled == [(JOB, None)]


async def test_many_acquisitions_are_one_append() -> None:
    """Each with its own runner; one that is refused leaves the others alone."""
    store = CountingStore()
    gateway = Handler(store, FixedClock(), MemoryBlobs())
    jobs = [ids.job_id(created().run, 1, f"job{n}", "") for n in range(20)]
    for job in jobs[:-1]:
        await gateway.handle(c.CreateJob(job, created()), ORIGIN)
    store.appends.clear()
    orders = [(c.AcquireJob(job, ids.runner_id("default", str(n)), "r", ("linux",), 30, 120), ORIGIN) for n, job in enumerate(jobs)]
    outcomes = await gateway.handle_each(orders)
    assert [len(types) for types in store.appends] == [19]
    assert [outcome.refusal is None for outcome in outcomes] == [True] * 19 + [False]


async def _unavailable(*_: object) -> None:
    raise StoreUnavailable("the store is away")
