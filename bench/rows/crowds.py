"""Many at a time on one server: clients that follow one job's log, and runners that wait for work; what they cost, and how late they are.

The load is this process, whose memory does not count; what counts is the proportional memory of `ledgermill up` with its
database, its messenger and its runner. A thousand clients of server-sent events follow a job that a real runner executes; it
begins to print when all of them are there, and each of them has to get every line once and in order. The runners that wait
are simulated, each with its poll open; one job comes after the other, and what is measured is the time from the request that
starts it to the answer of a poll. A job's life goes on beside that.
"""

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from functools import lru_cache
from pathlib import Path

import msgspec

from bench.fleet import STEPS, Fleet
from bench.harness import Figures, Goal, Row, alternate, judge, percentile
from bench.http import Http
from bench.place import Place
from bench.samples import run_request
from bench.server import Server, up
from gateway import open_files

CLIENTS, RUNNERS, JOBS = 1000, 1000, 100
LINES_A_SECOND, SECONDS = 100, 5
ROUNDS = 3
LOOK_SECONDS = 0.5
WAIT_SECONDS = 120
REST_SECONDS = 1.0
GOALS = (
    Goal(id="sse-clients", case=f"{CLIENTS:,} clients of one log, memory", unit="MB", must=400, better="less", figure="memory"),
    Goal(
        id="sse-clients",
        case=f"line to each of them, {LINES_A_SECOND} lines/s, p99",
        unit="ms",
        must=1000,
        better="less",
        figure="p99",
    ),
    Goal(id="waiting-runners", case=f"{RUNNERS:,} waiting runners, more memory", unit="MB", must=150, better="less", figure="memory"),
    Goal(id="waiting-runners", case="trigger to the poll of one of them, p99", unit="ms", must=25, better="less", figure="p99"),
)
PRINTER = f"""import os, sys, time
while not os.path.exists(sys.argv[1]):
    time.sleep(0.01)  # until all clients are there
began = time.monotonic()
for number in range({LINES_A_SECOND * SECONDS}):
    time.sleep(max(0, began + number / {LINES_A_SECOND} - time.monotonic()))  # the steady rate itself
    print("printed", number, "at", time.monotonic(), flush=True)
"""
PRINTED = re.compile(rb'"printed (\d+) at ([\d.]+)"')
Arrivals = list[tuple[float, bytes]]
"""What came to one client: when, and which bytes."""


async def measure(place: Place) -> AsyncIterator[Row]:
    """Each crowd on a server of its own."""
    open_files.allow_many()
    for name, crowd in (("sse-clients", _clients), ("waiting-runners", _runners)):
        if name in place.ids:
            async for row in crowd(place):
                yield row


async def _clients(place: Place) -> AsyncIterator[Row]:
    async with up(place.directory / "data") as server:
        await server.runner_online()
        http = Http(server.url, server.token)
        try:
            rounds = await alternate({"ours": lambda: _followed(server, http, place.directory)}, place.probe, ROUNDS)
        finally:
            http.close()
    for goal in GOALS:
        if goal.id == "sse-clients":
            yield judge(goal, rounds)


async def _followed(server: Server, http: Http, directory: Path) -> Figures:
    """One job's log to all clients."""
    printer, go = directory / "printer.py", directory / "go"
    printer.write_text(PRINTER)
    go.unlink(missing_ok=True)
    script = msgspec.json.encode(f"python3 {printer} {go}").decode()
    answer = msgspec.json.decode(await http.post("/api/v1/runs", run_request("acme/pay", [script])))
    run = answer["runs"][0]
    jobs = msgspec.json.decode(await http.get(f"/api/v1/runs/{run['run_id']}/jobs?at_least={run['position']}"))
    path = f"/api/v1/jobs/{jobs['items'][0]['id']}/logs/stream"
    came: dict[bytes, bytes] = {}
    arrived: list[Arrivals] = [[] for _ in range(CLIENTS)]

    async def follow(arrivals: Arrivals) -> None:
        async for piece in http.stream(path):
            arrivals.append((time.monotonic(), came.setdefault(piece, piece)))  # nearly all clients get the same pieces: each is kept once

    async with asyncio.timeout(WAIT_SECONDS):
        followers = [asyncio.create_task(follow(arrivals)) for arrivals in arrived]
        while not all(arrived):  # the runner tells of a step before it begins, so something comes to each of them
            await asyncio.sleep(0.05)
        go.touch()
        looking = asyncio.create_task(_most_memory(server, followers))
        await asyncio.gather(*followers)
        memory = await looking
    late = [lateness for arrivals in arrived for lateness in _lateness(arrivals)]
    return {"memory": memory, "p99": percentile(late, 0.99) * 1e3}


async def _most_memory(server: Server, followers: list[asyncio.Task[None]]) -> float:
    """The most that was seen while there were clients."""
    most = 0.0
    while not all(follower.done() for follower in followers):
        most = max(most, await asyncio.to_thread(server.memory_mb))
        await asyncio.sleep(LOOK_SECONDS)
    return most


def _lateness(arrivals: Arrivals) -> list[float]:
    """How late each line came, in seconds. Raises RuntimeError unless every line came once and in order."""
    numbers: list[int] = []
    late: list[float] = []
    rest = b""
    for at, piece in arrivals:
        found, rest = _lines(rest, piece)
        numbers += [number for number, _ in found]
        late += [at - printed for _, printed in found]
    if numbers != list(range(LINES_A_SECOND * SECONDS)):
        raise RuntimeError(f"{len(numbers)} lines came to a client, or not in order")
    return late


@lru_cache(10_000)
def _lines(rest: bytes, piece: bytes) -> tuple[list[tuple[int, float]], bytes]:
    """The lines that are whole now, as (number, when it was printed), and what is left for the next piece."""
    whole, end, rest = (rest + piece).rpartition(b"\n")
    return [(int(number), float(printed)) for number, printed in PRINTED.findall(whole + end)], rest


async def _runners(place: Place) -> AsyncIterator[Row]:
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(up(place.directory / "data", "--no-runner"))
        admin, runner = Http(server.url, server.token), Http(server.url, server.runner_token)
        stack.callback(admin.close)
        stack.callback(runner.close)
        fleet = Fleet(runner, RUNNERS, 1)
        stack.push_async_callback(fleet.stop)
        before = await _at_rest(server)
        await fleet.start()
        rounds = await alternate({"ours": lambda: _woken(server, admin, fleet, before)}, place.probe, ROUNDS)
    for goal in GOALS:
        if goal.id == "waiting-runners":
            yield judge(goal, rounds, f"{before:.0f} MB without runners" if goal.figure == "memory" else "")


async def _at_rest(server: Server) -> float:
    """The memory of the server and its servers, when what came before has settled."""
    await server.views_reach_head()
    await asyncio.sleep(REST_SECONDS)  # at rest is what is measured
    return await asyncio.to_thread(server.memory_mb)


async def _woken(server: Server, admin: Http, fleet: Fleet, before_mb: float) -> Figures:
    """One job after the other, each to one of the runners. before_mb: the memory without them, which idle-memory judges."""
    memory = await _at_rest(server) - before_mb
    late = []
    for _ in range(JOBS):
        ended, began = fleet.ended(1), time.perf_counter()
        answer = msgspec.json.decode(await admin.post("/api/v1/runs", run_request("acme/pay", ["'true'"] * STEPS)))
        await ended
        late.append(fleet.acquired[answer["runs"][0]["run_id"]] - began)
    return {"memory": memory, "p99": percentile(late, 0.99) * 1e3}
