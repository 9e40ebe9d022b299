"""The agent of deliveries: one answer each, in the order of the log, also after a crash and beside a second agent."""

import asyncio
from typing import Any
from uuid import UUID

import msgspec

from commands.answering import Answering, Away, Commit
from commands.deliveries import AGENT, Deliveries
from commands.handle import Origin
from commands.trigger import WorkflowFile
from domain import delivery as d
from domain import ids
from domain.repository import Repository
from domain.repository_commands import RegisterRepository
from domain.webhooks.incoming import Incoming
from tests.commands.test_agents import eventually, running
from tests.commands.test_trigger import System

TENANT = "default"
SHA = "a" * 40
TEXT = "on: push\njobs: {only: {runs-on: linux, steps: [{run: a}]}}\n"


class Forge:
    """Reads commits as the test says. away: repositories whose forge is away; gate: lets a read go on; asked: whose, in order."""

    def __init__(self) -> None:
        self.away: set[str] = set()
        self.gate = asyncio.Event()
        self.gate.set()
        self.asked: list[str] = []

    async def read(self, _repository: UUID, state: Repository, event: Incoming) -> Commit:
        """See the port."""
        name = state.registered.full_name
        self.asked.append(f"{name} {event.sha[:1]}")
        await self.gate.wait()
        if name in self.away:
            raise Away("nobody listens")
        return Commit(event.sha, (WorkflowFile("ci.yml", TEXT),))


class Site:
    """A server in memory with its agent."""

    def __init__(self) -> None:
        self.system = System()
        self.forge = Forge()
        answering = Answering(self.system.handler, self.system.blobs, self.forge)
        self.agent = lambda: Deliveries(self.system.handler, self.system.store, self.system.store, self.system.clock, answering)

    async def take(self, key: str, full_name: str = "acme/pay", sha: str = SHA) -> UUID:
        """A push arrives."""
        repository = ids.repository_id(TENANT, "github", full_name)
        origin = Origin(TENANT, "webhook:github", command=ids.command_id("test", key))
        await self.system.handler.handle(RegisterRepository(repository, full_name, "github", "https://forge.invalid/x"), origin)
        payload = {"ref": "refs/heads/main", "after": sha, "repository": {"full_name": full_name}}
        digest = await self.system.blobs.put(msgspec.json.encode(payload))
        delivery = ids.delivery_id(TENANT, "github", full_name, key)
        received = d.WebhookReceived("github", "push", key, repository, full_name, digest, 2)
        await self.system.handler.handle(d.ReceiveWebhook(delivery, received), origin)
        return delivery

    async def status(self, delivery: UUID) -> str:
        """How far it is."""
        state: d.Delivery = await self.system.handler.latest(delivery, "delivery")
        return state.status

    async def is_over(self, *deliveries: UUID) -> None:
        """Wait until they are answered."""

        async def over() -> bool:
            return all([await self.status(each) == "answered" for each in deliveries])

        await eventually(over)

    async def types(self) -> list[str]:
        """The types of all events."""
        page = await self.system.store.read(0)
        return [event.type for event in page.events] if page else []


async def test_a_crash_between_reading_and_answering_repeats_no_run() -> None:
    """The agent dies while it reads the commit; the next one finds the delivery, and there is one run."""
    site = Site()
    site.forge.gate.clear()
    delivery = await site.take("k1")
    async with running(site.agent()):

        async def asked() -> bool:
            return bool(site.forge.asked)

        await eventually(asked)
    assert "WebhookAnswered" not in await site.types()
    site.forge.gate.set()
    async with running(site.agent()):
        await site.is_over(delivery)
    async with running(site.agent()):
        second = await site.take("k2")
        await site.is_over(second)
    types = await site.types()
    assert (types.count("WebhookAnswered"), types.count("RunTriggered")) == (2, 2)


async def test_two_agents_answer_each_delivery_once() -> None:
    """Both read everything; each delivery has one answer and one run."""
    site = Site()
    async with running(site.agent()), running(site.agent()):
        deliveries = [await site.take(f"k{number}", f"acme/p{number % 3}") for number in range(12)]
        await site.is_over(*deliveries)
    types = await site.types()
    assert (types.count("WebhookAnswered"), types.count("RunTriggered")) == (12, 12)


async def test_a_forge_that_is_away_holds_up_its_own_repository_only_and_its_order_stays() -> None:
    """The other repository is answered meanwhile; when the forge is back, its deliveries are answered as they came."""
    site = Site()
    site.forge.away.add("acme/far")
    async with running(site.agent()):
        far = [await site.take(f"k{number}", "acme/far", str(number) * 40) for number in range(2)]
        near = await site.take("near", "acme/near")
        await site.is_over(near)

        async def deferred() -> bool:
            return await site.status(far[0]) == "deferred"

        await eventually(deferred)
        assert await site.status(far[1]) == "received"
        site.forge.away.clear()
    site.system.clock.advance(60)
    async with running(site.agent()):
        await site.is_over(*far)
    asked = [each for each in site.forge.asked if each.startswith("acme/far")]
    assert asked.index("acme/far 1") > max(number for number, each in enumerate(asked) if each == "acme/far 0") - 1


async def test_the_recorded_position_stays_before_what_is_open() -> None:
    """It moves on when everything is answered, and not before."""
    site = Site()
    site.forge.away.add("acme/far")
    async with running(site.agent()):
        first = await site.take("k1", "acme/far")
        second = await site.take("k2", "acme/near")
        await site.is_over(second)

        async def noted() -> bool:
            return await site.system.store.tracked(AGENT) > 0

        await eventually(noted)
        opened = await site.system.handler.position(first, 1)
        assert await site.system.store.tracked(AGENT) < opened
        site.forge.away.clear()
        site.system.clock.advance(60)


async def test_a_fault_of_this_code_is_told_and_tried_again() -> None:
    """Whatever goes wrong becomes a deferral with its words; the agent lives on."""
    site = Site()
    honest, broken = site.forge.read, [True]

    async def read(*arguments: Any) -> Commit:
        if broken:
            broken.clear()
            raise ZeroDivisionError("a fault")
        return await honest(*arguments)

    site.forge.read = read  # type: ignore[method-assign]  # this forge is the test's own
    async with running(site.agent()):
        delivery = await site.take("k1")

        async def deferred() -> bool:
            return await site.status(delivery) == "deferred"

        await eventually(deferred)
        state: d.Delivery = await site.system.handler.latest(delivery, "delivery")
        assert state.reason == "ZeroDivisionError: a fault"
    site.system.clock.advance(60)
    async with running(site.agent()):
        await site.is_over(delivery)
