"""What waits and is held back says so: in the run, in its jobs and in the queue, with who is in the way."""

from gateway.cli.queue import describe
from tests.gateway.api.test_reads import shown
from tests.gateway.conftest import Gateway

ALONE = """\
name: alone
on: push
concurrency: Deploy
jobs:
  build: {runs-on: linux, steps: [{run: echo}]}
"""
NARROW = """\
name: narrow
on: push
jobs:
  wide:
    runs-on: linux
    strategy: {max-parallel: 1, matrix: {v: [1, 2]}}
    steps: [{run: echo}]
"""


async def test_a_pending_run_names_its_group_and_who_holds_it(gateway: Gateway) -> None:
    """Until the holder is done; then it is a run like any other."""
    first, second = str(await gateway.run(ALONE)), str(await gateway.run(ALONE))
    assert (await shown(gateway, f"/runs/{first}"))["status"] == "queued"
    found = await shown(gateway, f"/runs/{second}")
    reason = "waiting for concurrency group Deploy held by run 1 of .github/workflows/ci.yml"
    assert (found["status"], found["reason"]) == ("pending", reason)
    assert [(run["id"], run["reason"]) for run in (await shown(gateway, "/runs?status=pending"))["items"]] == [(second, reason)]
    queue = await shown(gateway, "/queue")
    assert [(held["run_id"], held["reason"]) for held in queue["held"]] == [(second, reason)]
    assert f"{second[:8]} {reason}" in describe(queue)
    runner = await gateway.runner()
    await runner.work(await runner.acquire())
    found = await shown(gateway, f"/runs/{second}")
    assert (found["status"], found["reason"]) == ("queued", "")
    assert (await shown(gateway, "/queue"))["held"] == []


async def test_a_job_that_max_parallel_holds_back_says_so(gateway: Gateway) -> None:
    """Its status is waiting, with the limit as the reason; it is not in the queue."""
    run = await gateway.run(NARROW)
    jobs = {job["name"]: job for job in (await shown(gateway, f"/runs/{run}/jobs"))["items"]}
    assert (jobs["wide (1)"]["status"], jobs["wide (1)"]["reason"]) == ("queued", "")
    held = (jobs["wide (2)"]["status"], jobs["wide (2)"]["reason"])
    assert held == ("waiting", "waiting for others of its matrix: max-parallel is 1")
    assert (await shown(gateway, f"/jobs/{jobs['wide (2)']['id']}"))["reason"] == held[1]
    assert (await shown(gateway, "/queue"))["depth"] == 1


async def test_a_pending_run_can_be_cancelled(gateway: Gateway) -> None:
    """It is complete at once, and its group belongs to the others."""
    await gateway.run(ALONE)
    second = await gateway.run(ALONE)
    assert (await gateway.request("POST", f"/api/v1/runs/{second}/cancel", {})).status == 202
    found = await shown(gateway, f"/runs/{second}")
    assert (found["status"], found["conclusion"]) == ("completed", "cancelled")
    assert (await shown(gateway, "/queue"))["held"] == []


CALLING = """\
name: calling
on: push
jobs:
  ship: {concurrency: Deploy, uses: ./.github/workflows/called.yml}
"""
CALLED = """\
on: workflow_call
jobs:
  inner: {runs-on: linux, steps: [{run: echo}]}
"""


async def test_a_job_of_a_call_that_waits_names_the_calls_group(gateway: Gateway) -> None:
    """The call has no row of its own; once it is let in, nothing waits."""
    called = [{"path": ".github/workflows/called.yml", "text": CALLED}]
    first, second = [(await gateway.trigger(workflow=CALLING, called=called)).json["runs"][0]["run_id"] for _ in range(2)]
    (job,) = (await shown(gateway, f"/runs/{second}/jobs"))["items"]
    reason = "waiting for concurrency group Deploy held by run 1 of .github/workflows/ci.yml"
    assert (job["name"], job["status"], job["reason"]) == ("ship / inner", "waiting", reason)
    assert (await shown(gateway, f"/jobs/{job['id']}"))["reason"] == reason
    assert [held["reason"] for held in (await shown(gateway, "/queue"))["held"]] == [reason]
    runner = await gateway.runner()
    await runner.work(await runner.acquire())
    assert (await shown(gateway, f"/runs/{first}"))["conclusion"] == "success"
    (job,) = (await shown(gateway, f"/runs/{second}/jobs"))["items"]
    assert (job["status"], job["reason"]) == ("queued", "")
    assert (await shown(gateway, "/queue"))["held"] == []
