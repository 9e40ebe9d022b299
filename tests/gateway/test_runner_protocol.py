"""Writes of an attempt: fenced, idempotent, and durable when they are answered."""

from datetime import UTC, datetime
from uuid import UUID

import msgspec
import pytest

from domain.job.events import StaleWriteRejected
from runner import wire
from tests.gateway.conftest import Gateway, report


async def test_a_job_runs_to_its_end(gateway: Gateway) -> None:
    """Start, steps, completion: the run is complete when the last answer is there."""
    run = await gateway.run()
    runner = await gateway.runner()
    await runner.work(await runner.acquire())
    kinds = [event.type for event in await gateway.history(run)]
    assert kinds[-3:] == ["JobSucceeded", "JobConcluded", "RunCompleted"]


async def test_a_repeat_of_any_message_gets_the_same_answer(gateway: Gateway) -> None:
    """Every message may be sent again: nothing is appended and nothing is refused."""
    run = await gateway.run()
    runner = await gateway.runner()
    job = await runner.acquire()
    for send in (runner.start, runner.step, runner.complete):
        first = await send(job)
        count = len(await gateway.history(run))
        second = await send(job)
        assert (first.status, second.status) == (200, 200)
        assert {**first.json, "now": ""} == {**second.json, "now": ""} or "expires_in_seconds" in first.json
        assert len(await gateway.history(run)) == count


async def test_another_outcome_after_the_end_is_refused(gateway: Gateway) -> None:
    """The first report decides; a contradicting one is stale."""
    await gateway.run()
    runner = await gateway.runner()
    job = await runner.acquire()
    await runner.work(job)
    answer = await runner.complete(job, "failure")
    assert (answer.status, answer.json["code"]) == (409, "lease_lost")


@pytest.mark.parametrize("change", [{"epoch": 2}, {"attempt": 2}, {"lease": UUID(int=1)}, {"runner": UUID(int=2)}])
async def test_a_stale_write_is_refused_and_recorded(gateway: Gateway, change: dict[str, object]) -> None:
    """Each part of the fence counts, for each kind of write; the evidence is in the log, the job goes on unharmed."""
    run = await gateway.run()
    runner = await gateway.runner()
    job = await runner.acquire()
    fence = runner.fence(job) | change
    writes = {
        "start": wire.Start(**fence),
        "renew": wire.Renew(**fence),
        "events": wire.Steps(seq=1, transitions=(), **fence),
        "logs": wire.Logs(lines=(), **fence),
        "complete": report(fence),
    }
    for path, message in writes.items():
        answer = await runner.post(f"jobs/{job.job}/{path}", message)
        assert (answer.status, answer.json["code"]) == (409, "lease_lost"), path
        assert answer.json["hint"]
    recorded = [event.data.write for event in await gateway.history(run) if isinstance(event.data, StaleWriteRejected)]
    assert recorded == list(writes)
    await runner.work(job)


async def test_reports_of_several_jobs_are_answered_each_for_itself(gateway: Gateway) -> None:
    """One request, one commit; a stale one among them changes nothing, leaves its evidence and harms no other."""
    runs = [await gateway.run() for _ in range(3)]
    runner = await gateway.runner(slots=3)
    jobs = [await runner.acquire() for _ in runs]
    for job in jobs:
        await runner.start(job)
    at = datetime.now(UTC)
    reports = [
        wire.JobSteps(job=job.job, seq=1, transitions=(wire.StepStart(index=0, started_at=at),), **runner.fence(job)) for job in jobs
    ]
    reports[1] = msgspec.structs.replace(reports[1], epoch=2)
    reports.append(msgspec.structs.replace(reports[0], job=UUID(int=1)))
    answer = await runner.post("jobs/events", wire.ManySteps(reports=tuple(reports)))
    assert answer.status == 200
    first, stale, third, foreign = answer.json["answers"]
    assert (first, third) == ({"through": 1}, {"through": 1})
    assert (stale["problem"]["status"], stale["problem"]["code"]) == (409, "lease_lost")
    assert foreign["problem"]["status"] == 404
    kinds = {job.run: [event.type for event in await gateway.history(job.run)][-1] for job in jobs}
    assert [kinds[job.run] for job in jobs] == ["StepStarted", "StaleWriteRejected", "StepStarted"]


async def test_a_job_that_does_not_exist_is_not_found(gateway: Gateway) -> None:
    """404, not 409: there is nothing to stop."""
    runner = await gateway.runner()
    fence = {"runner": runner.id, "attempt": 1, "epoch": 1, "lease": UUID(int=1)}
    answer = await runner.post(f"jobs/{UUID(int=9)}/start", wire.Start(**fence))
    assert (answer.status, answer.json["code"]) == (404, "job_not_found")


async def test_a_success_that_contradicts_its_steps_is_refused(gateway: Gateway) -> None:
    """A runner that skipped a step cannot report success."""
    await gateway.run()
    runner = await gateway.runner()
    job = await runner.acquire()
    await runner.start(job)
    answer = await runner.complete(job)
    assert (answer.status, answer.json["code"]) == (409, "result_contradicts_steps")


async def test_a_heartbeat_extends_the_lease(gateway: Gateway) -> None:
    """The answer says how long, and the log has the event."""
    run = await gateway.run()
    runner = await gateway.runner()
    job = await runner.acquire()
    answer = await runner.renew(job)
    assert 25 < answer.json["expires_in_seconds"] <= 30
    assert [event.type for event in await gateway.history(run)][-1] == "HeartbeatRecorded"


async def test_registering_again_gives_the_same_runner(gateway: Gateway) -> None:
    """The registration is the identity; the same facts append nothing."""
    first = await gateway.runner("r1")
    assert (await gateway.runner("r1")).id == first.id
    assert len(await gateway.store.load(first.id)) == 1
