"""Steps a second: what the runner's executor adds to the bare start of a program, also in a process that has grown large.

Each step is `bash -c true`, one after the other. Ours goes the way of every step: through the cell's guardian, both
pipes read to their end on the event loop, supervised. The reference is the kernel's and bash's own time, with no pipes.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

from bench.harness import Figures, Goal, Row, Side, alternate, judge
from bench.place import Place
from runner.clock import StoreClock
from runner.executors.host import HostExecutor
from runner.executors.port import Cell, Command
from runner.logs import LogSpool
from runner.masking import Masker
from runner.pipes import PipeReader
from runner.spool import Left, Spool
from runner.step_output import StepOutput
from runner.steps import settle
from runner.stopping import Cancellation, supervise
from runner.wire import Fence, Line, LogsAccepted

REFERENCE = "posix_spawn and waitpid"
GOALS = (
    Goal(id="spawn", case="runner's executor", unit="steps/s", must=0.6, aim=0.85, reference=REFERENCE),
    Goal(
        id="spawn",
        case="runner's executor, 400 MB parent",
        unit="steps/s",
        must=0.6,
        aim=0.85,
        side="large",
        reference=f"{REFERENCE}, 400 MB parent",
    ),
)
STEPS = 300
BASH = ("/bin/bash", "-c", "true")
MEGABYTE = 1 << 20
NOBODY = UUID(int=0)
DISK = Spool(Path("/nonexistent"), Left(NOBODY, "", Fence(runner=NOBODY, attempt=1, epoch=1, lease=NOBODY)))


async def measure(place: Place) -> AsyncIterator[Row]:
    """Both sizes in turn."""
    executor = HostExecutor()
    cell = await executor.open()
    try:
        await _run(cell)  # the guardian starts once a job
        rounds = await alternate(
            {
                "ours": lambda: _steps(cell),
                REFERENCE: _bare,
                "large": lambda: _large(lambda: _steps(cell)),
                f"{REFERENCE}, 400 MB parent": lambda: _large(_bare),
            },
            place.probe,
        )
    finally:
        await executor.close()
    for goal in GOALS:
        yield judge(goal, rounds)


async def _steps(cell: Cell) -> dict[str, float]:
    before = time.perf_counter()
    for _ in range(STEPS):
        await _run(cell)
    return {"rate": STEPS / (time.perf_counter() - before)}


async def _run(cell: Cell) -> None:
    """What runner.steps.run_command does, without a job around it."""
    process = await cell.start(Command(argv=BASH, environment={"PATH": os.defpath}, cwd="/"))
    spool = LogSpool(_nowhere, StoreClock(), DISK)
    output = StepOutput(Masker(()), lambda stream, text: spool.append(0, stream, text), {}, show_debug=False)
    readers = (PipeReader(process.stdout, "stdout", output, spool), PipeReader(process.stderr, "stderr", output, spool))
    code, _ = await supervise(process, Cancellation(), 60.0, lambda: False)
    await settle(readers)
    if code != 0:
        raise RuntimeError(f"bash -c true ended with {code}")


async def _nowhere(lines: tuple[Line, ...]) -> LogsAccepted:
    raise AssertionError(f"`true` says nothing, and not {lines}")


async def _bare() -> dict[str, float]:
    before = time.perf_counter()
    for _ in range(STEPS):
        os.waitpid(os.posix_spawn(BASH[0], BASH, {"PATH": os.defpath}), 0)
    await asyncio.sleep(0)
    return {"rate": STEPS / (time.perf_counter() - before)}


async def _large(side: Side) -> Figures:
    ballast = [bytearray(b"x") * MEGABYTE for _ in range(400)]
    figures = await side()
    del ballast
    return figures
