"""Every part of a server as a process of its own that can be killed alone: Postgres, NATS, the four roles, a runner."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path

import psycopg

from infra.embedded.binaries import nats_program
from infra.embedded.supervisor import Embedded
from tests.rigs.api import Api
from tests.rigs.kill_points import OF_ROLE
from tests.rigs.ports import free_port
from tests.rigs.server import LEDGERMILL

SLOTS = 40
READY_SECONDS_MAX = 120.0


class Part(ABC):
    """One part. start returns once it serves; kill is SIGKILL; ended says whether it is gone by itself."""

    points: tuple[str, ...] = ()

    def __init__(self, name: str) -> None:
        self.name = name

    @abstractmethod
    def start(self, point: str | None = None, nth: int = 1) -> None:
        """Start; armed to kill itself at the nth passage of a point."""

    @abstractmethod
    def kill(self) -> None:
        """End it at once and wait until it has ended."""

    @abstractmethod
    def ended(self, seconds: float) -> bool:
        """Whether it ends by itself within so many seconds."""


class Postgres(Part):
    """The embedded one, killed by the postmaster; its backends end with it."""

    def __init__(self, data: Path) -> None:
        super().__init__("postgres")
        self._data = data
        self._embedded: Embedded | None = None

    @property
    def url(self) -> str:
        """For libpq; the same after a restart."""
        assert self._embedded is not None
        return self._embedded.database_url

    def start(self, point: str | None = None, nth: int = 1) -> None:
        """Start on the same directory. Postgres has no named points of ours."""
        del point, nth
        self._embedded = Embedded.start(self._data, nats=False)

    def kill(self) -> None:
        """SIGKILL, then give the directory free."""
        if self._embedded is None:
            return
        for pid in self._embedded.pids.values():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._embedded.stop()

    def ended(self, seconds: float) -> bool:
        """It never does."""
        time.sleep(seconds)  # the part's time to live
        return False


class Program(Part):
    """A part that is one program. ready: asked until it says yes. settings: by their environment variables."""

    def __init__(self, name: str, log: Path, settings: Mapping[str, str] | None = None) -> None:
        super().__init__(name)
        self._log = log
        self._environment = {**os.environ, **(settings or {})}
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def command(self, point: str | None, nth: int) -> list[str]:
        """Its argv."""

    @abstractmethod
    def ready(self) -> bool:
        """Whether it serves."""

    def start(self, point: str | None = None, nth: int = 1) -> None:
        """Start and wait until it serves, or has killed itself while it started.

        What ends with a word because the database is away just then is started again, as a service manager does.
        """
        give_up_at = time.monotonic() + READY_SECONDS_MAX
        while True:
            with self._log.open("ab") as out:
                self._process = subprocess.Popen(
                    self.command(point, nth),
                    env=self._environment,
                    stdout=out,
                    stderr=out,
                    stdin=subprocess.DEVNULL,
                    start_new_session=True,
                )
            while self._process.poll() is None and not self.ready():
                assert time.monotonic() < give_up_at, f"{self.name} did not get ready:\n{self._log.read_text()[-3000:]}"
                time.sleep(0.02)  # polls another process: there is nothing to wait on
            if self._process.returncode in {None, -signal.SIGKILL}:
                return
            assert b"STO005" in self._log.read_bytes()[-3000:], f"{self.name} ended:\n{self._log.read_text()[-3000:]}"

    def kill(self) -> None:
        """SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def ended(self, seconds: float) -> bool:
        """Whether its armed point was passed within so many seconds."""
        assert self._process is not None
        with contextlib.suppress(subprocess.TimeoutExpired):
            code = self._process.wait(seconds)
            assert code == -signal.SIGKILL, f"{self.name} ended with {code}:\n{self._log.read_text()[-3000:]}"
            return True
        return False


class Nats(Program):
    """nats-server with JetStream."""

    def __init__(self, root: Path) -> None:
        super().__init__("nats", root / "nats.log")
        self._port = free_port()
        self._store = root / "jetstream"
        self.url = f"nats://127.0.0.1:{self._port}"

    def command(self, point: str | None, nth: int) -> list[str]:
        """It has no named points of ours."""
        del point, nth
        return [str(nats_program()), "-js", "-sd", str(self._store), "-a", "127.0.0.1", "-p", str(self._port)]

    def ready(self) -> bool:
        """Its port is open."""
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self._port), 1):
            return True
        return False


class Role(Program):
    """`ledgermill serve ROLE`. program: the installed `ledgermill`, of this version unless another is named."""

    def __init__(
        self,
        role: str,
        root: Path,
        database_url: str,
        nats_url: str,
        port: int,
        *,
        program: Path = LEDGERMILL,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(role, root / f"{role}.log", settings)
        self.points = OF_ROLE.get(role, ())
        self._program = program
        self._port = port
        self._arguments = ["serve", role, "--data", str(root / "data"), "--database-url", database_url, "--nats-url", nats_url]
        if role in {"gateway", "all"}:
            self._arguments += ["--port", str(port)]
        self._said = 0

    def command(self, point: str | None, nth: int) -> list[str]:
        """Armed through the wrapper, else the program as it is installed."""
        self._said = self._log.stat().st_size if self._log.exists() else 0
        program = [sys.executable, "-m", "tests.rigs.kill_points", point, str(nth)] if point else [str(self._program)]
        return [*program, *self._arguments]

    def ready(self) -> bool:
        """It has said so."""
        said = self._log.read_bytes()[self._said :]
        return b"at work" in said or re.search(rb"https?://", said) is not None


class Runner(Program):
    """A runner with many slots, killed without its jobs: those are ended by their guardians. python: of its version."""

    def __init__(self, api: Api, root: Path, database_url: str, python: str = sys.executable) -> None:
        super().__init__("runner", root / "runner.log")
        self._python = python
        self._api = api
        self._work = root / "work"
        self._database_url = database_url

    def command(self, point: str | None, nth: int) -> list[str]:
        """It has no named points of ours."""
        del point, nth
        arguments = ["--url", self._api.url, "--token-file", str(self._api.data / "runner-token"), "--name", "kills", "--labels", "linux"]
        return [self._python, "-P", "-m", "runner", *arguments, "--slots", str(SLOTS), "--work", str(self._work)]

    def ready(self) -> bool:
        """The server knows this very process."""
        assert self._process is not None
        with contextlib.suppress(psycopg.Error), psycopg.connect(self._database_url, connect_timeout=2) as connection:
            known = connection.execute("SELECT 1 FROM views.runners WHERE pid = %s AND online", (self._process.pid,)).fetchone()
            return known is not None
        return False
