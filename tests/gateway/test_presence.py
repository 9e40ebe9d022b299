"""Who is there, where a runner may go from one gateway to the other."""

from collections.abc import Collection
from uuid import UUID

from commands.handle import Origin
from domain import ids
from domain.run.commands import RegisterRunner
from domain.runner_pool import Runner
from gateway.presence import Presence
from tests.commands.test_trigger import System

RUNNER = ids.runner_id("default", "r")
ORIGIN = Origin("default", "runner:r", command=ids.command_id("test", "r"))
SILENT_SECONDS = 30.0


class Site:
    """A store with a runner, and what its gateways tell each other. at: monotonic seconds; polls_at: the gateway of its poll."""

    def __init__(self) -> None:
        self.system = System()
        self.at = 0.0
        self.polls_at = ""
        self.told: dict[UUID, tuple[str, float]] = {}

    def gateway(self, name: str) -> Presence:
        """The agent of another gateway."""
        return Presence(self.system.handler, SILENT_SECONDS, lambda _: self.polls_at == name, Words(self, name), lambda: self.at)

    async def runner(self) -> Runner:
        """Its state."""
        found: Runner = await self.system.handler.latest(RUNNER, "runner")
        return found

    async def pass_by(self, seconds: float, *gateways: Presence) -> None:
        """Time goes by, and each of these looks as often as it does."""
        for _ in range(int(seconds / SILENT_SECONDS * 4)):
            self.at += SILENT_SECONDS / 4
            for each in gateways:
                await each.sweep()


class Words:
    """The port `Sightings` in memory; see infra.sightings for the real one."""

    def __init__(self, site: Site, teller: str) -> None:
        self.site = site
        self.teller = teller

    async def tell(self, runners: Collection[UUID]) -> None:
        """See the port."""
        self.site.told.update(dict.fromkeys(runners, (self.teller, self.site.at)))

    async def elsewhere(self, runners: Collection[UUID], seconds: float) -> set[UUID]:
        """See the port."""
        told = {runner: self.site.told[runner] for runner in runners if runner in self.site.told}
        return {runner for runner, (teller, at) in told.items() if teller != self.teller and at > self.site.at - seconds}


async def test_a_runner_that_goes_to_another_gateway_is_there_all_the_time() -> None:
    """Neither the gateway that it left nor one that starts anew takes it for silent; when it is silent, one of them says so."""
    site = Site()
    await site.system.handler.handle(RegisterRunner(RUNNER, "r", (), 1, "linux", "x64", "0"), ORIGIN)
    one, two = site.gateway("one"), site.gateway("two")
    for name, gateway in (("one", one), ("two", two)):
        site.polls_at = name
        await gateway.arrived(RUNNER, ORIGIN, online=(await site.runner()).online)
        await site.pass_by(3 * SILENT_SECONDS, one, two)
        gateway.seen(RUNNER)  # its poll ends
    three = site.gateway("three")
    three.expect(RUNNER)
    site.polls_at = "two"
    await site.pass_by(3 * SILENT_SECONDS, one, two, three)
    assert (await site.runner()).online
    kinds = [event.type for event in await site.system.store.load(RUNNER)]
    assert kinds == ["RunnerRegistered", "RunnerOnline"]
    two.seen(RUNNER)
    site.polls_at = ""
    await site.pass_by(SILENT_SECONDS / 2, one, three)
    assert (await site.runner()).online
    await site.pass_by(2 * SILENT_SECONDS, one, three)
    assert not (await site.runner()).online, "the gateway that it used last is gone with it"
