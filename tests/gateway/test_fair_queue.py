"""The queue of a whole gateway: one repository floods it, others send a job each, through HTTP and on a real store."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import psycopg
import pytest

from domain.envelope import Recorded
from domain.invariants import check
from tests.gateway.conftest import Gateway, HandRunner, serving
from tests.proxy import Proxy
from tests.rigs.ports import free_port

MATRIX = 250
FLOOD = f"""\
on: push
jobs:
  build:
    runs-on: linux
    strategy: {{matrix: {{n: {list(range(MATRIX))}}}}}
    steps: [{{run: echo hello}}]
"""
SMALL = 9


@contextlib.asynccontextmanager
async def gateways(postgres_url: str, path: Path, number: int) -> AsyncIterator[list[Gateway]]:
    """Gateways with all agents on one database; blobs are shared, as they must be."""
    (path / "blobs").mkdir()
    async with contextlib.AsyncExitStack() as stack:
        made = []
        for name in map(str, range(number)):
            (path / name).mkdir(mode=0o700)
            (path / name / "blobs").symlink_to(path / "blobs")
            made.append(await stack.enter_async_context(serving(postgres_url, path / name)))
        yield made


async def push(gateway: Gateway, repository: str, workflow: str, number: int = 0) -> None:
    """One run of a repository."""
    facts = {"full_name": repository, "provider": "local", "clone_url": "/srv/x.git"}
    answer = await gateway.trigger(f"{repository}-{number}", workflow, repository=facts)
    assert answer.status == 202, answer.json


async def log(gateway: Gateway) -> list[Recorded]:
    """All events."""
    events: list[Recorded] = []
    while (page := await gateway.store.read(events[-1].position if events else 0)) is not None:
        events.extend(page.events)
    return events


async def work(runner: HandRunner) -> None:
    """Do jobs until cancelled."""
    while True:
        for lease in (await runner.poll()).leases:
            await runner.work(lease.message)


async def served(made: list[Gateway], jobs: int, runners: int) -> list[Recorded]:
    """Let one repository queue `jobs` jobs and, once the runners are at it, nine others one each; the log when these have begun."""
    for number in range(jobs // MATRIX):
        await push(made[number % len(made)], "big/flood", FLOOD, number)
    hands = [await made[number % len(made)].runner(f"r{number}") for number in range(runners)]
    working = [asyncio.create_task(work(hand)) for hand in hands]
    try:
        while sum(event.type == "JobAcquired" for event in await log(made[0])) < 2 * runners:
            await asyncio.sleep(0.05)  # the runners are tasks of their own: nothing says that they have begun
        small = FLOOD.replace(str(list(range(MATRIX))), "[0]")
        await asyncio.gather(*(push(made[number % len(made)], f"small/{number}", small) for number in range(SMALL)))
        while True:
            events = await log(made[0])
            big = next(event.data.repository for event in events if event.type == "JobCreated")
            theirs = {event.stream for event in events if event.type == "JobCreated" and event.data.repository != big}
            if theirs <= {event.stream for event in events if event.type == "JobAcquired"}:
                return events
            await asyncio.sleep(0.05)  # see above
    finally:
        for task in working:
            task.cancel()
        await asyncio.gather(*working, return_exceptions=True)


def waits(events: list[Recorded]) -> list[int]:
    """For each job of the small ones: how many jobs were acquired from when it was queued to its own acquisition."""
    repositories = {event.stream: event.data.repository for event in events if event.type == "JobCreated"}
    big = next(iter(repositories.values()))
    queued = {event.stream: event.position for event in events if event.type == "JobQueued" and repositories[event.stream] != big}
    acquired = [(event.stream, event.position) for event in events if event.type == "JobAcquired"]
    ends = dict(acquired)
    return [sum(1 for _, at in acquired if queued[job] < at <= ends[job]) for job in queued]


@pytest.mark.parametrize("number", [1, 2])
async def test_a_flood_of_one_repository_holds_up_nobody(number: int, postgres_url: str, tmp_path: Path) -> None:
    """Each of nine others starts within the time of runners and nine jobs; with two gateways too, and nothing happens twice."""
    async with gateways(postgres_url, tmp_path, number) as made:
        events = await served(made, jobs=2 * MATRIX, runners=4)
    assert len(waits(events)) == SMALL
    assert max(waits(events)) <= 4 + SMALL
    assert check(events) == []


@pytest.mark.campaign
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("number", [1, 2])
async def test_ten_thousand_jobs_of_one_repository_hold_up_nobody(number: int, postgres_url: str, tmp_path: Path) -> None:
    """The whole of it."""
    async with gateways(postgres_url, tmp_path, number) as made:
        events = await served(made, jobs=10_000, runners=4)
    assert sum(event.type == "JobQueued" for event in events) >= 10_000
    assert max(waits(events)) <= 4 + SMALL
    assert check(events) == []


async def test_nothing_is_locked_while_a_job_runs(gateway: Gateway, postgres_url: str) -> None:
    """No transaction is open and nobody holds the lock of appends, while a runner works."""
    await gateway.run()
    runner = await gateway.runner()
    await runner.start(await runner.acquire())
    async with await psycopg.AsyncConnection.connect(postgres_url, autocommit=True) as connection, asyncio.timeout(20):
        while (await (await connection.execute(BUSY)).fetchone()) != (0, 0):
            await asyncio.sleep(0.05)  # the projector may be at the last page


BUSY = """
SELECT (SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend' AND xact_start IS NOT NULL),
       (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = 7300
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))
"""


async def test_an_answer_that_is_lost_brings_the_job_back(gateway: Gateway) -> None:
    """The wire breaks under the answer: the job comes back well within the accept window, and no attempt is counted."""
    host, port = gateway.url.removeprefix("http://").split(":")
    wire_port = free_port()
    proxy = Proxy.tcp(wire_port, host, int(port))
    await proxy.up()
    runner = await gateway.runner()
    through_the_wire = Gateway(f"http://127.0.0.1:{wire_port}", gateway.tokens, gateway.session, gateway.store)
    poll = asyncio.create_task(HandRunner(through_the_wire, runner.id).poll())
    while runner.id not in [event.stream for event in await log(gateway) if event.type == "RunnerOnline"]:
        await asyncio.sleep(0.02)  # the poll is a task of its own
    proxy.answers.clear()
    run = await gateway.run()
    await proxy.held.wait()
    await proxy.down()
    with pytest.raises(aiohttp.ClientError):
        await poll
    async with asyncio.timeout(60):
        while not (leases := (await runner.poll(wait_seconds=10)).leases):
            pass
    (lease,) = leases
    assert (lease.message.run, lease.message.attempt) == (run, 2)
    lost = [event.data for event in await gateway.history(run) if event.type == "AttemptLost"]
    assert [(event.attempt, event.reason) for event in lost] == [(1, "not_started")]
