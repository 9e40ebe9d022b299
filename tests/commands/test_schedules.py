"""The agent of schedules: what the files say when a time comes is fired once, also after a crash and beside others."""

import asyncio
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest

from commands import schedules
from commands.answering import Answering, Away, Commit, Gone
from commands.deliveries import Deliveries
from commands.handle import Origin
from commands.schedules import Schedules
from commands.trigger import WorkflowFile
from domain import delivery as d
from domain import ids
from domain import repository_commands as asked
from domain import schedule as s
from domain.repository import Repository
from domain.run.events import RunTriggered
from domain.webhooks.incoming import Incoming
from tests.commands.test_agents import eventually, running
from tests.commands.test_trigger import System

TENANT = "default"
REPOSITORY = ids.repository_id(TENANT, "github", "acme/pay")
SCHEDULE = ids.schedule_id(REPOSITORY)
WORKFLOW = ids.workflow_id(TENANT, REPOSITORY, "ci.yml")
JOBS = "jobs: {only: {runs-on: linux, steps: [{run: a}]}}\n"
HALF_PAST = f"on: {{schedule: [{{cron: '30 * * * *'}}]}}\n{JOBS}"


class Site:
    """A server in memory with the default branch of one repository. files: by path; away: why the forge cannot be asked."""

    def __init__(self, **files: str) -> None:
        self.system = System()
        self.files = {f"{name}.yml": text for name, text in files.items()}
        self.away: Exception | None = None
        self.commands = 0
        self.answering = Answering(self.system.handler, self.system.blobs, self)

    async def read(self, _repository: UUID, _state: Repository, event: Incoming) -> Commit:
        """The port `Commits`."""
        if self.away is not None:
            raise self.away
        return Commit(event.sha or "c" * 40, tuple(WorkflowFile(path, text) for path, text in self.files.items()))

    async def due(self, now: datetime, besides: Collection[UUID], _limit: int) -> list[UUID]:
        """The port `DueSchedules`, from the stream itself."""
        state = await self.state()
        return [SCHEDULE] if state is not None and state.due_at is not None and state.due_at <= now and SCHEDULE not in besides else []

    async def send(self, *commands: Any) -> None:
        """Commands from outside, none of them refused."""
        self.commands += 1
        origin = Origin(TENANT, "someone", command=ids.command_id("test", str(self.commands)))
        for outcome in await self.system.handler.handle_all(commands, origin):
            assert outcome.refusal is None, outcome.refusal

    async def register(self) -> None:
        """The repository is registered over the API, at ten."""
        facts = asked.RegisterRepository(REPOSITORY, "acme/pay", "github", "https://forge.invalid/x")
        await self.send(facts, s.RequestScheduleRead(SCHEDULE, REPOSITORY))

    async def state(self) -> s.Schedule | None:
        """The schedule as it stands."""
        found: s.Schedule | None = await self.system.handler.latest(SCHEDULE, "schedule")
        return found

    def agent(self) -> Schedules:
        """Another process."""
        return Schedules(self.system.handler, self.system.blobs, self, self.system.clock, self.answering)

    async def at(self, minute: int) -> None:
        """So many minutes past ten; until all times up to then are seen to."""
        self.system.clock.at = START + timedelta(minutes=minute)

        async def seen_to() -> bool:
            state = await self.state()
            return state is not None and (state.due_at is None or state.due_at > self.system.clock.at)

        await eventually(seen_to)

    async def advanced(self) -> list[s.ScheduleAdvanced]:
        """What the stream says."""
        return [event.data for event in await self.system.store.load(SCHEDULE) if isinstance(event.data, s.ScheduleAdvanced)]

    async def fired(self) -> list[tuple[str, int]]:
        """Cron lines and the minutes past ten that they were fired for."""
        found = [each for event in await self.advanced() for each in event.fired]
        return [(each.entry.cron, round((each.at - START) / timedelta(minutes=1))) for each in found]

    async def passed(self) -> list[tuple[str, str]]:
        """Paths and filters of what started nothing."""
        return [(each.entry.workflow, each.filter) for event in await self.advanced() for each in event.passed]

    async def runs(self) -> list[RunTriggered]:
        """All runs."""
        page = await self.system.store.read(0, 10_000)
        return [event.data for event in page.events if isinstance(event.data, RunTriggered)] if page else []


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock is the test's, and so is how often somebody looks."""
    monkeypatch.setattr(schedules, "TICK_SECONDS", 0.01)


START = System().clock.now()


async def test_a_time_starts_a_run_of_the_default_branch_that_knows_its_line() -> None:
    """Event, commit, payload and actor are those of the schedule; the run stands in the schedule's own commit."""
    site = Site(ci=HALF_PAST, push=f"on: push\n{JOBS}")
    await site.register()
    async with running(site.agent()):
        for minute in (0, 29, 31, 59, 90):
            await site.at(minute)
    assert await site.fired() == [("30 * * * *", 30), ("30 * * * *", 90)]
    first, second = await site.runs()
    assert (first.workflow_path, first.event, first.ref, first.sha) == ("ci.yml", "schedule", "refs/heads/main", "c" * 40)
    assert (first.number, second.number) == (1, 2)
    payload = msgspec.json.decode(await site.system.blobs.get(first.payload))
    assert (payload["schedule"], payload["workflow"]) == ("30 * * * *", "ci.yml")
    assert payload["repository"]["full_name"] == "acme/pay"


async def test_three_agents_fire_each_time_once() -> None:
    """All look at the same rows at the same moment; each time has one run."""
    site = Site(ci=HALF_PAST, nightly=f"on: {{schedule: [{{cron: '*/15 * * * *'}}]}}\n{JOBS}")
    await site.register()
    async with running(site.agent()), running(site.agent()), running(site.agent()):
        for minute in range(0, 121, 5):
            await site.at(minute)
    wanted = [("*/15 * * * *", minute) for minute in range(15, 121, 15)] + [("30 * * * *", 30), ("30 * * * *", 90)]
    assert sorted(await site.fired()) == sorted(wanted)
    assert len(await site.runs()) == len(wanted)


async def test_a_crash_between_reading_and_firing_repeats_no_run() -> None:
    """The agent dies while it reads the commit; the next one fires the time, once."""
    site, reading = Site(ci=HALF_PAST), asyncio.Event()
    await site.register()
    async with running(site.agent()):
        await site.at(0)
    honest = site.read

    async def hang(*_: Any) -> Commit:
        reading.set()
        await asyncio.Event().wait()
        raise AssertionError

    site.read = hang  # type: ignore[method-assign]  # this forge is the test's own
    site.system.clock.advance(1800)
    async with running(site.agent()):
        await asyncio.wait_for(reading.wait(), 10)
    site.read = honest  # type: ignore[method-assign]  # the same
    async with running(site.agent()):
        await site.at(31)
    assert await site.fired() == [("30 * * * *", 30)]


async def test_what_is_disabled_changed_or_broken_does_not_fire_and_says_so() -> None:
    """Each with its reason; afterwards the files as they are now count."""
    site = Site(ci=HALF_PAST, other=HALF_PAST, broken=HALF_PAST)
    await site.register()
    async with running(site.agent()):
        await site.at(0)
        await site.send(asked.ListWorkflow(REPOSITORY, WORKFLOW, "ci.yml", "ci.yml"), asked.SetWorkflowEnabled(WORKFLOW, enabled=False))
        site.files["other.yml"] = HALF_PAST.replace("30", "40", 1)
        site.files["broken.yml"] = HALF_PAST.replace("runs-on", "run-on")
        await site.at(31)
        assert await site.passed() == [("ci.yml", "disabled"), ("other.yml", "changed"), ("broken.yml", "changed")]
        await site.send(asked.SetWorkflowEnabled(WORKFLOW, enabled=True))
        await site.at(41)
        await site.at(91)
    assert await site.fired() == [("40 * * * *", 40), ("30 * * * *", 90)]


async def test_a_listed_text_counts_instead_of_the_file_and_another_text_from_when_it_is_listed() -> None:
    """The text of a workflow changes its times at once; when the repository is gone, so is its schedule."""
    site = Site(ci=HALF_PAST)
    await site.register()
    async with running(site.agent()):
        for minute, line in ((0, "10 * * * *"), (11, "20 * * * *")):
            text = await site.system.blobs.put(HALF_PAST.replace("30 * * * *", line).encode())
            await site.send(asked.ListWorkflow(REPOSITORY, WORKFLOW, "ci.yml", "ci.yml", text, scheduled=True))
            await site.at(minute)
        await site.at(35)
        await site.send(asked.RemoveRepository(REPOSITORY))
        await site.at(85)
    assert await site.fired() == [("20 * * * *", 20)]
    state = await site.state()
    assert state is not None
    assert (state.entries, state.due_at) == ((), None)


async def test_a_forge_that_is_away_is_asked_again_until_the_time_is_too_old() -> None:
    """Back within the hour: the time is fired late. Back after it: the time is passed over. A branch that is not there has no times."""
    site = Site(ci=HALF_PAST)
    await site.register()
    async with running(site.agent()):
        await site.at(0)
    for back, at in ((50, 30), (200, None)):
        site.away = Away("nobody listens")
        site.system.clock.at = START + timedelta(minutes=back - 15)
        agent = site.agent()
        async with running(agent):

            async def rests(agent: Schedules = agent) -> bool:
                return bool(agent._rests)

            await eventually(rests)
            site.away = None
            await site.at(back)
        assert ("30 * * * *", at) in await site.fired() or at is None
    assert await site.fired() == [("30 * * * *", 30), ("30 * * * *", 150)]
    site.away = Gone("there is no main")
    async with running(site.agent()):
        await site.at(211)
    state = await site.state()
    assert state is not None
    assert (state.entries, await site.passed()) == ((), [("ci.yml", "changed")])


async def test_a_push_to_the_default_branch_has_the_times_read_again() -> None:
    """Only where it changes them: an equal push, and one to another branch, add nothing to the schedule."""
    site = Site(ci=HALF_PAST)
    await site.register()
    agent = Deliveries(site.system.handler, site.system.store, site.system.store, site.system.clock, site.answering)

    async def push(key: str, ref: str = "refs/heads/main") -> None:
        payload = {"ref": ref, "after": "d" * 40, "repository": {"full_name": "acme/pay"}}
        digest = await site.system.blobs.put(msgspec.json.encode(payload))
        delivery = ids.delivery_id(TENANT, "github", "acme/pay", key)
        await site.send(d.ReceiveWebhook(delivery, d.WebhookReceived("github", "push", key, REPOSITORY, "acme/pay", digest, 2)))

        async def answered() -> bool:
            state: d.Delivery = await site.system.handler.latest(delivery, "delivery")
            return not state.open

        await eventually(answered)

    async def requests() -> int:
        return len([event for event in await site.system.store.load(SCHEDULE) if event.type == "ScheduleReadRequested"])

    async with running(site.agent()), running(agent):
        await site.at(0)
        await push("same")
        site.files["more.yml"] = HALF_PAST.replace("30", "45", 1)
        await push("elsewhere", "refs/heads/topic")
        assert await requests() == 1
        await push("more")
        assert await requests() == 2
        await site.at(1)
        await site.at(50)
    assert await site.fired() == [("30 * * * *", 30), ("45 * * * *", 45)]
