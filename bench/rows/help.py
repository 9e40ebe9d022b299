"""`ledgermill --help`: what every use of the command line pays before it does anything."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

from bench.harness import Goal, Row, alternate, judge
from bench.place import Place

GOALS = (Goal(id="help", case="`ledgermill --help`, median of 10", unit="ms", must=120, better="less", figure="median"),)
TIMES = 10
LEDGERMILL = Path(sys.executable).with_name("ledgermill")


async def measure(place: Place) -> AsyncIterator[Row]:
    """One process after the other, as a person would start them."""
    rounds = await alternate({"ours": _help}, place.probe)
    yield judge(GOALS[0], rounds)


async def _help() -> dict[str, float]:
    taken = []
    for _ in range(TIMES):
        before = time.perf_counter()
        process = await asyncio.create_subprocess_exec(LEDGERMILL, "--help", stdout=asyncio.subprocess.PIPE)
        output, _ = await process.communicate()
        taken.append((time.perf_counter() - before) * 1e3)
        if process.returncode != 0 or b"Usage" not in output:
            raise RuntimeError(f"ledgermill --help ended with {process.returncode}")
    return {"median": sorted(taken)[TIMES // 2]}
