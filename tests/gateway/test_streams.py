"""Streams resume at any point and give everything once; logs are durable when the gateway says so."""

import asyncio
import random
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from gateway.auth import Identity
from gateway.http import Request
from gateway.sse import EventStream
from tests.gateway.conftest import Gateway, serving

TWO_JOBS = """\
on: push
jobs:
  one:
    runs-on: linux
    steps: [{run: echo 1}]
  two:
    runs-on: linux
    needs: one
    steps: [{run: echo 2}]
"""


async def take(gateway: Gateway, path: str, cuts: random.Random) -> list[tuple[str, Any]]:
    """Read a stream to its end over connections that are cut at random points, each resumed after the last id."""
    found: list[tuple[str, Any]] = []
    last: str | None = None
    while True:
        budget = cuts.randint(0, 40)
        async with gateway.stream(path, last) as events:
            async for identity, name, data in events:
                if name == "end":
                    return found
                found.append((identity, data))
                last = identity
                budget -= 1
                if budget < 0:
                    break


async def test_a_run_stream_gives_every_event_once_however_often_it_is_cut(gateway: Gateway) -> None:
    """While the run goes on: the union of all connections is the run's history, in order."""
    run = await gateway.run(TWO_JOBS)
    runner = await gateway.runner()
    readers = [asyncio.create_task(take(gateway, f"/api/v1/runs/{run}/stream", random.Random(seed))) for seed in range(4)]
    for _ in range(2):
        await runner.work(await runner.acquire())
    history = [(str(event.position), event.type) for event in await gateway.history(run)]
    for reader in readers:
        assert [(identity, data["type"]) for identity, data in await reader] == history


async def test_a_long_history_is_held_in_part_and_given_whole(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not wait with the client is read again; the end comes after the last event and not before."""
    monkeypatch.setattr("gateway.topics.PAGE_EVENTS", 2)
    monkeypatch.setattr("gateway.topics.HELD_EVENTS_MAX", 5)
    run = await gateway.run(TWO_JOBS)
    runner = await gateway.runner()
    readers = [asyncio.create_task(take(gateway, f"/api/v1/runs/{run}/stream", random.Random(seed))) for seed in range(2)]
    for _ in range(2):
        await runner.work(await runner.acquire())
    readers.append(asyncio.create_task(take(gateway, f"/api/v1/runs/{run}/stream", random.Random(3))))
    history = [(str(event.position), event.type) for event in await gateway.history(run)]
    assert len(history) > 15
    for reader in readers:
        assert [(identity, data["type"]) for identity, data in await reader] == history


async def test_a_log_stream_gives_every_line_once_however_often_it_is_cut(gateway: Gateway) -> None:
    """Lines come live, from memory and from stored segments, and count without a gap."""
    await gateway.run()
    runner = await gateway.runner()
    job = await runner.acquire()
    await runner.start(job)
    path = f"/api/v1/jobs/{job.job}/logs/stream"
    readers = [asyncio.create_task(take(gateway, path, random.Random(seed))) for seed in range(4)]
    for first in range(1, 1001, 50):
        answer = await runner.lines(job, first, first + 49, "x" * 500)
        assert answer.json["received_through"] == first + 49
    await runner.step(job)
    assert (await runner.complete(job, last_line=1000)).status == 200
    for reader in readers:
        assert [identity for identity, _ in await reader] == [f"1:{line}" for line in range(1, 1001)]


async def test_a_log_stream_goes_on_with_the_next_attempt(gateway: Gateway) -> None:
    """The job was lost and tried again: both attempts' lines, then the end."""
    await gateway.run()
    runner = await gateway.runner()
    job = await runner.acquire()
    await runner.start(job)
    await runner.lines(job, 1, 2, "first")
    reader = asyncio.create_task(take(gateway, f"/api/v1/jobs/{job.job}/logs/stream", random.Random(1)))
    async with asyncio.timeout(20):
        while (await runner.lines(job, 3, 2)).json["stored_through"] < 2:
            await asyncio.sleep(0.05)
    assert (await runner.complete(job, "cancelled", last_line=2)).status == 200  # nobody asked: the runner goes away
    again = await runner.acquire()
    await runner.start(again)
    await runner.lines(again, 1, 1, "second")
    await runner.step(again)
    await runner.complete(again, last_line=1)
    assert [(identity, data["text"]) for identity, data in await reader] == [("1:1", "first 1"), ("1:2", "first 2"), ("2:1", "second 1")]


async def test_lines_that_were_sent_twice_or_leave_a_gap_are_dropped(gateway: Gateway) -> None:
    """The answer says where to go on; what is stored has every line once."""
    await gateway.run()
    runner = await gateway.runner()
    job = await runner.acquire()
    await runner.start(job)
    assert (await runner.lines(job, 1, 5)).json["received_through"] == 5
    assert (await runner.lines(job, 3, 8)).json["received_through"] == 8
    assert (await runner.lines(job, 10, 12)).json["received_through"] == 8
    await runner.step(job)
    missing = await runner.complete(job, last_line=12)
    assert (missing.status, missing.json["code"]) == (409, "logs_missing")
    await runner.lines(job, 9, 12)
    assert (await runner.complete(job, last_line=12)).status == 200
    assert await text(gateway, job.job) == [f"line {n}" for n in range(1, 13)]


async def test_part_of_a_log_is_found_by_line_and_by_text(gateway: Gateway) -> None:
    """from_line, to_line and grep narrow what is sent."""
    await gateway.run()
    runner = await gateway.runner()
    job = await runner.acquire()
    await runner.start(job)
    await runner.lines(job, 1, 30)
    assert await text(gateway, job.job, "?from_line=9&to_line=11") == ["line 9", "line 10", "line 11"]
    assert await text(gateway, job.job, "?grep=line+2&from_line=3") == [f"line {n}" for n in range(20, 30)]
    answer = await gateway.request("GET", f"/api/v1/jobs/{job.job}/logs?from_line=x")
    assert (answer.status, answer.json["code"]) == (422, "bad_query")


async def test_part_of_a_log_is_found_by_bytes(gateway: Gateway) -> None:
    """`Range` over HTTP: 206 with the bytes, 416 with the size; the OpenAPI document tells of both."""
    await gateway.run()
    runner = await gateway.runner()
    job = await runner.acquire()
    await runner.start(job)
    await runner.lines(job, 1, 3)
    url = f"{gateway.url}/api/v1/jobs/{job.job}/logs"
    async with gateway.session.get(url, headers=gateway.headers() | {"Range": "bytes=5-11"}) as response:
        assert (response.status, response.headers["Content-Range"]) == (206, "bytes 5-11/21")
        assert await response.text() == "1\nline "
    async with gateway.session.get(url, headers=gateway.headers() | {"Range": "bytes=21-"}) as response:
        assert (response.status, response.headers["Content-Range"]) == (416, "bytes */21")
        assert (await response.json())["code"] == "no_such_bytes"
    described = (await gateway.request("GET", "/openapi.json")).json["paths"]["/api/v1/jobs/{id}/logs"]["get"]
    assert {"206", "416"} <= described["responses"].keys()
    assert {each["name"] for each in described["parameters"]} == {"id", "attempt", "from_line", "to_line", "grep", "Range"}


async def test_what_was_stored_survives_the_gateway(postgres_url: str, tmp_path: Path) -> None:
    """stored_through is a promise: the next gateway has those lines and goes on after them."""
    async with serving(postgres_url, tmp_path / "data") as first:
        await first.run()
        runner = await first.runner()
        job = await runner.acquire()
        await runner.start(job)
        await runner.lines(job, 1, 20)
        async with asyncio.timeout(20):
            while (await runner.lines(job, 21, 20)).json["stored_through"] < 20:
                await asyncio.sleep(0.05)
    async with serving(postgres_url, tmp_path / "data") as second:
        runner = await second.runner()
        answer = await runner.lines(job, 21, 22)
        assert answer.json == {"received_through": 22, "stored_through": 20}
        await runner.step(job)
        await runner.complete(job, last_line=22)
        assert await text(second, job.job) == [f"line {n}" for n in range(1, 23)]


async def test_streams_of_what_does_not_exist_are_not_found(gateway: Gateway) -> None:
    """404 before the stream begins."""
    for path, code in (("runs/{}/stream", "run_not_found"), ("jobs/{}/logs/stream", "job_not_found"), ("jobs/{}/logs", "job_not_found")):
        answer = await gateway.request("GET", f"/api/v1/{path.format(UUID(int=1))}")
        assert (answer.status, answer.json["code"]) == (404, code)


async def test_a_bad_cursor_is_refused(gateway: Gateway) -> None:
    """422 names what was sent."""
    run = await gateway.run()
    answer = await gateway.request("GET", f"/api/v1/runs/{run}/stream", Last_Event_ID="yesterday")
    assert (answer.status, answer.json["code"]) == (422, "bad_cursor")


async def text(gateway: Gateway, job: UUID, query: str = "") -> list[str]:
    """A job's log as lines of text."""
    async with gateway.session.get(f"{gateway.url}/api/v1/jobs/{job}/logs{query}", headers=gateway.headers()) as response:
        assert response.status == 200
        return (await response.text()).splitlines()


async def test_a_client_whose_job_prints_nothing_is_kept_though_there_is_other_news(monkeypatch: pytest.MonkeyPatch) -> None:
    """News that is nothing to this client, more often than the pings, does not put them off."""
    monkeypatch.setattr("gateway.sse.PING_SECONDS", 0.05)
    sent: list[bytes] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message.get("body", b""))

    request = Request(
        {"headers": []}, asyncio.Queue().get, Identity(tenant="default", role="admin", actor="someone", token="token"), "request", ()
    )
    news = asyncio.Event()
    stream = EventStream(request, send, news)
    for _ in range(30):
        asyncio.get_running_loop().call_later(0.01, news.set)
        await stream.wait()
        news.clear()
    assert 2 <= sent.count(b": ping\n\n") <= 30 * 0.01 / 0.05 * 10
