"""Ten workflows with schedules and three processes' worth of agents on one real store: each time is fired once."""

import asyncio
from collections import Counter
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

from commands import schedules
from commands.answering import Answering
from commands.handle import Handler, Origin
from commands.schedules import Schedules
from domain import ids
from domain import repository_commands as asked
from domain.cron_times import times
from domain.schedule import ScheduleAdvanced
from infra.blobs import FileBlobs
from infra.event_store import PostgresEventStore
from infra.feed import PostgresFeed
from infra.mirrors import Mirrors
from infra.pool import Pool
from projections import positions
from projections.projector import Projector
from projections.schedules import SCHEDULES, PostgresSchedules
from tests.fakes import FixedClock

TENANT = "default"
START = datetime(2026, 10, 25, 0, 0, tzinfo=UTC)
"""Berlin's clock goes back an hour later."""

LINES = (
    ("*/10 * * * *", "UTC"),
    ("0 * * * *", "UTC"),
    ("5,50 * * * *", "America/New_York"),
    ("30 2 * * *", "Europe/Berlin"),
    ("30 * * * *", "Europe/Berlin"),
    ("0 */2 * * *", "Europe/Berlin"),
    ("15 1-3 * * 0", "UTC"),
    ("45 13 25 10 *", "Australia/Lord_Howe"),
    ("1-59/7 1 * * *", "UTC"),
    ("0 0 31 2 *", "UTC"),
)


class Process:
    """What one process has of its own: connections, cache, agent. The clock is everybody's: the store's."""

    def __init__(self, store: PostgresEventStore, url: str, blobs: FileBlobs, clock: FixedClock, mirrors: Mirrors) -> None:
        self.store = store
        self.pool = Pool(url, "views")
        self.handler = Handler(store, clock, blobs)
        due = PostgresSchedules(self.pool.connection)
        self.agent = Schedules(self.handler, blobs, due, clock, Answering(self.handler, blobs, mirrors))


async def _until_seen_to(pool: Pool, now: datetime) -> None:
    """Until no row is due."""
    async with asyncio.timeout(60):
        while True:
            async with pool.connection() as connection:
                found = await (await connection.execute("SELECT count(*) FROM views.schedules WHERE due_at <= %s", (now,))).fetchone()
            if found == (0,):
                return
            await asyncio.sleep(0.02)  # the agents are other tasks, and know of nobody who waits


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock is the test's, and so is how often somebody looks."""
    monkeypatch.setattr(schedules, "TICK_SECONDS", 0.01)


@pytest.mark.timeout(180)
async def test_ten_cron_workflows_and_three_processes_fire_each_time_once(postgres_url: str, tmp_path: Path) -> None:
    """The clock is stepped over two hours and a half; what fires is what cron says, one run each."""
    clock, blobs, mirrors = FixedClock(START), FileBlobs(tmp_path / "blobs"), Mirrors(tmp_path / "mirrors")
    async with AsyncExitStack() as stack:
        processes = []
        for _ in range(3):
            store = await PostgresEventStore.open(postgres_url)
            stack.push_async_callback(store.close)
            processes.append(Process(store, postgres_url, blobs, clock, mirrors))
            stack.push_async_callback(processes[-1].pool.close)
        store, pool = processes[0].store, processes[0].pool
        feed = await PostgresFeed.open(store)
        stack.push_async_callback(feed.close)
        projector = Projector(lambda: psycopg.AsyncConnection.connect(postgres_url, autocommit=True), feed, (SCHEDULES,))
        await projector.prepare()
        await _list(processes[0].handler, blobs)
        tasks = [asyncio.create_task(work()) for work in (projector.run, *(process.agent.run for process in processes))]
        try:
            await positions.wait(pool.connection, SCHEDULES.name, await store.head(), 20)
            await _until_seen_to(pool, clock.now())
            for _ in range(30):
                await _until_seen_to(pool, clock.advance(300))
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        fired, runs = await _what_happened(store)
    wanted = {
        (f"w{number}.yml", at)
        for number, (line, timezone) in enumerate(LINES)
        for at, _ in zip(times(line, timezone, START), range(60), strict=False)
        if at <= clock.now()
    }
    # steps of five minutes: of several times of a line within one step the latest is fired
    assert len(wanted) > 30
    assert set(fired) <= wanted
    assert {each for each in wanted if each[0] != "w8.yml"} <= set(fired)
    assert set(fired.values()) == {1}
    assert len(runs) == len(fired)
    assert set(runs.values()) == {1}


async def _list(handler: Handler, blobs: FileBlobs) -> None:
    """Ten workflows of ten repositories, each with its text."""
    for number, (line, timezone) in enumerate(LINES):
        repository = ids.repository_id(TENANT, "github", f"acme/p{number}")
        text = f"on: {{schedule: [{{cron: '{line}', timezone: {timezone}}}]}}\njobs: {{a: {{runs-on: x, steps: [{{run: a}}]}}}}\n"
        path = f"w{number}.yml"
        workflow = ids.workflow_id(TENANT, repository, path)
        origin = Origin(TENANT, "someone", command=ids.command_id("test", path))
        commands = (
            asked.RegisterRepository(repository, f"acme/p{number}", "github", "https://forge.invalid/x"),
            asked.ListWorkflow(repository, workflow, path, path, await blobs.put(text.encode()), scheduled=True),
        )
        assert [outcome.refusal for outcome in await handler.handle_all(commands, origin)] == [None, None]


async def _what_happened(store: PostgresEventStore) -> tuple[Counter[Any], Counter[Any]]:
    """How often each time of each workflow was fired, and how many runs have each id."""
    fired: Counter[Any] = Counter()
    runs: Counter[Any] = Counter()
    after = 0
    while (page := await store.read(after)) is not None:
        after = page.last
        for event in page.events:
            if isinstance(event.data, ScheduleAdvanced):
                fired.update((each.entry.workflow, each.at) for each in event.data.fired)
            elif event.type == "RunTriggered":
                runs[event.stream] += 1
    return fired, runs
