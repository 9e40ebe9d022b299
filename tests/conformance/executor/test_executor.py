"""What every executor promises: steps run, and nothing of a job outlives its cell."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest

from runner.executors import tree
from runner.executors.host import HostExecutor
from runner.executors.port import CannotStart, Cell, CellLost, Command, Executor, Process

ESCAPE = """
import os, signal, sys, time
if os.fork(): os._exit(0)
os.setsid()
if os.fork(): os._exit(0)
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP): signal.signal(number, signal.SIG_IGN)
open(sys.argv[1], "w").write(str(os.getpid()))
time.sleep(300)
"""
"""A daemon that ignores every polite signal: two forks, a session of its own, its pid in a file when it is ready."""

BOMB = "n=0; while [ $n -lt 40 ]; do (setsid sh -c 'sleep 300 & sleep 300' &) ; n=$((n+1)); done; wait; sleep 300"


@pytest.fixture(params=["host"])
async def executor(request: pytest.FixtureRequest) -> AsyncIterator[Executor]:
    """Each executor in turn."""
    made = {"host": HostExecutor}[request.param]()
    yield made
    await made.close()


@pytest.fixture
async def cell(executor: Executor) -> AsyncIterator[Cell]:
    """A cell of that executor."""
    opened = await executor.open()
    yield opened
    await opened.close()


async def start(cell: Cell, tmp_path: Path, *argv: str, **environment: str) -> Process:
    """Start a program in an empty folder; its environment names the folder, so that the test finds what it leaves."""
    base = {"PATH": os.environ["PATH"], "EXECUTOR_TEST": str(tmp_path)}
    return await cell.start(Command(argv=argv, environment=base | environment, cwd=str(tmp_path)))


async def read(descriptor: int) -> bytes:
    """All of a pipe; waits for its end."""
    loop = asyncio.get_running_loop()
    os.set_blocking(descriptor, True)

    def drain() -> bytes:
        with os.fdopen(descriptor, "rb") as file:
            return file.read()

    return await loop.run_in_executor(None, drain)


def left_in(tmp_path: Path) -> dict[int, str]:
    """The processes that this test has left: pid to command."""
    mark = f"EXECUTOR_TEST={tmp_path}".encode()
    found = {}
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if entry.name.isdigit() and mark in (entry / "environ").read_bytes().split(b"\0"):
                found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
    return found


async def until_there(path: Path) -> None:
    """Wait until a program has written its pid."""
    give_up_at = time.monotonic() + 30
    while not (path.exists() and path.read_text()):
        assert time.monotonic() < give_up_at, f"{path} was never written"
        await asyncio.sleep(0.005)


async def until_gone(tmp_path: Path, seconds: float) -> None:
    """Wait until no process is left, for a bounded time."""
    give_up_at = time.monotonic() + seconds
    while left := left_in(tmp_path):
        assert time.monotonic() < give_up_at, left
        await asyncio.sleep(0.01)


async def test_a_step_has_its_output_its_folder_and_only_its_own_environment(cell: Cell, tmp_path: Path) -> None:
    """Two streams, the exit code, the working directory; nothing is inherited."""
    process = await start(cell, tmp_path, "/bin/sh", "-c", 'echo "$PWD $A [$HOME]"; echo err >&2; exit 7', A="a")
    out, err = await asyncio.gather(read(process.stdout), read(process.stderr))
    assert await process.wait() == 7
    assert (out.decode().strip(), err) == (f"{tmp_path} a []", b"err\n")


async def test_a_step_that_reads_standard_input_finds_it_empty(cell: Cell, tmp_path: Path) -> None:
    """It must not wait for a person."""
    process = await start(cell, tmp_path, "/bin/cat")
    assert await process.wait() == 0


async def test_a_step_leads_a_session_of_its_own_and_gets_default_signals(cell: Cell, tmp_path: Path) -> None:
    """SIGPIPE ends it, as in a terminal; it is not in the agent's session."""
    code = "import os, signal; print(os.getsid(0) == os.getpid(), signal.getsignal(signal.SIGTERM))"
    process = await start(cell, tmp_path, sys.executable, "-c", code)
    assert (await read(process.stdout)).decode().split() == ["True", "Handlers.SIG_DFL"] or await process.wait() == 0
    shell = await start(cell, tmp_path, "/bin/bash", "-c", "set -o pipefail; yes | head -1; exit ${PIPESTATUS[0]}")
    assert await shell.wait() == 128 + signal.SIGPIPE


async def test_a_program_that_is_not_there_cannot_start(cell: Cell, tmp_path: Path) -> None:
    """The error names it, and the cell goes on."""
    with pytest.raises(CannotStart, match="/no/such/program"):
        await start(cell, tmp_path, "/no/such/program")
    assert await (await start(cell, tmp_path, "/bin/true")).wait() == 0


async def test_a_large_environment_passes(cell: Cell, tmp_path: Path) -> None:
    """More than a socket buffer holds at once."""
    many = {f"V{number}": "x" * 100_000 for number in range(10)}
    process = await start(cell, tmp_path, "/bin/sh", "-c", "echo ${#V9}", **many)
    assert await read(process.stdout) == b"100000\n"


async def test_a_signal_reaches_the_whole_tree_of_a_step(cell: Cell, tmp_path: Path) -> None:
    """Also those in other sessions, which no process group reaches."""
    process = await start(cell, tmp_path, "/bin/sh", "-c", "setsid sleep 300 & sleep 300 & echo ready; wait")
    os.set_blocking(process.stdout, True)
    assert await asyncio.to_thread(os.read, process.stdout, 6) == b"ready\n"
    process.signal(signal.SIGTERM)
    assert await process.wait() == -signal.SIGTERM
    await until_gone(tmp_path, 5)


async def test_killing_a_step_ends_daemons_it_made_and_spares_those_of_earlier_steps(cell: Cell, tmp_path: Path) -> None:
    """Two forks, a session of its own, deaf to TERM: gone. What an earlier step left running: still there."""
    earlier = await start(cell, tmp_path, "/bin/sh", "-c", "sleep 299 & echo")
    assert await earlier.wait() == 0
    process = await start(cell, tmp_path, sys.executable, "-c", ESCAPE, str(tmp_path / "pid"))
    assert await process.wait() == 0
    await until_there(tmp_path / "pid")
    assert await process.kill() == 0
    assert list(left_in(tmp_path).values()) == ["sleep 299 "]


async def test_closing_leaves_nothing_of_a_crowd_of_daemons(cell: Cell, tmp_path: Path) -> None:
    """Forty sessions of three processes each."""
    process = await start(cell, tmp_path, "/bin/sh", "-c", BOMB)
    give_up_at = time.monotonic() + 20
    while len(left_in(tmp_path)) < 100:
        assert time.monotonic() < give_up_at
        await asyncio.sleep(0.02)
    assert await cell.close() == 0
    assert left_in(tmp_path) == {}
    assert await process.wait() == -signal.SIGKILL


async def test_a_process_that_forks_as_fast_as_it_can_is_ended(cell: Cell, tmp_path: Path) -> None:
    """Whatever it makes while it is being killed is found too."""
    code = (
        "import os, time\nfor _ in range(3000):\n pid = os.fork()\n if pid == 0:\n  os.setsid()\n else:\n  time.sleep(0.001); os._exit(0)"
    )
    await start(cell, tmp_path, sys.executable, "-c", code)
    await asyncio.sleep(0)
    assert await cell.close() == 0
    assert left_in(tmp_path) == {}


async def test_the_cell_dies_at_its_deadline(cell: Cell, tmp_path: Path) -> None:
    """Without anybody asking again; a later deadline given in time replaces the first."""
    process = await start(cell, tmp_path, "/bin/sh", "-c", "setsid sleep 300 & sleep 300")
    cell.live_until(time.monotonic() + 60)
    cell.live_until(time.monotonic() + 0.05)
    assert await asyncio.wait_for(process.wait(), 20) == -signal.SIGKILL
    await until_gone(tmp_path, 5)
    assert cell.expired()


async def test_when_the_agent_is_killed_everything_dies_at_once(tmp_path: Path) -> None:
    """SIGKILL of the process that owns the executor, while daemons and deaf processes run."""
    pid = tmp_path / "pid"
    owner = f"""
import asyncio, os, sys
from runner.executors import tree
from runner.executors.host import HostExecutor
from runner.executors.port import Command
async def main():
    cell = await HostExecutor().open()
    environment = {{"PATH": os.environ["PATH"], "EXECUTOR_TEST": {str(tmp_path)!r}}}
    for argv in ((sys.executable, "-c", {ESCAPE!r}, {str(pid)!r}), ("/bin/sh", "-c", "trap '' TERM INT; setsid sleep 300 & sleep 300")):
        await cell.start(Command(argv=argv, environment=environment, cwd={str(tmp_path)!r}))
    await asyncio.sleep(300)
asyncio.run(main())
"""
    root = Path(__file__).resolve().parents[3]
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", owner, cwd=root)
    await until_there(pid)
    process.kill()
    await process.wait()
    await until_gone(tmp_path, 5)


async def test_a_killed_guardian_is_noticed(tmp_path: Path) -> None:
    """A job that kills its own guardian loses its cell; the next start says so."""
    executor = HostExecutor()
    cell = await executor.open()
    os.mkfifo(tmp_path / "pipe")
    process = await start(cell, tmp_path, "/bin/sh", "-c", "read go < pipe; kill -9 $PPID; exec sleep 300")
    (tmp_path / "pipe").write_text("")
    with pytest.raises(CellLost):
        await process.wait()
    with pytest.raises(CellLost):
        await start(cell, tmp_path, "/bin/true")
    assert cell.lost()
    await executor.close()
    for pid in left_in(tmp_path):
        os.kill(pid, signal.SIGKILL)


async def test_what_ran_before_the_executor_is_none_of_its_orphans(tmp_path: Path) -> None:
    """A guardian is killed: the job's processes, now children of this one, are ended, and what stood here earlier is not."""
    earlier = await asyncio.create_subprocess_exec("/bin/sh", "-c", "sleep 300 & wait", start_new_session=True)
    tree.become_subreaper()
    executor = HostExecutor()
    cell = await executor.open()
    os.mkfifo(tmp_path / "pipe")
    process = await start(cell, tmp_path, "/bin/sh", "-c", "read go < pipe; sleep 300 & kill -9 $PPID; exec sleep 300")
    (tmp_path / "pipe").write_text("")
    with pytest.raises(CellLost):
        await process.wait()
    assert executor.end_orphans() == 0
    assert not left_in(tmp_path)
    assert len(tree.descendants(earlier.pid)) == 1
    await executor.close()
    os.killpg(earlier.pid, signal.SIGKILL)
    await earlier.wait()


async def test_guardians_of_jobs_that_end_together_serve_later_ones(tmp_path: Path) -> None:
    """As many as there are slots are kept; one more is ended, and none of these cells counts as destroyed from outside."""
    executor = HostExecutor(slots=2)

    async def jobs(number: int) -> set[int]:
        cells = [await executor.open() for _ in range(number)]
        for cell in cells:
            assert await (await start(cell, tmp_path, "/bin/true")).wait() == 0
        await asyncio.gather(*(cell.close() for cell in cells))
        assert not any(cell.lost() for cell in cells)
        return {cell.link.guardian.pid for cell in cells}

    first = await jobs(2)
    assert await jobs(2) == first
    many = await jobs(3)
    assert first < many
    assert await jobs(2) < many
    await executor.close()
