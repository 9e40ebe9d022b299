"""A whole server as processes that can be killed: `ledgermill up` with its Postgres, NATS and runners."""

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from tests.rigs.api import Api

READY_SECONDS = 60.0
LEDGERMILL = Path(sys.executable).with_name("ledgermill")


class Server(Api):
    """One data directory, started, killed and started again. Nothing is shared with the process that runs the test."""

    def __init__(self, data: Path, port: int, **settings: object) -> None:
        super().__init__(data, f"http://127.0.0.1:{port}")
        self._port = port
        self._log = data.parent / "server.log"
        self._environment = {**os.environ, **{f"LEDGERMILL_{name.upper()}": str(value) for name, value in settings.items()}}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, runners: int = 0) -> None:
        """Start and wait until it is ready."""
        arguments = ["up", "--data", str(self.data), "--port", str(self._port)]
        arguments += ["--runners", str(runners)] if runners else ["--no-runner"]
        with self._log.open("ab") as out:
            self._process = subprocess.Popen(
                [str(LEDGERMILL), *arguments], env=self._environment, stdout=out, stderr=out, start_new_session=True
            )
        deadline = time.monotonic() + READY_SECONDS
        while not self._ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the server did not get ready:\n{self._log.read_text()[-4000:]}")
            time.sleep(0.05)  # polls another process: there is nothing to wait on

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/readyz", timeout=2) as answer:
                return bool(answer.status == 200)
        except (OSError, urllib.error.URLError):
            return False

    def tree(self) -> list[int]:
        """The server's process and all its descendants."""
        if self._process is None:
            return []
        return [self._process.pid, *descendants(self._process.pid)]

    def silence(self, program: str, seconds: float) -> None:
        """Stop a server process of this name (SIGSTOP) for a while, then let it go on."""
        pids = [pid for pid in self.tree() if program in Path(f"/proc/{pid}/cmdline").read_text()]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        time.sleep(seconds)  # the silence itself
        for pid in pids:
            os.kill(pid, signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL for everything at once."""
        pids = self.tree()
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        if self._process is not None:
            self._process.wait()
            self._process = None
        for pid in pids:
            _gone(pid)

    def stop(self) -> None:
        """SIGTERM, as an operator does."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(30)
            self._process = None


def descendants(pid: int) -> list[int]:
    """All living descendants of a process, from /proc."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except OSError:
                continue
            parent = int(stat.rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(entry.name))
    found: list[int] = []
    pending = [pid]
    while pending:
        for child in children.get(pending.pop(), []):
            found.append(child)
            pending.append(child)
    return found


def _gone(pid: int, seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while Path(f"/proc/{pid}").exists():
        try:
            if " Z " in Path(f"/proc/{pid}/stat").read_text():
                return
        except OSError:
            return
        if time.monotonic() > deadline:
            raise RuntimeError(f"process {pid} survives SIGKILL")
        time.sleep(0.01)  # polls another process: there is nothing to wait on
