"""Re-running over HTTP: run attempts with job streams and logs of their own, and what cannot be run again."""

from typing import Any
from uuid import UUID

import pytest

from tests.gateway.conftest import Answer, Gateway, HandRunner

PAIR = """\
name: ci
on: push
jobs:
  build:
    runs-on: linux
    steps: [{run: echo}]
  test:
    needs: build
    runs-on: linux
    steps: [{run: echo}]
"""


class Rerun:
    """A run of two jobs, driven by hand."""

    def __init__(self, gateway: Gateway, run: UUID, runner: HandRunner) -> None:
        self.gateway, self.run, self.runner = gateway, run, runner

    async def get(self, path: str) -> Any:
        answer = await self.gateway.request("GET", f"/api/v1{path}?at_least={await self.gateway.store.head()}")
        assert answer.status == 200, answer.json
        return answer.json

    async def post(self, path: str, **headers: str) -> Answer:
        return await self.gateway.request("POST", f"/api/v1{path}", **headers)

    async def job(self, outcome: str = "success") -> UUID:
        """The next job runs, with one line of log that tells its run attempt."""
        message = await self.runner.acquire()
        await self.runner.start(message)
        await self.runner.lines(message, 1, 1, f"run attempt {message.github['run_attempt']}")
        await self.runner.step(message, outcome)
        answer = await self.runner.complete(message, outcome, last_line=1)
        assert answer.status == 200, answer.json
        return message.job

    async def names(self, run_attempt: int) -> dict[str, tuple[str, int]]:
        """Each job's id and the run attempt in which it ran."""
        answer = await self.gateway.request("GET", f"/api/v1/runs/{self.run}/jobs?run_attempt={run_attempt}")
        return {job["name"]: (job["id"], job["run_attempt"]) for job in answer.json["items"]}

    async def log(self, job: UUID) -> str:
        async with self.gateway.session.get(f"{self.gateway.url}/api/v1/jobs/{job}/logs", headers=self.gateway.headers()) as response:
            return await response.text()


@pytest.fixture
async def failed(gateway: Gateway) -> Rerun:
    """`build` succeeded and `test` failed."""
    rerun = Rerun(gateway, await gateway.run(PAIR), await gateway.runner())
    await rerun.job()
    await rerun.job("failure")
    return rerun


async def test_failed_jobs_run_again_beside_what_was_there(failed: Rerun) -> None:
    """The second run attempt shows the carried job and the new one; the first one stays as it ended, logs and events too."""
    events = await failed.gateway.history(failed.run)
    answer = await failed.post(f"/runs/{failed.run}/rerun-failed")
    assert (answer.status, answer.json["run_attempt"]) == (202, 2)
    old = (await failed.names(1))["test"][0]
    new = await failed.job()
    run = await failed.get(f"/runs/{failed.run}")
    assert (run["run_attempt"], run["status"], run["conclusion"]) == (2, "completed", "success")
    first, second = await failed.names(1), await failed.names(2)
    assert second == {"build": (first["build"][0], 1), "test": (str(new), 2)}
    assert (await failed.log(UUID(old)), await failed.log(new)) == ("run attempt 1 1\n", "run attempt 2 1\n")
    before = {event.position for event in events}
    assert [event for event in await failed.gateway.history(failed.run) if event.position in before] == events


async def test_each_run_attempt_is_shown_as_it_ended(failed: Rerun) -> None:
    """Status, conclusion and times of its own; who asked and for what."""
    await failed.post(f"/runs/{failed.run}/rerun")
    await failed.job()
    shown = (await failed.get(f"/runs/{failed.run}/attempts"))["items"]
    assert [(each["run_attempt"], each["scope"], each["status"], each["conclusion"]) for each in shown] == [
        (1, "", "completed", "failure"),
        (2, "all", "in_progress", None),
    ]
    assert shown[0]["completed_at"] < shown[1]["requested_at"] < shown[1]["started_at"]
    assert await failed.get(f"/runs/{failed.run}/attempts/1") == shown[0]
    answer = await failed.gateway.request("GET", f"/api/v1/runs/{failed.run}/attempts/3")
    assert (answer.status, answer.json["code"]) == (404, "run_attempt_not_found")


async def test_one_job_runs_again_with_what_needs_it(failed: Rerun) -> None:
    """Its id may be one of an earlier run attempt."""
    build = (await failed.names(1))["build"][0]
    for attempt in (2, 3):
        answer = await failed.post(f"/jobs/{build}/rerun")
        assert (answer.status, answer.json["id"], answer.json["run_attempt"]) == (202, str(failed.run), attempt)
        assert [await failed.job(), await failed.job()] != []
    assert {number for _, number in (await failed.names(3)).values()} == {3}


async def test_a_request_that_comes_twice_begins_one_run_attempt(failed: Rerun) -> None:
    """The same key is answered the same, even after the run attempt has ended; another key begins another one."""
    path = f"/runs/{failed.run}/rerun-failed"
    first = await failed.post(path, Idempotency_Key="k")
    assert (await failed.post(path, Idempotency_Key="k")).json == first.json
    await failed.job("failure")
    again = await failed.post(path, Idempotency_Key="k")
    assert (again.json, again.headers["Idempotency-Replayed"]) == (first.json, "true")
    assert again.headers["X-Event-Position"] == first.headers["X-Event-Position"]
    assert (await failed.post(path, Idempotency_Key="l")).json["run_attempt"] == 3


async def test_what_cannot_run_again_is_refused_with_its_state(failed: Rerun) -> None:
    """409 and the state that forbids it; 404 for what is not there."""
    await failed.post(f"/runs/{failed.run}/rerun")
    for path in (f"/runs/{failed.run}/rerun", f"/runs/{failed.run}/rerun-failed", f"/jobs/{(await failed.names(1))['test'][0]}/rerun"):
        answer = await failed.post(path)
        assert (answer.status, answer.json["code"], answer.json["state"]) == (409, "run_not_completed", "in progress")
        assert "run attempt 2" in answer.json["detail"]
    await failed.job()
    await failed.job()
    answer = await failed.post(f"/runs/{failed.run}/rerun-failed")
    assert (answer.status, answer.json["code"], answer.json["state"]) == (409, "nothing_failed", "completed (success)")
    for path, code in ((f"/runs/{UUID(int=3)}/rerun", "run_not_found"), (f"/jobs/{UUID(int=3)}/rerun", "job_not_found")):
        answer = await failed.post(path)
        assert (answer.status, answer.json["code"]) == (404, code)


async def test_a_stream_of_the_run_goes_on_to_the_end_of_the_new_run_attempt(failed: Rerun) -> None:
    """It does not end at the first one's end."""
    await failed.post(f"/runs/{failed.run}/rerun-failed")
    async with failed.gateway.stream(f"/api/v1/runs/{failed.run}/stream") as events:
        kinds = []
        async for _, name, data in events:
            if name == "message":
                kinds.append((data["type"], data["data"].get("run_attempt")))
                if kinds[-1] == ("RunRerunRequested", 2):
                    await failed.job()
    assert [kind for kind in kinds if kind[0] == "RunCompleted"] == [("RunCompleted", 1), ("RunCompleted", 2)]
