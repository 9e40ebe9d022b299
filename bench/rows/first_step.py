"""From a trigger to the job's first process, with nothing else to do. The peer is Buildbot, triggered over its own API.

Five shell steps on both sides; the first writes its own time of day. The clock starts just before the request is sent, on
a connection of its own. Both systems run all the while, so that they share the machine as it is.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

from bench.harness import Figures, Goal, Row, alternate, judge, percentile, without_reference
from bench.peers import buildbot
from bench.peers.environment import PeerMissingError
from bench.place import Place
from bench.samples import run_request
from bench.server import Server, up

TIMES = 10
WAIT_SECONDS = 30
BUILDBOT = "Buildbot on Postgres"
GOALS = tuple(
    Goal(id="first-step", case=case, unit="ms", must=1 / 12, aim=1 / 20, better="less", figure=figure, reference=BUILDBOT)
    for figure, case in (("p50", "trigger to first step, idle, p50"), ("p99", f"trigger to first step, idle, p99 (worst of {TIMES})"))
)


async def measure(place: Place) -> AsyncIterator[Row]:
    """Ten triggers on each side in a round, each after the one before has ended."""
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(up(place.directory / "data"))
        await server.runner_online()
        marks = place.directory / "marks"
        sides = {"ours": lambda: _latencies(lambda: _start(server, marks), marks)}
        missing = ""
        try:
            peer = await stack.enter_async_context(buildbot.running(place))
        except PeerMissingError as error:
            missing = str(error)
        else:
            sides[BUILDBOT] = lambda: _latencies(lambda: peer.trigger("x"), peer.marks)
        rounds = await alternate(sides, place.probe)
    for goal in GOALS:
        yield without_reference(goal, rounds, missing) if missing else judge(goal, rounds)


async def _latencies(trigger: Callable[[], object], marks: Path) -> Figures:
    first, last = marks.with_name(f"{marks.name}.first"), marks.with_name(f"{marks.name}.last")
    taken = []
    for _ in range(TIMES):
        first.unlink(missing_ok=True)
        last.unlink(missing_ok=True)
        before = time.time()
        await asyncio.to_thread(trigger)
        await _written(last)
        taken.append((float(first.read_text().split()[0]) - before) * 1e3)
    return {"p50": percentile(taken, 0.5), "p99": percentile(taken, 0.99)}


async def _written(path: Path) -> None:
    give_up_at = time.monotonic() + WAIT_SECONDS
    while not (path.exists() and path.stat().st_size):
        if time.monotonic() > give_up_at:
            raise TimeoutError(f"{path.name}: the last step did not run within {WAIT_SECONDS} s")
        await asyncio.sleep(0.02)
    await asyncio.sleep(0.1)  # idle again: what follows the last step is over


def _start(server: Server, marks: Path) -> None:
    scripts = [f"echo $EPOCHREALTIME >> {marks}.first", "true", "true", "true", f"echo $EPOCHREALTIME >> {marks}.last"]
    answer = server.call("/runs", run_request("acme/pay", scripts))
    if len(answer["runs"]) != 1:
        raise RuntimeError(f"the trigger started no run: {answer}")
