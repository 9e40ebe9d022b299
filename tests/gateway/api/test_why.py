"""Why over HTTP: the engine's answers with what really stands around a run, as a dashboard reads them."""

import random

from msgspec.structs import replace

from domain.job.events import AttemptLost
from domain.why import Surroundings, why_run
from gateway.api.why import told_by
from gateway.cli.why import of_job, of_run
from projections.run_history import run_history
from tests.domain.world import World
from tests.gateway.api.test_holds import ALONE
from tests.gateway.api.test_reads import CHAIN, get, shown
from tests.gateway.conftest import SHA, Gateway


async def test_a_queued_job_says_what_it_waits_for_until_that_is_there(gateway: Gateway) -> None:
    """No runner, then none with the labels, then all busy, then paused by whom; at last it moves."""
    run = await gateway.run()
    job = (await shown(gateway, f"/runs/{run}/jobs"))["items"][0]["id"]

    async def top() -> tuple[str, str]:
        reason = (await shown(gateway, f"/jobs/{job}/why"))["reasons"][0]
        assert (await shown(gateway, f"/runs/{run}/why"))["reasons"][0]["code"] == reason["code"]
        return reason["code"], reason["text"]

    assert await top() == ("no_runner", "no runner is registered")
    other = await gateway.runner("gpu", ("gpu",))
    assert (await top())[1] == "no runner has the labels linux; the nearest, gpu, lacks linux"
    runner = await gateway.runner("r1", slots=1)
    await runner.poll(wait_seconds=0, slots=0)
    assert (await gateway.request("POST", f"/api/v1/runners/{runner.id}/pause", {})).status == 200
    code, text = await top()
    assert code == "runners_paused"
    assert text.startswith("no runner with these labels takes jobs: r1 is paused by ")
    assert (await gateway.request("POST", f"/api/v1/runners/{runner.id}/resume", {})).status == 200
    message = await runner.acquire()
    assert (await top())[0] == "starting"
    await gateway.run()
    second = (await shown(gateway, "/runs"))["items"][0]["id"]
    third = str(await gateway.run())
    assert (await shown(gateway, f"/runs/{second}/why"))["reasons"][0]["code"] == "runners_busy"
    behind = (await shown(gateway, f"/runs/{third}/why"))["reasons"][0]
    assert (behind["facts"]["matching"], behind["facts"]["ahead"]) == (1, 1)
    await runner.work(message)
    found = await shown(gateway, f"/runs/{run}/why")
    assert (found["conclusion"], found["reasons"][0]["code"]) == ("success", "succeeded")
    assert other.id != runner.id


async def test_a_failure_is_told_from_what_followed_and_shown_to_people(gateway: Gateway) -> None:
    """Root and knock-on in JSON, and in the words of the verb."""
    run = await gateway.run(CHAIN)
    runner = await gateway.runner()
    job = await runner.acquire()
    await runner.start(job)
    await runner.step(job, "failure")
    await runner.complete(job, "failure")
    found = await shown(gateway, f"/runs/{run}/why")
    assert [(job["name"], job.get("root", False), job.get("knock_on", False)) for job in found["jobs"]] == [
        ("build", True, False),
        ("test", False, True),
    ]
    said = of_run(found, "ci#1").splitlines()
    assert said[:2] == ["ci#1 failure", "  build: step Run echo hello failed with exit code 0"]
    assert "  follows test: needs build (failure)" in said
    told = of_job(found["jobs"][0]).splitlines()
    assert told[0] == "build failure"
    assert any(line.endswith("  queue (linux)") for line in told)


async def test_a_held_run_names_the_holder_and_a_pending_node_its_needs(gateway: Gateway) -> None:
    """A node that is no job yet can be asked, too."""
    await gateway.run(ALONE)
    second = await gateway.run(ALONE)
    found = await shown(gateway, f"/runs/{second}/why")
    assert (found["state"], found["reasons"][0]["code"]) == ("pending", "run_concurrency")
    assert found["reasons"][0]["facts"]["group"] == "Deploy"
    run = await gateway.run(CHAIN)
    jobs = {job["name"]: job for job in (await shown(gateway, f"/runs/{run}/jobs"))["items"]}
    waiting = await shown(gateway, f"/jobs/{jobs['test']['id']}/why")
    assert (waiting["state"], waiting["reasons"][0]["text"]) == ("waiting", "waiting for build")
    assert [each["code"] for each in waiting["reasons"][0]["because"]] == ["no_runner"]


async def test_what_does_not_exist_is_not_found(gateway: Gateway) -> None:
    """With the code of its kind."""
    for path, code in (("runs", "run_not_found"), ("jobs", "job_not_found")):
        answer = await get(gateway, f"/{path}/{SHA[:8]}-0000-0000-0000-000000000000/why")
        assert (answer.status, answer.json["code"]) == (404, code)


async def test_the_events_that_are_left_out_tell_nothing() -> None:
    """The answer from the events that are read is that from all; heartbeats are read where a runner was lost."""
    left_out = lost = 0
    for seed in range(8):
        world = World(random.Random(seed).randrange)
        for _ in range(150):
            world.step()
        head, around = await world.store.head(), Surroundings(world.clock.now())
        for run in world.runs:
            every, told = await run_history(world.store, run, head), await told_by(world.store, run)
            full, found = why_run(every, around), why_run(told, around)
            assert full is not None
            assert found is not None
            assert replace(found, position=0) == replace(full, position=0)
            streams = {event.stream for event in every if isinstance(event.data, AttemptLost)}
            assert [event for event in every if event.stream in streams] == [event for event in told if event.stream in streams]
            left_out += len(every) - len(told)
            lost += len(streams)
    assert (left_out > 0, lost > 0) == (True, True)
