"""The agent that sends: everything once in order while all goes well, again where it does not, and never past what is open."""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
import pytest

from commands.handle import Handler, Origin
from commands.subscribers import Answer, Sent, Standing, Subscriber, Subscribers, Turn, Waiting
from domain import ids, outgoing
from domain.envelope import Meta, Recorded
from domain.outgoing import Failing
from domain.ports import NewEvent, StoreUnavailable, StreamWrite
from domain.runner_pool import RunnerOffline
from domain.subscription import CreateSubscription, Subscription
from domain.token import TokenUsed
from tests.fakes import MemoryBlobs, MemoryEventStore

TAKEN, REFUSED, GONE = Answer(204), Answer(500, "it answered 500"), Answer(410, "it answered 410")


class NowClock:
    """The machine's time, so that pauses pass."""

    def now(self) -> datetime:
        return datetime.now(UTC)


class MemoryOutbox:
    """What was sent, in memory, with the rules of the real one; see tests/infra/test_outbox.py."""

    def __init__(self) -> None:
        self.known: dict[UUID, Subscriber] = {}
        self.positions: dict[UUID, int] = {}
        self.taken: dict[UUID, datetime] = {}
        self.rows: dict[UUID, dict[int, Sent]] = defaultdict(dict)
        self.turns = asyncio.Lock()
        self.lost = False

    @contextlib.asynccontextmanager
    async def turn(self) -> AsyncIterator[Turn]:
        async with self.turns:
            yield self

    async def subscribers(self) -> list[Subscriber]:
        if self.lost:
            self.lost = False
            raise StoreUnavailable("gone")
        return list(self.known.values())

    async def standing(self, subscriber: Subscriber) -> Standing:
        position = self.positions.get(subscriber.id, subscriber.position)
        beyond = {place: sent for place, sent in self.rows[subscriber.id].items() if place > position}
        waiting = {p: Waiting(Failing(s.attempts, s.since, s.answer.status), s.retry_at) for p, s in beyond.items() if s.retry_at}
        return Standing(position, self.taken.get(subscriber.id), frozenset(beyond) - waiting.keys(), waiting)

    async def record(self, subscription: UUID, sent: Sent, position: int) -> None:
        self.rows[subscription][sent.event.position] = sent
        if sent.outcome == "delivered":
            self.taken[subscription] = sent.at
        await self.note(subscription, position)

    async def note(self, subscription: UUID, position: int) -> None:
        self.positions[subscription] = max(position, self.positions.get(subscription, 0))


class World:
    """A log, subscribers, and what they say: `answers` is asked for each event that is sent."""

    def __init__(self) -> None:
        self.store, self.outbox, self.clock = MemoryEventStore(), MemoryOutbox(), NowClock()
        self.handler = Handler(self.store, self.clock, MemoryBlobs())
        self.got: list[tuple[UUID, int]] = []
        self.answers: Callable[[Subscriber, Recorded], Answer | Awaitable[Answer]] = lambda _subscriber, _event: TAKEN

    async def send(self, subscriber: Subscriber, event: Recorded) -> Answer:
        self.got.append((subscriber.id, event.position))
        answer = self.answers(subscriber, event)
        return answer if isinstance(answer, Answer) else await answer

    async def subscribe(self, name: str = "one", tenant: str = "default", types: tuple[str, ...] = ("TokenUsed",)) -> Subscriber:
        command = ids.command_id("test", name)
        stream = ids.subscription_id(tenant, command)
        made = await self.handler.handle(CreateSubscription(stream, "https://hooks.example/", types), Origin(tenant, "x", command=command))
        subscriber = Subscriber(stream, tenant, "https://hooks.example/", types, made.position, 1, made.events[0].meta.at)
        self.outbox.known[stream] = subscriber
        return subscriber

    async def happen(self, line: str = "a", data: Any = None, tenant: str = "default", run: bool = True) -> int:
        """An event of a stream, which is a run's; its position."""
        stream = ids.derive("stream", line)
        meta = Meta(datetime.now(UTC), tenant, "x", command=stream, correlation=ids.derive("run", line) if run else None)
        version = len(await self.store.load(stream))
        (event,) = await self.store.append([StreamWrite(stream, version, (NewEvent(data or TokenUsed(), meta),))])
        return event.position

    @contextlib.asynccontextmanager
    async def working(self, count: int = 1) -> AsyncIterator[None]:
        agents = [Subscribers(self.handler, self.store, self.clock, self.outbox, self.send) for _ in range(count)]
        tasks = [asyncio.create_task(agent.run()) for agent in agents]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(60):
            while not holds():
                await asyncio.sleep(0.005)  # the agent's own task works meanwhile

    def positions(self, subscriber: Subscriber) -> list[int]:
        return [position for identity, position in self.got if identity == subscriber.id]


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses of milliseconds."""
    monkeypatch.setattr("commands.subscribers.LOOK_SECONDS", 0.01)
    monkeypatch.setattr("commands.subscribers.NOTE_SECONDS", 0.01)
    monkeypatch.setattr(outgoing, "BACKOFF_SECONDS", 0.001)
    monkeypatch.setattr(outgoing, "BACKOFF_SECONDS_MAX", 0.004)


async def test_each_subscriber_gets_what_it_wants_of_its_tenant_from_its_beginning_on() -> None:
    """Not what was before, not other types, not another tenant's."""
    world = World()
    await world.happen()
    one, all_of_them = await world.subscribe(), await world.subscribe("two", types=("*",))
    other = await world.subscribe("three", tenant="acme")
    async with world.working():
        used, offline = await world.happen(), await world.happen("b", RunnerOffline("x"))
        acmes = await world.happen("c", tenant="acme")
        await world.until(lambda: len(world.got) == 4)
        await world.until(lambda: world.outbox.positions.get(other.id) == acmes)
    assert (world.positions(one), world.positions(other)) == ([used], [acmes])
    assert world.positions(all_of_them) == [used, offline]
    assert world.outbox.positions[one.id] >= used


async def test_events_of_one_run_come_in_order_also_past_failures_and_those_of_others_do_not_wait() -> None:
    """The first of run a is refused a few times; run b goes on meanwhile."""
    world = World()
    one = await world.subscribe()
    refused, over = 3, asyncio.Event()
    first = await world.happen("a")
    later = [await world.happen("a") for _ in range(3)]
    others = [await world.happen("b") for _ in range(3)]

    async def answers(event: Recorded) -> Answer:
        nonlocal refused
        if event.position == first and refused:
            refused -= 1
            await over.wait()
            return REFUSED
        return TAKEN

    world.answers = lambda _subscriber, event: answers(event)
    async with world.working():
        await world.until(lambda: set(others) <= set(world.positions(one)))
        assert not set(later) & set(world.positions(one))
        assert world.outbox.positions.get(one.id, 0) < first, "what is open is not passed"
        over.set()
        await world.until(lambda: world.outbox.positions.get(one.id, 0) >= others[-1])
    got = world.positions(one)
    assert [each for each in got if each in (first, *later)] == [first] * 4 + later
    assert world.outbox.rows[one.id][first].attempts == 4


async def test_a_restart_goes_on_where_it_was_and_counts_the_attempts_of_before() -> None:
    """What was taken beyond an open event is not sent again; the open one is, as its next attempt."""
    world = World()
    one = await world.subscribe()
    first, second = await world.happen("a"), await world.happen("b")
    world.answers = lambda _subscriber, event: REFUSED if event.position == first else TAKEN
    async with world.working():
        await world.until(lambda: {first, second} <= world.outbox.rows[one.id].keys())
        await world.until(lambda: world.outbox.rows[one.id][second].outcome == "delivered")
    before = world.outbox.rows[one.id][first]
    world.got.clear()
    world.answers = lambda _subscriber, _event: TAKEN
    async with world.working():
        await world.until(lambda: world.outbox.positions.get(one.id, 0) >= second)
    assert world.positions(one) == [first]
    after = world.outbox.rows[one.id][first]
    assert (after.outcome, after.attempts, after.since) == ("delivered", before.attempts + 1, before.since)


async def test_of_two_processes_one_sends_and_the_other_takes_over_when_the_turn_is_lost() -> None:
    """Nothing twice, nothing left out."""
    world = World()
    one = await world.subscribe()
    async with world.working(2):
        for number in range(30):
            await world.happen(f"run {number % 5}")
            if number == 15:
                await world.until(lambda: len(world.got) == 16)
                await world.until(lambda: world.outbox.positions.get(one.id, 0) >= world.got[-1][1])
                world.outbox.lost = True
                await world.until(lambda: not world.outbox.lost)
        await world.until(lambda: len(set(world.positions(one))) == 30)
    assert len(world.got) == 30


async def test_an_event_that_is_always_refused_is_given_up_while_others_are_taken() -> None:
    """And what follows it in its run is sent."""
    world = World()
    one = await world.subscribe()
    first, second = await world.happen("a"), await world.happen("a")
    world.answers = lambda _subscriber, event: REFUSED if event.position == first else TAKEN
    async with world.working():
        while world.outbox.rows[one.id].get(second) is None:
            await world.happen("b")
            await asyncio.sleep(0.005)  # time for an attempt
    sent = world.outbox.rows[one.id][first]
    assert (sent.outcome, sent.attempts, sent.retry_at) == ("failed", outgoing.ATTEMPTS_MAX, None)


async def test_a_subscriber_that_is_gone_is_disabled_with_the_reason_and_loses_nothing() -> None:
    """Others are served; enabled again it goes on with the same event."""
    world = World()
    one, two = await world.subscribe(), await world.subscribe("two")
    first = await world.happen()
    world.answers = lambda subscriber, _event: GONE if subscriber.id == one.id else TAKEN
    async with world.working():
        async with asyncio.timeout(60):
            while (state := await disabled(world, one)) is None:
                await asyncio.sleep(0.005)  # the agent's own task works meanwhile
        assert state.version == 2
        del world.outbox.known[one.id]
        second = await world.happen()
        await world.until(lambda: world.positions(two) == [first, second])
        world.answers = lambda _subscriber, _event: TAKEN
        world.outbox.known[one.id] = msgspec.structs.replace(one, version=3, enabled_at=datetime.now(UTC))
        await world.until(lambda: world.outbox.positions.get(one.id, 0) >= second)
    assert world.positions(one) == [first, first, second]
    reason = (await world.store.load(one.id))[1].data.reason
    assert "410" in reason


async def disabled(world: World, one: Subscriber) -> Subscription | None:
    """The subscription once it is disabled."""
    state: Subscription = await world.handler.latest(one.id, "subscription")
    return None if state.enabled else state


async def test_a_subscriber_that_does_not_answer_holds_up_itself_only() -> None:
    """It hangs with all that may be under way to it; the other one gets everything, and the window bounds what is held."""
    world = World()
    one, two = await world.subscribe(), await world.subscribe("two")

    async def hang() -> Answer:
        await asyncio.Event().wait()
        return TAKEN

    world.answers = lambda subscriber, _event: hang() if subscriber.id == one.id else TAKEN
    async with world.working():
        wanted = [await world.happen(f"run {number}") for number in range(200)]
        await world.until(lambda: len(world.positions(two)) == 200)
    assert sorted(world.positions(two)) == wanted
    assert len(world.positions(one)) == 4
