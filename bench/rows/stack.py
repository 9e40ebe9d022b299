"""The server as a whole: its start on an empty and on a used data directory, and what it holds in memory at rest."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

from bench.harness import Goal, Row, alternate, judge
from bench.place import Place
from bench.server import up

REST_SECONDS = 1.0
GOALS = (
    Goal(id="up-cold", case="process start to ready, empty data directory", unit="s", must=2.5, better="less", figure="cold"),
    Goal(id="up-warm", case="process start to ready, used data directory", unit="s", must=1.2, better="less", figure="warm"),
    Goal(id="idle-memory", case="PSS of all processes, one runner", unit="MB", must=250, better="less", figure="memory"),
)


async def measure(place: Place) -> AsyncIterator[Row]:
    """A cold start, its memory at rest, its end, a warm start."""
    rounds = await alternate({"ours": lambda: _lives(place.directory / "data")}, place.probe)
    for goal in GOALS:
        yield judge(goal, rounds)


async def _lives(data: Path) -> dict[str, float]:
    try:
        async with up(data) as server:
            cold = server.seconds
            await server.runner_online()
            await asyncio.sleep(REST_SECONDS)  # at rest is what is measured: what the start has left behind may settle
            memory = server.memory_mb()
        async with up(data) as server:
            return {"cold": cold, "warm": server.seconds, "memory": memory}
    finally:
        shutil.rmtree(data)
