"""`up` and `down` as a person uses them: real processes, in a directory of their own, and nothing left behind."""

import json
import os
import resource
import signal
import socket
import stat
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

READY_SECONDS_MAX = 60
GONE_SECONDS_MAX = 20

LEDGERMILL = [sys.executable, "-c", "import sys; from gateway.cli.main import main; sys.exit(main())"]
FILES = 1000
LIMITED = ["/bin/sh", "-c", f'ulimit -S -n {FILES} && exec "$@"', "sh"]


def until(condition: Callable[[], bool], seconds: float) -> bool:
    """Whether a condition of other processes comes true in time."""
    give_up = time.monotonic() + seconds
    while time.monotonic() < give_up:
        if condition():
            return True
        time.sleep(0.02)
    return False


def processes_of(data: Path) -> list[str]:
    """Command lines and working directories of all processes that have to do with a data directory."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            where = str((entry / "cwd").readlink())
        except OSError:
            continue
        if str(data) in words or where.startswith(str(data)):
            found.append(f"{entry.name} {words}")
    return found


class Server:
    """An `up` in the foreground."""

    def __init__(self, data: Path, *options: str) -> None:
        self.data = data
        command = [*LIMITED, *LEDGERMILL, "up", "--data", str(data), "--port", "0", *options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
        self.lines: list[str] = []

    def ready(self) -> str:
        """Wait until it says so; returns the URL."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)
            if line.startswith("Ready"):
                break
        else:
            assert self.process.stderr is not None
            raise AssertionError(self.process.stderr.read())
        return next(word for line in self.lines for word in line.split() if word.startswith("http://"))

    def kill(self) -> None:
        """End it for certain."""
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Starts servers on one data directory."""
    started: list[Server] = []

    def start(*options: str) -> Server:
        started.append(Server(tmp_path / "data", *options))
        return started[-1]

    yield start
    for server in started:
        server.kill()


def test_up_serves_and_ctrl_c_leaves_nothing(up: Callable[..., Server]) -> None:
    """It prints where it listens and what it started; after Ctrl-C no process is left and the history is there.

    It may have as many connections open as the system lets it; what jobs may is as it was.
    """
    server = up()
    url = server.ready()
    with urllib.request.urlopen(f"{url}/readyz", timeout=10) as answer:
        assert json.load(answer)["ready"] is True
    output = "".join(server.lines)
    assert "postgres" in output
    assert "runner    local-1" in output
    assert until(lambda: any("-m runner" in process for process in processes_of(server.data)), READY_SECONDS_MAX)
    soft, hard = resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE)
    assert soft == hard > FILES
    runner = next(process for process in processes_of(server.data) if "-m runner" in process)
    assert resource.prlimit(int(runner.split()[0]), resource.RLIMIT_NOFILE) == (FILES, hard)
    server.process.send_signal(signal.SIGINT)
    assert server.process.wait(GONE_SECONDS_MAX) == 0
    assert processes_of(server.data) == []
    assert (server.data / "postgres").is_dir()
    assert stat.S_IMODE(server.data.stat().st_mode) == 0o700


def test_a_killed_server_takes_everything_with_it(up: Callable[..., Server]) -> None:
    """SIGKILL gives it no chance to clean up; servers and runners end all the same, and a new start works."""
    server = up()
    server.ready()
    assert until(lambda: any("-m runner" in process for process in processes_of(server.data)), READY_SECONDS_MAX)
    server.kill()
    assert until(lambda: processes_of(server.data) == [], GONE_SECONDS_MAX), processes_of(server.data)
    again = up("--no-runner")
    again.ready()


def test_a_second_server_is_refused_and_names_the_first(up: Callable[..., Server]) -> None:
    """One data directory, one server: who has it, where it listens and what to do."""
    first = up("--no-runner")
    url = first.ready()
    second = up("--no-runner")
    _, error = second.process.communicate(timeout=READY_SECONDS_MAX)
    assert second.process.returncode == 1
    assert "EMB003" in error
    assert url in error
    assert f"pid {first.process.pid}" in error
    assert "ledgermill status" in error


def test_a_detached_server_is_stopped_by_down(tmp_path: Path) -> None:
    """`up --detach` returns when the server is ready; `down` waits until it has ended; both may be repeated."""
    data = tmp_path / "data"
    place = ["--data", str(data)]
    started = subprocess.run(
        [*LEDGERMILL, "up", *place, "--port", "0", "--no-runner", "--detach"], capture_output=True, text=True, check=True
    )
    assert "Ready in" in started.stdout
    shown = subprocess.run([*LEDGERMILL, "status", "--json", *place], capture_output=True, text=True, check=True)
    status = json.loads(shown.stdout)
    assert (status["running"], status["parked_streams"]) == (True, 0)
    with psycopg.connect(status["database_url"]) as connection:
        assert connection.execute("SELECT count(*) FROM public.events_json").fetchone() is not None
    with socket.create_connection((urlsplit(status["nats_url"]).hostname, urlsplit(status["nats_url"]).port)) as nats:
        assert nats.recv(4) == b"INFO"
    told = subprocess.run([*LEDGERMILL, "status", *place], capture_output=True, text=True, check=True)
    assert f"postgres  {status['database_url']}" in told.stdout
    assert f"nats      {status['nats_url']}" in told.stdout
    for words in ("stopped", "no server runs"):
        stopped = subprocess.run([*LEDGERMILL, "down", *place], capture_output=True, text=True, check=True)
        assert words in stopped.stderr
    assert processes_of(data) == []


def test_a_server_without_tls_stays_on_this_machine(tmp_path: Path) -> None:
    """Listening beyond loopback needs a certificate or --insecure."""
    command = [*LEDGERMILL, "up", "--data", str(tmp_path / "data"), "--host", "0.0.0.0"]
    refused = subprocess.run(command, capture_output=True, text=True, check=False)
    assert refused.returncode == 64
    assert "CLI007" in refused.stderr
    assert "--insecure" in refused.stderr
    assert not (tmp_path / "data").exists()
