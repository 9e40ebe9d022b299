"""The one loop of the write side, over the store's conforming fake."""

import asyncio
from typing import Any
from uuid import UUID

import pytest

from commands.handle import Handler, Origin
from domain import ids
from domain.envelope import Recorded
from domain.job import commands as c
from domain.job.state import Acquired, Queued
from domain.ports import StoreUnavailable, Tracking, TrackingConflict
from domain.refusals import Refusal
from tests.domain.scenario import JOB, OTHER_RUNNER, RUN, RUNNER, created, lease
from tests.fakes import FixedClock, MemoryBlobs, MemoryEventStore

ORIGIN = Origin("default", "someone", command=ids.command_id("test", "1"))
NOBODY = Origin("default", "system")


def handler(store: MemoryEventStore) -> Handler:
    return Handler(store, FixedClock(), MemoryBlobs())


def acquire(runner: Any = RUNNER) -> c.AcquireJob:
    return c.AcquireJob(JOB, runner, "r", ("linux",), 30, 120)


async def types(store: MemoryEventStore) -> list[str]:
    page = await store.read(0)
    return [event.type for event in page.events] if page else []


async def test_a_command_is_answered_after_its_events_are_in_the_log() -> None:
    """The outcome names the events, the position of the last one and the state afterwards."""
    store = MemoryEventStore()
    outcome = await handler(store).handle(c.CreateJob(JOB, created()), ORIGIN)
    assert [event.type for event in outcome.events] == ["JobCreated", "JobQueued"]
    assert outcome.position == await store.head() == 2
    assert await types(store) == ["JobCreated", "JobQueued"]


async def test_a_repeat_is_answered_with_the_position_of_the_stream() -> None:
    """Nothing is appended, and the answer waits for what the first one wrote."""
    store = MemoryEventStore()
    gateway = handler(store)
    await gateway.handle(c.CreateJob(JOB, created()), ORIGIN)
    outcome = await gateway.handle(c.CreateJob(JOB, created()), ORIGIN)
    assert outcome.events == ()
    assert outcome.position == 2


class LoadsCounted(MemoryEventStore):
    """Keeps which streams were looked for."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[UUID] = []

    async def load(self, stream: UUID, after: int = 0) -> tuple[Recorded, ...]:
        """See the port."""
        self.loads.append(stream)
        return await super().load(stream, after)


async def test_a_new_stream_is_not_looked_for() -> None:
    """The append finds out that it is new; only a repeat at another gateway has to read it, and changes nothing."""
    store = LoadsCounted()
    await handler(store).handle(c.CreateJob(JOB, created()), ORIGIN)
    assert store.loads == []
    outcome = await handler(store).handle(c.CreateJob(JOB, created()), ORIGIN)
    assert (outcome.events, outcome.position, outcome.refusal) == ((), 2, None)
    assert JOB in store.loads
    assert await types(store) == ["JobCreated", "JobQueued"]


async def test_two_gateways_hand_a_job_out_once() -> None:
    """Both think that the job is queued; the expected version lets one through, the other one is refused."""
    store = MemoryEventStore()
    first, second = handler(store), handler(store)
    await first.handle(c.CreateJob(JOB, created()), ORIGIN)
    await second.state(JOB, "job")
    one = await first.handle(acquire(), NOBODY)
    two = await second.handle(acquire(OTHER_RUNNER), NOBODY)
    assert one.refusal is None
    assert two.refusal is not None
    assert two.refusal.code == "not_queued"
    assert (await types(store)).count("JobAcquired") == 1


async def test_an_old_cache_refuses_nobody() -> None:
    """A refusal is only given from a state that was just read: the other gateway has started the job meanwhile."""
    store = MemoryEventStore()
    first, second = handler(store), handler(store)
    await first.handle(c.CreateJob(JOB, created()), ORIGIN)
    await second.state(JOB, "job")
    await first.handle(acquire(), NOBODY)
    outcome = await second.handle(c.StartJob(JOB, RUNNER, 1, 1, lease()), ORIGIN)
    assert outcome.refusal is None
    assert [event.type for event in outcome.events] == ["JobStarted"]


async def test_a_state_that_is_looked_at_knows_what_others_did_once_that_was_heard() -> None:
    """Two processes: what one appends, the other sees when it hears of it, and at once when it asks for the latest."""
    store = MemoryEventStore()
    one, other = handler(store), handler(store)
    await one.handle(c.CreateJob(JOB, created()), ORIGIN)
    taken = await other.handle(acquire(), NOBODY)
    assert isinstance(await one.state(JOB, "job"), Queued)
    assert isinstance(await one.latest(JOB, "job"), Acquired)
    one.hear(taken.events)
    assert isinstance(await one.state(JOB, "job"), Acquired)


async def test_a_stale_write_is_refused_and_kept_as_evidence() -> None:
    """The refusal goes to the runner, the evidence into the log."""
    store = MemoryEventStore()
    gateway = handler(store)
    await gateway.handle(c.CreateJob(JOB, created()), ORIGIN)
    await gateway.handle(acquire(), NOBODY)
    outcome = await gateway.handle(c.StartJob(JOB, RUNNER, 1, 0, lease()), ORIGIN)
    assert isinstance(outcome.refusal, Refusal)
    assert outcome.refusal.code == "lease_lost"
    assert (await types(store))[-1] == "StaleWriteRejected"


async def test_many_writers_of_one_stream_take_turns() -> None:
    """Fifty heartbeats at once through one gateway: each is decided on what the one before it left."""
    store = MemoryEventStore()
    clock = FixedClock()
    gateway = Handler(store, clock, MemoryBlobs())
    await gateway.handle(c.CreateJob(JOB, created()), ORIGIN)
    await gateway.handle(acquire(), NOBODY)
    beats = [c.RecordHeartbeat(JOB, RUNNER, 1, 1, lease(), 30 + n) for n in range(1, 51)]
    outcomes = await asyncio.gather(*(gateway.handle(beat, ORIGIN) for beat in beats))
    assert all(outcome.refusal is None for outcome in outcomes)
    assert (await types(store)).count("HeartbeatRecorded") == 50


async def test_an_agent_moves_with_its_effects_or_not_at_all() -> None:
    """The position and the events are one commit; a second agent at the old position writes nothing."""
    store = MemoryEventStore()
    gateway = handler(store)
    await gateway.handle_all([c.CreateJob(JOB, created())], ORIGIN, Tracking("agent", 0, 5))
    assert await store.tracked("agent") == 5
    with pytest.raises(TrackingConflict):
        await gateway.handle_all([c.CancelJob(JOB, "x")], ORIGIN, Tracking("agent", 0, 6))
    assert await types(store) == ["JobCreated", "JobQueued"]


async def test_a_lost_store_acknowledges_nothing_and_is_used_again_when_it_is_back() -> None:
    """The command fails, the log is as before, and the same command succeeds later."""
    store = MemoryEventStore()
    gateway = handler(store)
    store.available = False
    with pytest.raises(StoreUnavailable):
        await gateway.handle(c.CreateJob(JOB, created()), ORIGIN)
    store.available = True
    outcome = await gateway.handle(c.CreateJob(JOB, created()), ORIGIN)
    assert len(outcome.events) == 2


async def test_every_event_has_a_cause_or_a_command_and_its_run() -> None:
    """What nobody sent is caused by what the stream said last; the correlation is the run."""
    store = MemoryEventStore()
    gateway = handler(store)
    await gateway.handle(c.CreateJob(JOB, created()), ORIGIN)
    await gateway.handle(acquire(), NOBODY)
    events = await store.load(JOB)
    assert [event.meta.command for event in events] == [ORIGIN.command, ORIGIN.command, None]
    assert [event.meta.cause for event in events] == [None, None, events[1].id]
    assert {event.meta.correlation for event in events} == {RUN}
