"""A runner that lies: every lie is refused with its status, and kept where an auditor looks."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from msgspec.structs import replace

from domain.audit import CommandRefused
from domain.job.events import AttemptLost, AttemptTimedOut, JobAcquired, StaleWriteRejected
from domain.run.commands import RegisterRunner
from runner import wire
from tests.gateway.conftest import Answer, Gateway, HandRunner, report, serving

STEPS = """\
on: push
jobs:
  build:
    runs-on: linux
    timeout-minutes: {minutes}
    steps: [{{run: one}}, {{run: two}}]
"""
TWO_STEPS = STEPS.format(minutes=360)


async def refusals(gateway: Gateway, runner: UUID) -> list[CommandRefused]:
    """What the audit stream keeps about a runner."""
    page = await gateway.store.read(0, 10_000)
    assert page is not None
    found = [event for event in page.events if isinstance(event.data, CommandRefused)]
    return [event.data for event in found if event.meta.actor == f"runner:{runner}"]


def refused(answer: Answer, status: int, code: str) -> None:
    """It was, in this way."""
    assert (answer.status, answer.json["code"]) == (status, code), answer.json


async def test_more_jobs_than_slots_are_not_handed_out(gateway: Gateway) -> None:
    """A poll that claims more slots than were registered is refused and kept; so is a registration of a million slots."""
    runner = await gateway.runner(slots=2)
    for free, jobs in ((1_000_000, ()), (3, ()), (1, (UUID(int=1), UUID(int=2)))):
        refused(await runner.post("acquire", wire.Acquire(runner=runner.id, free_slots=free, jobs=jobs)), 409, "too_many_slots")
    (kept,) = await refusals(gateway, runner.id)
    assert (kept.command, kept.code, kept.target) == ("ClaimSlots", "too_many_slots", str(runner.id))
    assert "has 2 slots" in kept.message
    greedy = wire.Register(registration="greedy", name="greedy", labels=("linux",), slots=1_000_000)
    refused(await gateway.request("POST", "/runner/v1/register", greedy, "runner"), 409, "bad_slots")
    page = await gateway.store.read(0, 1000)
    assert page is not None
    assert RegisterRunner.__name__ in [event.data.command for event in page.events if isinstance(event.data, CommandRefused)]


async def test_a_runner_that_hides_what_it_holds_gets_nothing_more(gateway: Gateway) -> None:
    """It names no job and asks again: it has its slot's job and no other; after a grace that job is taken for lost."""
    runs = [await gateway.run() for _ in range(3)]
    runner = await gateway.runner(slots=1)
    await runner.start(await runner.acquire())
    assert (await runner.poll(wait_seconds=0.3)).leases == ()
    # The poll that sees the hidden job lost ends at once, so that a runner that was only restarted waits no longer.
    await runner.poll(wait_seconds=20)
    histories = [event.data for run in runs for event in await gateway.history(run)]
    assert sum(isinstance(event, JobAcquired) for event in histories) == 1
    assert [event.reason for event in histories if isinstance(event, AttemptLost)] == ["runner_restarted"]


async def test_skipped_steps_are_refused(gateway: Gateway) -> None:
    """A step that never began cannot end, one that does not exist cannot begin, a success without its steps is none."""
    run = await gateway.run(TWO_STEPS)
    runner = await gateway.runner()
    job = await runner.acquire()
    await runner.start(job)
    at = datetime.now(UTC)
    end = wire.StepEnd(index=1, outcome="success", conclusion="success", exit_code=0, started_at=at, ended_at=at)
    lies: list[tuple[wire.StepStart | wire.StepEnd, ...]] = [
        (wire.StepStart(index=1, started_at=at), end),
        (end,),
        (wire.StepStart(index=7, started_at=at),),
        (wire.StepStart(index=0, started_at=at), wire.StepStart(index=0, started_at=at)),
    ]
    for transitions in lies:
        answer = await runner.post(f"jobs/{job.job}/events", wire.Steps(seq=1, transitions=transitions, **runner.fence(job)))
        refused(answer, 409, "bad_step_transition")
        together = wire.ManySteps(reports=(wire.JobSteps(job=job.job, seq=1, transitions=transitions, **runner.fence(job)),))
        (told,) = (await runner.post("jobs/events", together)).json["answers"]
        assert (told["problem"]["status"], told["problem"]["code"]) == (409, "bad_step_transition")
    refused(await runner.post(f"jobs/{job.job}/events", wire.Steps(seq=5, transitions=(end,), **runner.fence(job))), 409, "sequence_gap")
    refused(await runner.complete(job), 409, "result_contradicts_steps")
    kept = {(each.command, each.code) for each in await refusals(gateway, runner.id)}
    assert kept == {
        ("ReportSteps", "bad_step_transition"),
        ("ReportSteps", "sequence_gap"),
        ("ReportAttempt", "result_contradicts_steps"),
    }
    assert "JobSucceeded" not in [event.type for event in await gateway.history(run)]


async def test_a_wrong_digest_is_refused(gateway: Gateway) -> None:
    """Facts that are not those of the digest: 422, kept; a stale write when the digest is that of a report which was accepted."""
    await gateway.run()
    runner = await gateway.runner()
    job = await runner.acquire()
    await runner.start(job)
    await runner.step(job)
    honest = report(runner.fence(job))
    other = replace(honest, outputs={"version": "2"})
    refused(await runner.post(f"jobs/{job.job}/complete", other), 422, "wrong_digest")
    assert (await runner.post(f"jobs/{job.job}/complete", honest)).status == 200
    refused(await runner.post(f"jobs/{job.job}/complete", other), 409, "lease_lost")
    assert [(each.command, each.code) for each in await refusals(gateway, runner.id)] == [("ReportAttempt", "wrong_digest")]


async def test_a_foreign_job_is_out_of_reach(gateway: Gateway) -> None:
    """Another runner, or one that nobody knows, with all that can be known of the lease; the job is unharmed."""
    run = await gateway.run()
    holder, thief = await gateway.runner("holder"), await gateway.runner("thief")
    job = await holder.acquire()
    await holder.start(job)
    for liar in (thief, HandRunner(gateway, UUID(int=99))):
        for send in (liar.renew, liar.step, liar.complete):
            refused(await send(job), 409, "lease_lost")
        refused(await liar.lines(job, 1, 3), 409, "lease_lost")
    recorded = [event for event in await gateway.history(run) if isinstance(event.data, StaleWriteRejected)]
    assert [event.data.runner for event in recorded] == [thief.id] * 4 + [UUID(int=99)] * 4
    assert all("foreign_lease" in event.data.reason for event in recorded)
    await holder.work(job)


async def renew_until(runner: HandRunner, job: wire.JobMessage, seconds: float) -> Answer:
    """Heartbeats as fast as they are answered, until one is refused."""
    async with asyncio.timeout(seconds):
        while (answer := await runner.renew(job)).status == 200:
            await asyncio.sleep(0.02)
        return answer


async def test_endless_heartbeats_do_not_keep_a_job_that_never_starts(postgres_url: str, tmp_path: Path) -> None:
    """The accept window ends the attempt although its lease is renewed all the time."""
    async with serving(postgres_url, tmp_path / "data", accept_window_seconds=1) as gateway:
        run = await gateway.run()
        runner = await gateway.runner()
        refused(await renew_until(runner, await runner.acquire(), 20), 409, "lease_lost")
        history = [event.data for event in await gateway.history(run)]
        assert [event.reason for event in history if isinstance(event, AttemptLost)] == ["not_started"]
        assert any(isinstance(event, StaleWriteRejected) and event.write == "renew" for event in history)


async def test_the_time_limit_of_a_job_holds_without_its_runner(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """A runner that starts, renews for ever and never ends: the server ends the attempt, and refuses the success that follows."""
    monkeypatch.setattr("domain.job.decide.JOB_GRACE_SECONDS", 0.2)
    run = await gateway.run(STEPS.format(minutes=0.01))
    runner = await gateway.runner()
    job = await runner.acquire()
    await runner.start(job)
    refused(await renew_until(runner, job, 20), 409, "lease_lost")
    refused(await runner.complete(job), 409, "lease_lost")
    history: list[Any] = [event.data for event in await gateway.history(run)]
    assert [event.reason for event in history if isinstance(event, AttemptTimedOut)] == ["job_timeout"]


LIMITED = """\
on: push
jobs:
  build:
    runs-on: linux
    steps: [{run: one, timeout-minutes: 0.01}, {run: two}]
"""


async def test_the_time_limit_of_a_step_holds_without_its_runner(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """A runner that begins a step, renews for ever and never ends it: the server ends the attempt."""
    monkeypatch.setattr("domain.job.steps.STEP_GRACE_SECONDS", 0.2)
    run = await gateway.run(LIMITED)
    runner = await gateway.runner()
    job = await runner.acquire()
    await runner.start(job)
    begins = wire.Steps(seq=1, transitions=(wire.StepStart(index=0, started_at=datetime.now(UTC)),), **runner.fence(job))
    assert (await runner.post(f"jobs/{job.job}/events", begins)).status == 200
    refused(await renew_until(runner, job, 20), 409, "lease_lost")
    history: list[Any] = [event.data for event in await gateway.history(run)]
    assert [event.reason for event in history if isinstance(event, AttemptTimedOut)] == ["step_timeout"]
