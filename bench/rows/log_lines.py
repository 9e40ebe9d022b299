"""Log lines, from a step's print to a client that follows: how many a second, and how late at a steady flow.

A real runner runs the step on `ledgermill up`; it masks each line (one value is declared secret), the gateway stores
them and sends them on as server-sent events. Lines a second count from the step's first moment until the stream says that
the job and its log are complete; the last line holds the secret, and has to arrive masked. Buildbot's clock stops when the
next step starts, as in use. The floor reads the same lines from a pipe and posts them by the hundred.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec

from bench import noop
from bench.harness import Figures, Goal, Row, Side, alternate, judge, percentile, without_reference
from bench.http import Http
from bench.peers import buildbot
from bench.peers.environment import PeerMissingError
from bench.place import Place
from bench.samples import run_request
from bench.server import up

LINES = 100_000
TEXT = "2026-03-01T10:00:15Z compiling module number 12345 of the build, ok"
STEADY_SECONDS, STEADY_LINES_A_SECOND = 3, 10_000
WAIT_SECONDS = 60
BUILDBOT, FLOOR = "Buildbot on Postgres", "a pipe posted by the hundred lines"
GOALS = (
    Goal(id="log-lines", case="a step's lines to SSE, against Buildbot", unit="lines/s", must=1, aim=2, reference=BUILDBOT),
    Goal(id="log-lines", case="a step's lines to SSE, against pipe to HTTP", unit="lines/s", must=0.2, aim=0.5, reference=FLOOR),
    Goal(
        id="log-latency",
        case=f"line to client at {STEADY_LINES_A_SECOND} lines/s, p99",
        unit="ms",
        must=250,
        better="less",
        side="steady",
        figure="p99",
    ),
)
PRINT = f"(yes '{TEXT}' || true) | head -n {LINES}"  # a shell of GitHub's takes the broken pipe of `yes` for a failure
PACED = f"""import sys, time
began = time.time()
for tick in range({STEADY_SECONDS} * 100):
    time.sleep(max(0, began + tick / 100 - time.time()))  # the steady rate itself
    for _ in range({STEADY_LINES_A_SECOND // 100}):
        print("printed at", time.time(), flush=False)
    sys.stdout.flush()
"""


async def measure(place: Place) -> AsyncIterator[Row]:
    """All sides in turn; those that nobody asked for are left out."""
    goals = [goal for goal in GOALS if goal.id in place.ids]
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(up(place.directory / "data"))
        await server.runner_online()
        http = Http(server.url, server.token)
        stack.callback(http.close)
        marks = place.directory / "marks"
        paced = place.directory / "paced.py"
        paced.write_text(PACED)
        sides: dict[str, Side] = {}
        missing = ""
        if any(goal.id == "log-lines" for goal in goals):
            floor = await stack.enter_async_context(noop.running())
            sides = {"ours": lambda: _followed(http, marks), FLOOR: lambda: _posted(floor)}
            try:
                peer = await stack.enter_async_context(buildbot.running(place, prints=PRINT))
            except PeerMissingError as error:
                missing = str(error)
            else:
                client = Http(peer.url, "")
                stack.callback(client.close)
                sides[BUILDBOT] = lambda: _printed(client, peer.marks)
        if any(goal.id == "log-latency" for goal in goals):
            sides["steady"] = lambda: _steady(http, paced)
        rounds = await alternate(sides, place.probe)
    for goal in goals:
        yield without_reference(goal, rounds, missing) if missing and goal.reference == BUILDBOT else judge(goal, rounds)


async def _follow(http: Http, script: str) -> AsyncIterator[bytes]:
    """Run a job of one step and follow its log; gives what arrives, in pieces, until the log is complete."""
    answer = msgspec.json.decode(await http.post("/api/v1/runs", run_request("acme/pay", [msgspec.json.encode(script).decode()])))
    run = answer["runs"][0]
    jobs = msgspec.json.decode(await http.get(f"/api/v1/runs/{run['run_id']}/jobs?at_least={run['position']}"))
    async with asyncio.timeout(WAIT_SECONDS):
        async for piece in http.stream(f"/api/v1/jobs/{jobs['items'][0]['id']}/logs/stream"):
            yield piece


async def _followed(http: Http, marks: Path) -> Figures:
    first = marks.with_name(f"{marks.name}.first")
    first.unlink(missing_ok=True)
    begin = "half=sword; echo ::add-mask::${half}fish"  # the runner shows a script as it is written, before any of it has run
    script = f"{begin}; echo $EPOCHREALTIME >> {first}; {PRINT}; echo the word is ${{half}}fish"
    pieces = [piece async for piece in _follow(http, script)]
    taken = time.time() - float(first.read_text())
    received = b"".join(pieces)
    lines = received.count(b'module number 12345 of the build, ok"')
    if lines != LINES or received.count(b"the word is ***") != 1 or b"swordfish" in received:
        raise RuntimeError(f"{lines} lines of {LINES} arrived, or the last one not masked")
    return {"rate": LINES / taken}


async def _steady(http: Http, paced: Path) -> Figures:
    late, rest = [], b""
    async for piece in _follow(http, f"python3 {paced}"):
        now = time.time()
        *whole, rest = (rest + piece).split(b"\n")
        late += [now - float(line.partition(b'"printed at ')[2].partition(b'"')[0]) for line in whole if b'"printed at ' in line]
    if len(late) != STEADY_SECONDS * STEADY_LINES_A_SECOND:
        raise RuntimeError(f"{len(late)} lines arrived")
    return {"p99": percentile(late, 0.99) * 1e3}


async def _posted(floor: Http) -> Figures:
    before = time.perf_counter()
    process = await asyncio.create_subprocess_exec("bash", "-c", PRINT, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    lines, batch = 0, []
    async for line in process.stdout:
        batch.append(line)
        if len(batch) == 100:
            await floor.send("POST", "/lines", b"".join(batch))
            lines += len(batch)
            batch.clear()
    await process.wait()
    return {"rate": lines / (time.perf_counter() - before)}


async def _printed(client: Http, marks: Path) -> Figures:
    first, last = marks.with_name(f"{marks.name}.first"), marks.with_name(f"{marks.name}.last")
    first.unlink(missing_ok=True)
    last.unlink(missing_ok=True)
    await client.post(buildbot.FORCE, buildbot.force("x", "log"))
    async with asyncio.timeout(WAIT_SECONDS):
        while not last.exists() or not last.read_text().endswith("\n"):
            await asyncio.sleep(0.02)
    return {"rate": LINES / (float(last.read_text().split()[0]) - float(first.read_text().split()[0]))}
