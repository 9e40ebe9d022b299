"""Triggers that are accepted durably, per second: each a POST that is answered when its run and its job are committed.

The same number of clients send one after the other on both sides. What is triggered stays queued, because no runner and
no worker is there. The floor is a route of the framework that accepts a body and does nothing with it.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

from bench import noop
from bench.harness import Figures, Goal, Row, Side, alternate, judge, without_reference
from bench.http import Http
from bench.peers import buildbot
from bench.peers.environment import PeerMissingError
from bench.place import Place
from bench.samples import run_request
from bench.server import up

CLIENTS = 32
BUILDBOT, FLOOR = "Buildbot on Postgres", "FastAPI's own no-op route"
TIMES = {"ours": 2000, BUILDBOT: 150, FLOOR: 6000}
GOALS = (
    Goal(id="trigger", case="accepted durably, against Buildbot", unit="req/s", must=15, aim=40, reference=BUILDBOT),
    Goal(id="trigger", case="accepted durably, against a no-op", unit="req/s", must=0.2, aim=0.4, reference=FLOOR),
)


async def measure(place: Place) -> AsyncIterator[Row]:
    """All three in turn."""
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(up(place.directory / "data", "--no-runner"))
        http = Http(server.url, server.token)
        stack.callback(http.close)
        floor = await stack.enter_async_context(noop.running())
        sides: dict[str, Side] = {
            "ours": _side("ours", lambda number: http.post("/api/v1/runs", run_request(f"acme/pay-{number % CLIENTS}", ["'true'"] * 5))),
            FLOOR: _side(FLOOR, lambda _: floor.post("/runs", noop.TRIGGER)),
        }
        missing = ""
        try:
            peer = await stack.enter_async_context(buildbot.running(place, worker=False))
        except PeerMissingError as error:
            missing = str(error)
        else:
            client = Http(peer.url, "")
            stack.callback(client.close)
            sides[BUILDBOT] = _side(BUILDBOT, lambda _: client.post(buildbot.FORCE, buildbot.force("x")))
        rounds = await alternate(sides, place.probe)
    for goal in GOALS:
        yield without_reference(goal, rounds, missing) if missing and goal.reference == BUILDBOT else judge(goal, rounds)


def _side(name: str, send: Callable[[int], Awaitable[object]]) -> Side:
    async def measured() -> Figures:
        numbers = iter(range(TIMES[name]))

        async def client() -> None:
            for number in numbers:
                await send(number)

        before = time.perf_counter()
        await asyncio.gather(*(client() for _ in range(CLIENTS)))
        return {"rate": TIMES[name] / (time.perf_counter() - before)}

    return measured
