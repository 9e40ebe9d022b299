"""Every view is rebuilt and swapped in a living server under load: nobody reads anything wrong, and in the end it is the fold."""

import asyncio
from typing import Any

import psycopg
import pytest

from projections.catalogue import VIEWS
from tests.gateway.conftest import Gateway

pytestmark = pytest.mark.timeout(300)
WORKERS = 3


class Load:
    """Runs come, are worked on and end; each command is followed by a read that must see it."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.over = asyncio.Event()
        self.finished = 0
        self.read = 0

    async def shown(self, path: str, position: int) -> Any:
        """A read that waits for a position."""
        answer = await self.gateway.request("GET", f"/api/v1{path}?at_least={position}")
        assert answer.status == 200, (path, answer.json)
        self.read += 1
        return answer.json

    async def work(self, number: int) -> None:
        """One runner with labels of its own, run after run."""
        workflow = f"on: push\njobs:\n  build: {{runs-on: own-{number}, steps: [{{run: echo}}]}}\n"
        runner = await self.gateway.runner(f"r{number}", (f"own-{number}",))
        while not self.over.is_set():
            started = await self.gateway.trigger(workflow=workflow)
            (run,), position = started.json["runs"], int(started.headers["X-Event-Position"])
            assert (await self.shown(f"/runs/{run['run_id']}", position))["status"] in {"queued", "in_progress"}
            await runner.work(await runner.acquire())
            head = await self.gateway.store.head()
            done = await self.shown(f"/runs/{run['run_id']}", head)
            assert (done["status"], done["conclusion"]) == ("completed", "success")
            (job,) = (await self.shown(f"/runs/{run['run_id']}/jobs", head))["items"]
            assert (job["conclusion"], [step["conclusion"] for step in job["steps"]]) == ("success", ["success"])
            assert [each["state"] for each in (await self.shown("/runners", head))["items"]] != []
            assert f"{run['run_id']}" in {each["run_id"] for each in (await self.shown("/audit", head))["items"]}
            self.finished += 1

    async def count(self) -> None:
        """Read bare tables all the while: what has been there once is never missing."""
        before: dict[str, int] = {}
        async with await psycopg.AsyncConnection.connect(self.gateway.store.database_url, autocommit=True) as connection:
            while not self.over.is_set():
                for table in ("runs", "jobs", "attempts", "steps", "audit", "runners", "workflows", "log_segments"):
                    cursor = await connection.execute(f"SELECT count(*) FROM views.{table}".encode(), prepare=True)
                    found = await cursor.fetchone()
                    assert found is not None
                    assert found[0] >= before.get(table, 0), f"rows of {table} were gone for a moment"
                    before[table] = found[0]


async def test_every_view_is_rebuilt_under_load_without_a_wrong_read(gateway: Gateway) -> None:
    """Twice each, while runs flow; proved against the fold meanwhile, and at the end row for row."""
    load = Load(gateway)
    async with asyncio.TaskGroup() as tasks:
        for number in range(WORKERS):
            tasks.create_task(load.work(number))
        tasks.create_task(load.count())
        try:
            for view in [*VIEWS, *VIEWS]:
                finished = load.finished
                answer = await gateway.request("POST", f"/api/v1/projections/{view}/rebuild")
                assert answer.status == 200, answer.json
                assert answer.json["position"] > 0
                while load.finished == finished:
                    await asyncio.sleep(0.01)  # the load is on its own: a run comes through after each swap
            meanwhile = await gateway.request("POST", "/api/v1/runs/latest/replay")
            assert meanwhile.json["differences"] == []
        finally:
            load.over.set()
    assert load.read > 4 * 2 * len(VIEWS)
    whole = (await gateway.request("POST", "/api/v1/runs/latest/replay")).json
    assert (whole["scope"], whole["clean"], whole["differences"]) == ("store", True, [])
    generations = {each["name"]: each["rebuilds"] for each in (await gateway.request("GET", "/api/v1/projections")).json["items"]}
    assert all(rebuilds >= 2 for rebuilds in generations.values()), generations
