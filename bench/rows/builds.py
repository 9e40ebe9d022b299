"""Builds of five real `bash -c true` steps: a backlog is queued at once and worked off by one runner on this machine.

The clock runs from the first trigger to the last step of the last build. The floor is how many such programs the kernel
starts and ends one after the other, by five.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

from bench.harness import Figures, Goal, Row, Side, alternate, judge, without_reference
from bench.http import Http
from bench.peers import buildbot
from bench.peers.environment import PeerMissingError
from bench.place import Place
from bench.samples import run_request
from bench.server import up

QUEUED, PEER_QUEUED = 100, 20
ROUNDS = 3
TRIGGERS = 8
SPAWNS = 300
WAIT_SECONDS = 120
BUILDBOT, FLOOR = "Buildbot on Postgres", "posix_spawn and waitpid, by five"
BASH = ("/bin/bash", "-c", "true")
NOTE = f"Buildbot works off {PEER_QUEUED}, because {QUEUED} of its builds take a minute"
GOALS = (
    Goal(id="builds", case=f"5 bash steps, {QUEUED} queued, against Buildbot", unit="builds/s", must=40, aim=60, reference=BUILDBOT),
    Goal(id="builds", case=f"5 bash steps, {QUEUED} queued, against the floor", unit="builds/s", must=0.5, aim=0.7, reference=FLOOR),
)


async def measure(place: Place) -> AsyncIterator[Row]:
    """All three in turn."""
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(up(place.directory / "data"))
        await server.runner_online()
        http = Http(server.url, server.token)
        stack.callback(http.close)
        marks = place.directory / "marks"
        request = run_request("acme/pay", ["true"] * 4 + [f"echo $EPOCHREALTIME >> {marks}.last"])
        sides: dict[str, Side] = {
            "ours": lambda: _worked_off(QUEUED, marks, lambda: http.post("/api/v1/runs", request)),
            FLOOR: _spawned,
        }
        missing = ""
        try:
            peer = await stack.enter_async_context(buildbot.running(place))
        except PeerMissingError as error:
            missing = str(error)
        else:
            client = Http(peer.url, "")
            stack.callback(client.close)
            sides[BUILDBOT] = lambda: _worked_off(PEER_QUEUED, peer.marks, lambda: client.post(buildbot.FORCE, buildbot.force("x")))
        rounds = await alternate(sides, place.probe, ROUNDS)
    for goal in GOALS:
        if missing and goal.reference == BUILDBOT:
            yield without_reference(goal, rounds, missing)
        else:
            yield judge(goal, rounds, NOTE if goal.reference == BUILDBOT else "")


async def _worked_off(builds: int, marks: Path, trigger: Callable[[], Awaitable[object]]) -> Figures:
    last = marks.with_name(f"{marks.name}.last")
    last.unlink(missing_ok=True)
    before = time.time()
    left = iter(range(builds))

    async def client() -> None:
        for _ in left:
            await trigger()

    await asyncio.gather(*(client() for _ in range(TRIGGERS)))
    give_up_at = time.monotonic() + WAIT_SECONDS
    while not last.exists() or len(ends := last.read_text().splitlines()) < builds:
        if time.monotonic() > give_up_at:
            raise TimeoutError(f"{builds} builds were not done within {WAIT_SECONDS} s")
        await asyncio.sleep(0.05)
    return {"rate": builds / (max(float(end.split()[0]) for end in ends) - before)}


async def _spawned() -> Figures:
    before = time.perf_counter()
    for _ in range(SPAWNS):
        os.waitpid(os.posix_spawn(BASH[0], BASH, {"PATH": os.defpath}), 0)
    await asyncio.sleep(0)
    return {"rate": SPAWNS / 5 / (time.perf_counter() - before)}
