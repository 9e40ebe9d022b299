"""Several topics on one stream: each is given once and in order, however often the connection is cut, and only to whom it belongs."""

import asyncio
import random
from collections import defaultdict
from typing import Any
from uuid import UUID

from domain.run.events import RunEvent
from tests.gateway.conftest import Gateway
from tests.gateway.test_tenants import settle

STREAM = "/api/v1/stream"


async def take(gateway: Gateway, topics: str, cuts: random.Random) -> dict[str, list[Any]]:
    """What each topic gives until the stream ends, over connections that are cut at random points and resumed."""
    found = defaultdict(list)
    last: str | None = None
    while True:
        budget = cuts.randint(0, 60)
        async with gateway.stream(f"{STREAM}?topics={topics}", last) as events:
            async for identity, name, data in events:
                if name == "end":
                    return found
                found[data["topic"]].append(data["data"])
                last = identity
                budget -= 1
                if budget < 0:
                    break


async def test_every_topic_is_given_once_and_in_order_however_often_it_is_cut(gateway: Gateway) -> None:
    """Two runs and their jobs' logs on one connection, which ends when all of them have ended."""
    runner = await gateway.runner()
    runs, jobs = [], []
    for _ in range(2):
        runs.append(await gateway.run())
        jobs.append(await runner.acquire())
    topics = [f"run:{run}" for run in runs] + [f"job:{job.job}:logs" for job in jobs]
    readers = [asyncio.create_task(take(gateway, ",".join(topics), random.Random(seed))) for seed in range(3)]
    for job in jobs:
        await runner.start(job)
        for first in range(1, 301, 50):
            await runner.lines(job, first, first + 49)
        await runner.step(job)
        assert (await runner.complete(job, last_line=300)).status == 200
    histories = [[event.position for event in await gateway.history(run)] for run in runs]
    async with asyncio.timeout(60):
        for reader in readers:
            found = await reader
            assert found.keys() == set(topics)
            for run, history in zip(runs, histories, strict=True):
                assert [event["position"] for event in found[f"run:{run}"]] == history
            for job in jobs:
                assert [record["line"] for record in found[f"job:{job.job}:logs"]] == list(range(1, 301))


async def test_the_runs_of_a_tenant_are_told_from_now_on_and_without_a_gap(gateway: Gateway) -> None:
    """The stream says at once where it stands; whoever is cut before the first event misses nothing."""
    await gateway.run()
    async with gateway.session.get(f"{gateway.url}{STREAM}?topics=runs", headers=gateway.headers()) as response:
        begun = (await response.content.readline()).decode().strip().removeprefix("id: ")
    run = await gateway.run()
    expected = [event.position for event in await gateway.history(run) if isinstance(event.data, RunEvent)]
    found: list[int] = []
    async with asyncio.timeout(30), gateway.stream(f"{STREAM}?topics=runs", begun) as events:
        async for _, _, data in events:
            assert data["topic"] == "runs"
            found.append(data["data"]["position"])
            if found[-1] >= expected[-1]:
                break
    assert found == expected


async def test_what_is_no_topic_is_refused(gateway: Gateway) -> None:
    """422 with the place; 404 for what does not exist; a cursor that tells of other topics is none."""
    run = await gateway.run()
    nobody = UUID(int=1)
    many = ",".join(f"run:{UUID(int=number)}" for number in range(40))
    for query, status, code in (
        ("", 422, "bad_query"),
        ("topics=", 422, "bad_query"),
        ("topics=weather", 422, "bad_query"),
        (f"topics=job:{run}", 422, "bad_query"),
        ("topics=runs,runs", 422, "bad_query"),
        (f"topics={many}", 422, "bad_query"),
        (f"topics=runs,run:{nobody}", 404, "run_not_found"),
        (f"topics=job:{run}:logs", 404, "job_not_found"),
        ("topics=runs&after=1,2", 422, "bad_cursor"),
        (f"topics=run:{run}&after=1:2", 422, "bad_cursor"),
    ):
        answer = await gateway.request("GET", f"{STREAM}?{query}")
        assert (answer.status, answer.json["code"]) == (status, code), query


async def test_topics_are_of_one_tenant(gateway: Gateway) -> None:
    """Another's run is not found, and what happens elsewhere is not sent."""
    a, b = [await settle(gateway, name) for name in ("aleph", "beta")]
    for topic in (f"run:{a.ids['runs']}", f"job:{a.ids['jobs']}:logs"):
        assert (await b.ask("GET", f"{STREAM}?topics=runs,{topic}")).status == 404
    gateway.tokens["admin"] = gateway.tokens["betaadmin"]
    seen = set()
    async with asyncio.timeout(60), gateway.stream(f"{STREAM}?topics=runs,events&after=0,0") as events:
        await a.ask("POST", f"/api/v1/runs/{a.ids['runs']}/rerun", {})
        again = await b.ask("POST", f"/api/v1/runs/{b.ids['runs']}/rerun", {})
        reached: set[str] = set()
        async for _, _, data in events:
            seen.add(data["data"]["tenant"])
            if data["data"]["position"] >= again.json["position"] - 1:
                reached.add(data["topic"])
            if reached == {"runs", "events"}:
                break
    assert seen == {"beta"}


async def test_an_expired_token_ends_the_streams_that_it_opened(gateway: Gateway) -> None:
    """With the reason, although nothing happens meanwhile."""
    run = await gateway.run()
    body = {"name": "guest", "role": "viewer", "expires_in_seconds": 3}
    gateway.tokens["guest"] = (await gateway.request("POST", "/api/v1/tokens", body)).json["token"]
    url = f"{gateway.url}{STREAM}?topics=run:{run}"
    async with asyncio.timeout(60), gateway.session.get(url, headers=gateway.headers("guest")) as response:
        assert response.status == 200
        told = (await response.content.read()).decode()
    assert "event: dropped\n" in told
    assert '"code":"token_expired"' in told
    assert (await gateway.request("GET", STREAM, role="guest")).status == 401


async def test_a_revoked_token_ends_the_streams_that_it_opened(gateway: Gateway) -> None:
    """With the reason; the token of another goes on."""
    run = await gateway.run()
    made = (await gateway.request("POST", "/api/v1/tokens", {"name": "guest", "role": "viewer"})).json
    gateway.tokens["guest"] = made["token"]
    url = f"{gateway.url}{STREAM}?topics=run:{run}"
    async with asyncio.timeout(30), gateway.session.get(url, headers=gateway.headers("guest")) as response:
        assert response.status == 200
        await response.content.readline()
        assert (await gateway.request("DELETE", f"/api/v1/tokens/{made['id']}")).status == 204
        told = (await response.content.read()).decode()
    assert "event: dropped\n" in told
    assert '"code":"token_revoked"' in told
    assert (await gateway.request("GET", STREAM, role="guest")).status == 401
