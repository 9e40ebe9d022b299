"""The long poll: a job goes to exactly one runner that is still there."""

import asyncio
import contextlib
from datetime import datetime
from pathlib import Path
from uuid import UUID

import psycopg

from domain.job.events import AttemptLost, JobAcquired, JobRetried
from runner import wire
from tests.gateway.conftest import Gateway, HandRunner, serving

TWO_JOBS = """\
on: push
jobs:
  one:
    runs-on: linux
    steps: [{run: echo 1}]
  two:
    runs-on: linux
    steps: [{run: echo 2}]
"""


async def open_poll(runner: HandRunner, **changes: object) -> "asyncio.Task[wire.Acquired]":
    """A poll that has reached the gateway: the runner is online once it has."""
    task = asyncio.create_task(runner.poll(**changes))  # type: ignore[arg-type]  # the arguments of poll, by name
    while not [event for event in await runner.gateway.store.load(runner.id) if event.type == "RunnerOnline"]:
        await asyncio.sleep(0.005)
    return task


async def test_a_waiting_job_answers_a_poll_at_once(gateway: Gateway) -> None:
    """The message tells all that the attempt needs."""
    run = await gateway.run()
    runner = await gateway.runner()
    (lease,) = (await runner.poll()).leases
    message = lease.message
    assert message.run == run
    assert (message.attempt, message.epoch, message.name) == (1, 1, "build")
    assert message.definition.steps[0].run == "echo hello"
    assert message.github["sha"] == message.source.sha
    assert 25 < lease.expires_in_seconds <= 30


async def test_a_job_wakes_a_waiting_poll(gateway: Gateway) -> None:
    """The poll is open before there is a job, and brings it."""
    runner = await gateway.runner()
    poll = await open_poll(runner)
    await gateway.run()
    assert len((await poll).leases) == 1


async def test_a_waiting_runner_gets_the_job_in_the_commit_that_queues_it(gateway: Gateway, postgres_url: str) -> None:
    """Three runners wait, two jobs come: each JobQueued and its JobAcquired were written by one transaction."""
    polls = [await open_poll(await gateway.runner(name)) for name in ("r1", "r2", "r3")]
    await gateway.run(TWO_JOBS)
    answered = asyncio.as_completed(polls)
    for _ in range(2):
        assert len((await next(answered)).leases) == 1
    for poll in polls:
        poll.cancel()
    async with await psycopg.AsyncConnection.connect(postgres_url) as connection:
        cursor = await connection.execute(
            "select originator_id, count(*), count(distinct xmin::text) from events_0"
            " where topic in ('JobQueued.v1', 'JobAcquired.v1') group by 1"
        )
        assert [row[1:] for row in await cursor.fetchall()] == [(2, 1), (2, 1)]


async def test_a_poll_without_a_job_ends_empty(gateway: Gateway) -> None:
    """When its time is up the answer holds nothing but the time."""
    runner = await gateway.runner()
    acquired = await runner.poll(wait_seconds=0.05)
    assert acquired.leases == ()
    assert isinstance(acquired.now, datetime)


async def test_each_job_goes_to_one_runner(gateway: Gateway) -> None:
    """Two runners wait, two jobs come: one each."""
    polls = [await open_poll(await gateway.runner(name)) for name in ("r1", "r2")]
    await gateway.run(TWO_JOBS)
    answers = await asyncio.gather(*polls)
    assert [len(answer.leases) for answer in answers] == [1, 1]
    assert len({answer.leases[0].message.job for answer in answers}) == 2


async def test_several_slots_bring_several_jobs(gateway: Gateway) -> None:
    """One poll with two free slots takes both jobs."""
    await gateway.run(TWO_JOBS)
    runner = await gateway.runner(slots=2)
    assert len((await runner.poll(slots=2)).leases) == 2


async def test_a_job_waits_for_its_labels(gateway: Gateway) -> None:
    """A runner without the label gets nothing; one with it does."""
    await gateway.run(TWO_JOBS.replace("runs-on: linux", "runs-on: [linux, gpu]"))
    assert (await (await gateway.runner("plain")).poll(wait_seconds=0.05)).leases == ()
    assert len((await (await gateway.runner("gpu", ("linux", "gpu"))).poll()).leases) == 1


async def test_a_dead_poll_swallows_no_job(gateway: Gateway) -> None:
    """A client that went away is given nothing: the job goes to the next runner, in its first attempt."""
    for number in range(5):
        dead = await open_poll(await gateway.runner(f"dead-{number}"))
        dead.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await dead
    run = await gateway.run()
    alive = await gateway.runner("alive")
    message = await alive.acquire()
    assert (message.run, message.runner if hasattr(message, "runner") else alive.id) == (run, alive.id)
    taken = [event.data for event in await gateway.history(run) if isinstance(event.data, JobAcquired)]
    # A poll whose end the gateway had not noticed in that instant is handed back: the last one is always the living.
    assert taken[-1].runner == alive.id


async def test_a_newer_poll_of_a_runner_ends_the_older_one(gateway: Gateway) -> None:
    """A runner has one poll; the job goes to the one it opened last."""
    runner = await gateway.runner()
    older = await open_poll(runner)
    newer = asyncio.create_task(runner.poll())
    assert (await older).leases == ()
    await gateway.run()
    assert len((await newer).leases) == 1


async def test_an_unknown_runner_is_told_to_register(gateway: Gateway) -> None:
    """404 with the next step."""
    answer = await gateway.request("POST", "/runner/v1/acquire", wire.Acquire(runner=UUID(int=7), free_slots=1), "runner")
    assert (answer.status, answer.json["code"]) == (404, "runner_not_found")


async def test_a_restarted_runner_loses_its_lease_at_once(gateway: Gateway, monkeypatch: object) -> None:
    """A poll that does not name a lease it should hold means that the job is gone; it goes back to the queue."""
    run = await gateway.run()
    runner = await gateway.runner()
    job = await runner.acquire()
    await runner.start(job)
    # The grace for a poll that crossed the lease is five seconds; a second poll ends with the first look after it.
    poll = asyncio.create_task(runner.poll(slots=0, wait_seconds=8))
    async with asyncio.timeout(20):
        while not (lost := [event.data for event in await gateway.history(run) if isinstance(event.data, AttemptLost)]):
            await asyncio.sleep(0.05)
    assert lost[0].reason == "runner_restarted"
    await poll
    async with asyncio.timeout(20):
        again = await (await gateway.runner("r2")).acquire()
    assert (again.job, again.attempt, again.epoch) == (job.job, 2, 2)
    retried = [event.data for event in await gateway.history(run) if isinstance(event.data, JobRetried)]
    assert retried[0].avoid == runner.id


async def test_a_cancelled_run_reaches_the_runner_through_its_open_poll(gateway: Gateway) -> None:
    """The order comes with the poll, again with each heartbeat, until the outcome is reported."""
    run = await gateway.run()
    runner = await gateway.runner()
    job = await runner.acquire()
    await runner.start(job)
    poll = asyncio.create_task(runner.poll(slots=0, jobs=(job.job,)))
    await asyncio.sleep(0)
    answer = await gateway.request("POST", f"/api/v1/runs/{run}/cancel", {"reason": "not needed"})
    assert answer.status == 202
    (order,) = (await poll).orders
    assert (order.kind, order.job, order.attempt, order.epoch) == ("cancel", job.job, 1, 1)
    renewed = await runner.renew(job)
    assert [each["order"] for each in renewed.json["orders"]] == [str(order.order)]
    assert (await runner.complete(job, "cancelled")).status == 200
    kinds = [event.type for event in await gateway.history(run)]
    assert kinds[-1] == "RunCompleted"
    assert kinds.count("JobCancelled") == 1


async def test_a_paused_runner_gets_no_job_until_it_is_resumed(gateway: Gateway) -> None:
    """Pausing ends the open poll; resuming lets the next one bring the job."""
    runner = await gateway.runner()
    poll = await open_poll(runner)
    assert (await gateway.request("POST", f"/api/v1/runners/{runner.id}/pause")).status == 200
    assert (await poll).leases == ()
    await gateway.run()
    assert (await runner.poll(wait_seconds=0.1)).leases == ()
    assert (await gateway.request("POST", f"/api/v1/runners/{runner.id}/resume")).status == 200
    assert len((await runner.poll()).leases) == 1


async def test_a_drained_runner_is_ordered_to_leave(gateway: Gateway) -> None:
    """Its poll brings the order and no job."""
    runner = await gateway.runner()
    await gateway.request("POST", f"/api/v1/runners/{runner.id}/drain")
    await gateway.run()
    acquired = await runner.poll()
    assert [order.kind for order in acquired.orders] == ["drain"]
    assert acquired.leases == ()


async def test_a_removed_runner_is_turned_away(gateway: Gateway) -> None:
    """Its identity is of no use any more."""
    runner = await gateway.runner()
    assert (await gateway.request("DELETE", f"/api/v1/runners/{runner.id}")).status == 204
    answer = await runner.post("acquire", wire.Acquire(runner=runner.id, free_slots=1))
    assert (answer.status, answer.json["code"]) == (409, "runner_retired")


async def test_an_ephemeral_runner_that_left_is_forgotten(postgres_url: str, tmp_path: Path) -> None:
    """It never comes back under its identity, so it is retired where another runner would be offline."""
    async with serving(postgres_url, tmp_path / "data", lease_ttl_seconds=0.5) as gateway:
        ended = {}
        for name, ephemeral in (("one job", True), ("many jobs", False)):
            message = wire.Register(registration=name, name=name, labels=("linux",), ephemeral=ephemeral)
            answer = await gateway.request("POST", "/runner/v1/register", message, "runner")
            ended[name] = UUID(answer.json["runner"])
            await HandRunner(gateway, ended[name]).poll(wait_seconds=0.05)
        async with asyncio.timeout(20):
            while [(await gateway.store.load(runner))[-1].type for runner in ended.values()] != ["RunnerRetired", "RunnerOffline"]:
                await asyncio.sleep(0.05)
