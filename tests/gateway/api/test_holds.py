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
