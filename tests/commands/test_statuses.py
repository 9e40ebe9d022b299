"""The agent of commit statuses: each state of a run told once, in order, also after a crash, and never in anybody's way."""

import asyncio
from typing import Any

from commands.statuses import AGENT, NotTold, Report, Statuses, context_of, sha_of
from commands.trigger import RepositoryFacts
from domain import ids
from domain.invariants import check
from domain.repository import RepositoryRegistered
from tests.commands.test_agents import eventually, running
from tests.commands.test_trigger import System

ONE = "on: push\njobs: {only: {runs-on: linux, steps: [{run: a}]}}\n"
FORGE = RepositoryFacts("acme/pay", "github", "https://github.com/acme/pay.git")
SHA = "1" * 40
STATUS = ids.commit_status_id(ids.repository_id("default", "github", "acme/pay"), SHA, "ledgermill/ci (push)")


class Forge:
    """Takes statuses as the test says. away: what it says instead of taking one; gate: lets a status through."""

    def __init__(self) -> None:
        self.told: list[Report] = []
        self.away: NotTold | None = None
        self.tried = 0
        self.gate = asyncio.Event()
        self.gate.set()

    def knows(self, tenant: str, facts: RepositoryRegistered) -> bool:
        """Its own repositories."""
        return tenant == "default" and facts.clone_url.startswith("https://github.com/")

    async def tell(self, _tenant: str, _facts: RepositoryRegistered, report: Report) -> None:
        """See the port."""
        self.tried += 1
        await self.gate.wait()
        if self.away is not None:
            raise self.away
        self.told.append(report)


class Site:
    """A server in memory with its agent."""

    def __init__(self) -> None:
        self.system = System()
        self.forge = Forge()
        system = self.system
        self.agent = lambda: Statuses(
            system.handler, system.store, system.store, system.clock, forges=self.forge, url=lambda run: f"https://ci.example/{run}"
        )

    async def push(self, key: str = "k1", facts: RepositoryFacts = FORGE, **changes: Any) -> Any:
        """A run is planned; its id."""
        outcome = await self.system.push(ONE, key, repository=facts, **changes)
        return outcome.runs[0].run

    async def finish(self, run: Any, conclusion: str = "success") -> None:
        """Its job is done."""
        state = await self.system.handler.state(run, "run")
        await self.system.perform(state.live_jobs()[0], conclusion)

    async def status(self) -> Any:
        """How far the status is."""
        return await self.system.handler.latest(STATUS, "commit_status")

    async def until(self, progress: str) -> Any:
        """Wait for it."""

        async def reached() -> bool:
            state = await self.status()
            return state is not None and state.progress == progress

        await eventually(reached)
        return await self.status()

    async def sound(self) -> None:
        """The log keeps the invariants."""
        page = await self.system.store.read(0)
        assert page is not None
        assert check(page.events) == []


async def test_a_run_is_told_when_it_begins_and_when_it_ends() -> None:
    """Pending, then what became of it, each once, with the run's own place; a restart of the agent tells nothing again."""
    site = Site()
    async with running(site.agent()):
        run = await site.push()
        await site.until("told")
        await site.finish(run, "failure")

        async def ended() -> bool:
            return len(site.forge.told) == 2

        await eventually(ended)
        await site.until("told")
    before = len(await site.system.types())
    async with running(site.agent()):
        other = await site.push("k2", sha="2" * 40)

        async def third() -> bool:
            return len(site.forge.told) == 3

        await eventually(third)
    assert [(report.state, report.description) for report in site.forge.told] == [
        ("pending", "Run #1 is under way"),
        ("failure", "Run #1: failure"),
        ("pending", "Run #2 is under way"),
    ]
    first, _, third_ = site.forge.told
    assert (first.sha, first.context, first.url) == (SHA, "ledgermill/ci (push)", f"https://ci.example/{run}")
    assert third_.url.endswith(str(other))
    assert (await site.system.types())[:before].count("CommitStatusTold") == 2
    await site.sound()


async def test_while_the_forge_is_away_only_the_newest_status_waits_for_it() -> None:
    """The run ends meanwhile, unhindered; the forge hears of its end alone."""
    site = Site()
    site.forge.away = NotTold("nobody listens")
    async with running(site.agent()):
        run = await site.push()
        assert (await site.until("deferred")).reason == "nobody listens"
        await site.finish(run)
        assert (await site.system.handler.state(run, "run")).conclusion == "success"
    site.forge.away = None
    site.system.clock.advance(3600)
    async with running(site.agent()):
        state = await site.until("told")
    assert [report.state for report in site.forge.told] == ["success"]
    assert (state.facts.state, state.facts.run) == ("success", run)
    await site.sound()


async def test_a_crash_between_telling_and_noting_tells_the_same_again() -> None:
    """The status is not lost."""
    site = Site()
    site.forge.gate.clear()
    async with running(site.agent()):
        await site.push()

        async def tried() -> bool:
            return site.forge.tried == 1

        await eventually(tried)
    assert (await site.status()).progress == "wanted"
    site.forge.gate.set()
    async with running(site.agent()):
        await site.until("told")
    assert (site.forge.tried, [report.state for report in site.forge.told]) == (2, ["pending"])


async def test_what_is_refused_for_good_is_given_up() -> None:
    """And says why."""
    site = Site()
    site.forge.away = NotTold("no such commit", final=True)
    async with running(site.agent()):
        await site.push()
        state = await site.until("failed")
    assert (state.reason, site.forge.tried) == ("no such commit", 1)


async def test_nothing_is_recorded_where_there_is_no_token_or_no_forge() -> None:
    """Work trees, plain git servers, forges whose token is not here, events without a commit."""
    site = Site()
    async with running(site.agent()):
        await site.push("k1", RepositoryFacts("local/pay", "local", "https://github.com/x"))
        await site.push("k2", RepositoryFacts("acme/git", "git", "https://github.com/x"))
        await site.push("k3", RepositoryFacts("acme/far", "github", "https://github.example/x"))
        await site.push("k4", sha="0" * 40)
        await site.push("k5")
        await site.until("told")
        head = await site.system.store.head()

        async def noted() -> bool:
            return await site.system.store.tracked(AGENT) >= head - 2

        await eventually(noted)
    assert (await site.system.types()).count("CommitStatusWanted") == 1


def test_a_pull_request_has_its_status_on_its_own_newest_commit() -> None:
    """Not on the commit that merges it for the run."""
    payload = {"pull_request": {"head": {"sha": "b" * 40}}}
    assert sha_of("pull_request", SHA, payload) == "b" * 40
    assert sha_of("push", SHA, payload) == SHA
    assert context_of(".github/workflows/ci.yaml", "pull_request") == "ledgermill/ci (pull_request)"
