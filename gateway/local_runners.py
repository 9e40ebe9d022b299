"""The runners that a server starts on its own machine: child processes that end with it, however it ends.

They are started through a trampoline that asks the kernel for SIGTERM when this process dies; a runner that gets it
kills its jobs' process trees and leaves. They get a session of their own, so Ctrl-C reaches only the server, which then
stops them in order. One that dies is started again, more slowly each time.
"""

import asyncio
import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec

from gateway import open_files

log = logging.getLogger(__name__)

STOP_SECONDS = 8.0
BACKOFF_SECONDS_MAX = 10.0
SETTLED_SECONDS = 30.0


class RunnerPlan(msgspec.Struct, frozen=True):
    """One local runner. work: its directory (its identity lives there); log: where its own messages go."""

    name: str
    url: str
    token_file: Path
    labels: tuple[str, ...]
    slots: int
    work: Path
    log: Path

    def argv(self) -> list[str]:
        """The program."""
        return [
            sys.executable,
            "-m",
            "runner",
            "--url",
            self.url,
            "--token-file",
            str(self.token_file),
            "--name",
            self.name,
            "--labels",
            ",".join(self.labels),
            "--slots",
            str(self.slots),
            "--work",
            str(self.work),
        ]


class LocalRunners:
    """Keeps the planned runners alive until `stop`. All spawns happen in the event loop's thread (see the trampoline)."""

    def __init__(self, plans: list[RunnerPlan], trampoline: Path) -> None:
        self._plans = plans
        self._trampoline = trampoline
        self._tasks: list[asyncio.Task[None]] = []
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._stopping = False

    def start(self) -> None:
        """Spawn all."""
        for plan in self._plans:
            child = self._spawn(plan)
            self._tasks.append(asyncio.create_task(self._keep(plan, child), name=f"runner {plan.name}"))

    @property
    def pids(self) -> dict[str, int]:
        """Process ids by name."""
        return {name: child.pid for name, child in self._children.items()}

    async def stop(self) -> None:
        """Ask all to leave and wait; kill what does not."""
        self._stopping = True
        for child in self._children.values():
            with contextlib.suppress(ProcessLookupError):
                child.send_signal(signal.SIGTERM)
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=STOP_SECONDS)
            for child in self._children.values() if late else ():
                with contextlib.suppress(ProcessLookupError):
                    child.kill()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _spawn(self, plan: RunnerPlan) -> "subprocess.Popen[bytes]":
        plan.work.mkdir(parents=True, exist_ok=True, mode=0o700)
        spec = {"parent": os.getpid(), "signal": int(signal.SIGTERM), "uid": None, "gid": None, "reach": [], "run": plan.argv()}
        spec["open_files"] = open_files.inherited()
        with plan.log.open("ab") as output:
            child = subprocess.Popen(
                [sys.executable, "-I", "-S", str(self._trampoline), json.dumps(spec)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self._children[plan.name] = child
        return child

    async def _keep(self, plan: RunnerPlan, child: "subprocess.Popen[bytes]") -> None:
        loop = asyncio.get_running_loop()
        pause = 0.2
        while True:
            began = loop.time()
            await ended(child)
            if self._stopping:
                return
            pause = 0.2 if loop.time() - began > SETTLED_SECONDS else min(2 * pause, BACKOFF_SECONDS_MAX)
            log.error("runner %s ended (%s) and is started again in %.1f s; its log: %s", plan.name, how(child.returncode), pause, plan.log)
            await asyncio.sleep(pause)
            if self._stopping:
                return  # type: ignore[unreachable]  # `stop` may have been called meanwhile
            child = self._spawn(plan)


def registrations(data: Path) -> set[str]:
    """Under which ids the local runners of a data directory are known, of earlier starts too."""
    return {file.read_text().strip() for file in data.glob("runners/*/registration")}


def lives(pid: int) -> bool:
    """Whether a process with this id runs on this machine. A zombie does not: it only waits for its parent to look."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in ("Z", "X")


async def ended(child: "subprocess.Popen[bytes]") -> None:
    """Return when the process has ended, and reap it. Needs no child watcher and no thread."""
    loop = asyncio.get_running_loop()
    done = asyncio.Event()
    descriptor = os.pidfd_open(child.pid)
    loop.add_reader(descriptor, done.set)
    try:
        await done.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
    child.wait()


def how(returncode: int) -> str:
    """How a process ended, for people."""
    return f"signal {-returncode}" if returncode < 0 else f"exit {returncode}"
