"""Keeps one server process running: spawns it, waits until it serves, starts it again when it dies, stops it.

The kernel sends the death signal of trampoline.py when the *thread* that spawned the process ends, so every spawn happens in this
keeper's thread, which lives as long as the process or until `stop`. A server that keeps dying is given up loudly, not for ever.
Deliberately no PR_SET_CHILD_SUBREAPER: it would hand us the orphans of every job that runs in this process.
"""

import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import ClassVar, Protocol

from infra.embedded.error import EmbeddedError, tail_of
from infra.embedded.home import Home

TRAMPOLINE = Path(__file__).with_name("trampoline.py")
STILL_ROOT = 112  # trampoline.py's exit code
READY_SECONDS_MAX = 120.0  # crash recovery of a large write-ahead log takes its time
POLL_SECONDS = 0.003
RESTARTS_MAX = 5
RESTARTS_WINDOW_SECONDS = 60.0
BACKOFF_SECONDS = 0.1


class Service(Protocol):
    """What differs between the servers. death_signal ends one in good order, also when the owner dies."""

    @property
    def home(self) -> Home:
        """Its directory and user."""

    @property
    def reach(self) -> tuple[Path, ...]:
        """The paths outside its home that it reads."""

    death_signal: ClassVar[signal.Signals]
    stop_seconds_max: ClassVar[float]
    failure_code: ClassVar[str]
    environment: ClassVar[Mapping[str, str]]

    def prepare(self, run: Callable[[list[str], bytes], None]) -> None:
        """Bring the directory into a state in which the server can start. run(argv, stdin) runs a helper program to its end."""

    def command(self) -> list[str]:
        """The server's argv; called before each start."""

    def ready(self, pid: int) -> bool:
        """Whether the process with this id, and no other, serves."""


class Keeper:
    """One server. `start`, then `wait_until_ready`; `stop` at the end."""

    def __init__(self, service: Service, on_failure: Callable[[EmbeddedError], None]) -> None:
        self.service = service
        self.pid: int | None = None
        self._on_failure = on_failure
        self._failure: EmbeddedError | None = None
        self._settled = threading.Event()
        self._stop = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._log_start = 0
        self._deaths: deque[float] = deque(maxlen=RESTARTS_MAX)
        self._thread = threading.Thread(target=self._live, name=f"ledgermill-{service.home.name}", daemon=True)

    def start(self) -> None:
        """Begin; returns at once."""
        self._thread.start()

    def wait_until_ready(self) -> None:
        """Return when it serves; raise what stopped it from doing so."""
        self._settled.wait()
        if self._failure is not None:
            raise self._failure

    def ask_to_stop(self) -> None:
        """Begin to stop; idempotent."""
        os.eventfd_write(self._stop, 1)

    def join(self) -> None:
        """Wait until the process has ended and its directory is free."""
        self._thread.join()

    def _live(self) -> None:
        try:
            self.service.home.wait_until_free()
            self.service.prepare(self._run_helper)
            while not self._serve_once():
                pass
        except EmbeddedError as error:
            self._fail(error)
        except Exception as error:  # noqa: BLE001 -- whoever waits for this thread must hear of everything that ends it
            self._fail(self._error(f"{self.service.home.name} could not be started", f"{type(error).__name__}: {error}"))
        finally:
            self.pid = None
            self.service.home.close()

    def _serve_once(self) -> bool:
        """One life of the process. True: we were asked to stop. False: it died and may be started again."""
        process = self._spawn(self.service.command())
        watch = os.pidfd_open(process.pid)
        try:
            ready = self._until_ready(process, watch)
            if ready:
                self.pid = process.pid
                self._settled.set()
                self._wait(watch, None)
            stopping = self._stopping()
            if stopping:
                self._end(process)
        finally:
            os.close(watch)
        self.pid = None
        if stopping:
            return True
        code = process.wait()
        if not ready and not self._settled.is_set():
            raise self._start_error(code)
        self._deaths.append(time.monotonic())
        if len(self._deaths) == RESTARTS_MAX and self._deaths[-1] - self._deaths[0] < RESTARTS_WINDOW_SECONDS:
            raise self._gives_up(code)
        return self._wait(None, BACKOFF_SECONDS * 2 ** (len(self._deaths) - 1))

    def _until_ready(self, process: "subprocess.Popen[bytes]", watch: int) -> bool:
        give_up = time.monotonic() + READY_SECONDS_MAX
        while not self.service.ready(process.pid):
            self._wait(watch, POLL_SECONDS)
            if process.poll() is not None or self._stopping():
                return False
            if time.monotonic() > give_up:
                self._end(process)
                return False
        return True

    def _wait(self, watch: int | None, seconds: float | None) -> bool:
        """Until the process ends, or we are asked to stop (then True), or the time is over."""
        poll = select.poll()
        for descriptor in (self._stop, watch):
            if descriptor is not None:
                poll.register(descriptor, select.POLLIN)
        poll.poll(None if seconds is None else seconds * 1000)
        return self._stopping()

    def _stopping(self) -> bool:
        return bool(select.select([self._stop], [], [], 0)[0])

    def _end(self, process: "subprocess.Popen[bytes]") -> None:
        process.send_signal(self.service.death_signal)
        for harder in (signal.SIGQUIT, signal.SIGKILL):
            try:
                process.wait(self.service.stop_seconds_max)
            except subprocess.TimeoutExpired:
                process.send_signal(harder)
            else:
                return
        process.wait()

    def _spawn(self, argv: list[str], stdin: int = subprocess.DEVNULL) -> "subprocess.Popen[bytes]":
        home = self.service.home
        spec = {
            "parent": os.getpid(),
            "signal": int(self.service.death_signal),
            "uid": home.uid,
            "gid": home.gid,
            "reach": [str(path) for path in (home.path, *self.service.reach)],
            "run": argv,
        }
        log = home.open_log()
        self._log_start = os.lseek(log, 0, os.SEEK_END)
        try:
            return subprocess.Popen(
                [sys.executable, "-I", "-S", TRAMPOLINE, json.dumps(spec)],
                stdin=stdin,
                stdout=log,
                stderr=log,
                pass_fds=(home.wait_until_free(),),
                start_new_session=True,  # Ctrl-C in the terminal is for the owner, who stops us in order
                env={"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC", **self.service.environment},
            )
        finally:
            os.close(log)

    def _run_helper(self, argv: list[str], stdin: bytes) -> None:
        process = self._spawn(argv, subprocess.PIPE)
        process.communicate(stdin)
        if process.returncode != 0:
            raise self._start_error(process.returncode, Path(argv[0]).name)

    def _start_error(self, code: int, program: str = "") -> EmbeddedError:
        if code == STILL_ROOT:
            return EmbeddedError(
                "EMB006",
                f"{self.service.home.name} must not run as root, and root cannot be given up here",
                because=self._log_end(1),
                help="start ledgermill as another user, or use --database-url and --nats-url",
            )
        how = f"signal {-code}" if code < 0 else f"exit {code}"
        return self._error(f"{program or self.service.home.name} did not start in {self.service.home.path} ({how})", self._log_end())

    def _gives_up(self, code: int) -> EmbeddedError:
        how = f"signal {-code}" if code < 0 else f"exit {code}"
        name = self.service.home.name
        return EmbeddedError(
            "EMB009",
            f"{name} died {RESTARTS_MAX} times within {RESTARTS_WINDOW_SECONDS:g} s and is given up (last: {how})",
            because=self._log_end(),
            help=f"read {self.service.home.log}, then start ledgermill again; what was acknowledged is in {self.service.home.path}",
        )

    def _error(self, message: str, because: str) -> EmbeddedError:
        text = "free some disk space, then start again" if "No space left" in because else "see what the log says, then start again"
        return EmbeddedError(self.service.failure_code, message, because=because, help=f"{text} (whole log: {self.service.home.log})")

    def _log_end(self, lines: int = 8) -> str:
        """What the last process wrote."""
        if not self.service.home.log.exists():
            return ""
        with self.service.home.log.open("rb") as log:
            log.seek(max(self._log_start, log.seek(0, os.SEEK_END) - 16384))
            return tail_of(log.read(), lines)

    def _fail(self, error: EmbeddedError) -> None:
        served = self._settled.is_set()
        self._failure = error
        self._settled.set()
        if served:
            self._on_failure(error)
