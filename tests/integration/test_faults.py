"""The system under faults of its surroundings: database lost, NATS lost, disk full. Real processes, real signals.

Three things hold in each of them: what was acknowledged is not lost, what is refused says what to do, and work goes on by
itself when the fault is over.
"""

import json
import os
import shutil
import signal
import subprocess
import time
import urllib.error
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import pytest

from infra.embedded.supervisor import Embedded
from tests.rigs.crash import check, start_runner
from tests.rigs.ports import free_port
from tests.rigs.runs import send, status, succeed, until
from tests.rigs.server import Server

LEASE_SECONDS = 6
DISK_BYTES = 160 << 20

Start = Callable[..., Server]


@pytest.fixture
def start(short_path: Path) -> Iterator[Start]:
    """Starts a server with short leases and a runner with ten slots; all of it ends with the test."""
    ends: list[Callable[[], object]] = []

    def begin(**settings: object) -> Server:
        chosen = {"lease_ttl_seconds": LEASE_SECONDS, "heartbeat_seconds": 2} | settings
        server = Server(short_path / "data", free_port(), **chosen)
        ends.append(server.kill)
        server.start()
        runner = start_runner(server, short_path / "work")
        ends.extend((runner.wait, runner.kill))
        return server

    yield begin
    for end in reversed(ends):
        end()


def database_of(server: Server) -> str:
    """The URL of the embedded database of a server."""
    return f"postgresql://ledgermill@/ledgermill?host={server.data}/postgres/socket&port=5432"


def scalar(url: str, query: str) -> Any:
    """One value from a database."""
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(query.encode()).fetchone()
        assert row is not None
        return row[0]


def lost_attempts(url: str) -> int:
    """How many attempts the log calls lost."""
    return int(scalar(url, "select count(*) from events_0 where topic like 'AttemptLost%'"))


def pid_in(file: Path) -> int:
    """The process id in the first line of a file."""
    return int(file.read_text().split()[0])


def running(server: Server, run: str) -> bool:
    """Whether a run is at work."""
    return status(server, run)[0] == "in_progress"


class Refused(NamedTuple):
    """A refused request."""

    status: int
    retry_after: str | None
    problem: dict[str, Any]


def refusal(request: Callable[[], object]) -> Refused | None:
    """What a request is refused with; None when it was carried out."""
    try:
        request()
    except urllib.error.HTTPError as error:
        with error:
            return Refused(error.code, error.headers["Retry-After"], json.load(error))
    return None


def taken(server: Server, key: str) -> str:
    """Start a run as a client does: again and again with the same key while the server refuses."""
    until(lambda: refusal(lambda: send(server, key)) is None, 30, "runs are taken again")
    return send(server, key)


@pytest.mark.timeout(150)
def test_a_killed_database_comes_back_by_itself(start: Start) -> None:
    """The embedded Postgres is killed under load: it is restarted, acknowledged runs succeed, running jobs keep their attempt."""
    server = start()
    long = [send(server, f"long-{number}", seconds=8) for number in range(4)]
    for run in long:
        until(lambda run=run: running(server, run), 30, "a job runs")  # type: ignore[misc]  # the default binds it
    postmaster = pid_in(server.data / "postgres/cluster/postmaster.pid")
    os.kill(postmaster, signal.SIGKILL)
    during = [taken(server, f"during-{number}") for number in range(5)]
    assert pid_in(server.data / "postgres/cluster/postmaster.pid") != postmaster
    succeed(server, [*long, *during])
    assert lost_attempts(database_of(server)) == 0
    assert check(server) == []


@pytest.mark.timeout(200)
def test_an_absent_database_is_a_503_that_says_what_to_do(start: Start, short_path: Path) -> None:
    """A database of one's own is killed and away for longer than a lease lives: 503, help, then all goes on, each attempt too."""
    database = Embedded.start(short_path / "db", nats=False)
    url = database.database_url
    try:
        server = start(database_url=url)
        ends_within, goes_on = send(server, "ends-within", seconds=3), send(server, "goes-on", seconds=2 * LEASE_SECONDS)
        for run in (ends_within, goes_on):
            until(lambda run=run: running(server, run), 30, "the job runs")  # type: ignore[misc]  # the default binds it
        os.kill(database.pids["postgres"], signal.SIGKILL)
        database.stop()
        left_at = time.monotonic()
        for request in (lambda: send(server, "during"), lambda: server.call("GET", f"/api/v1/runs/{goes_on}")):
            refused = refusal(request)
            assert refused is not None
            assert (refused.status, refused.retry_after) == (503, "1")
            assert refused.problem["code"] == "store_unavailable"
            assert refused.problem["retryable"] is True
            assert "STO005" in refused.problem["detail"]
            assert "Help:" in refused.problem["detail"]
        time.sleep(max(0.0, left_at + 1.5 * LEASE_SECONDS - time.monotonic()))  # the outage itself
        database = Embedded.start(short_path / "db", nats=False)
        assert database.database_url == url
        succeed(server, [ends_within, goes_on, taken(server, "during")])
        assert lost_attempts(url) == 0
        assert check(server) == []
    finally:
        database.stop()


@pytest.mark.timeout(200)
@pytest.mark.parametrize("feed", ["postgres", "jetstream"])
def test_scheduling_goes_on_without_nats(start: Start, feed: str) -> None:
    """NATS is silent, then killed with its directory: runs succeed meanwhile, and the messenger catches up with the log."""
    server = start(feed=feed)
    succeed(server, [send(server, "before")])
    nats = next(pid for pid in server.tree() if "nats-server" in Path(f"/proc/{pid}/cmdline").read_text())
    os.kill(nats, signal.SIGSTOP)
    succeed(server, [send(server, f"silent-{number}") for number in range(5)])
    shutil.rmtree(server.data / "nats" / "jetstream")
    os.kill(nats, signal.SIGKILL)
    succeed(server, [send(server, f"killed-{number}") for number in range(5)])
    url = database_of(server)
    caught_up = "select (select position from tracking_0 where agent like 'bridge%') >= (select max(notification_id) from events_0)"
    until(lambda: bool(scalar(url, caught_up)), 60, "the bridge has published the whole log")
    succeed(server, [send(server, "after")])
    assert lost_attempts(url) == 0
    assert check(server) == []


@pytest.fixture
def small_disk(short_path: Path) -> Iterator[Path]:
    """A file system of its own with little space; needs the right to mount."""
    path = short_path / "disk"
    path.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES},mode=0711", "tmpfs", str(path)]
    if os.geteuid() != 0 or shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("a full disk needs the right to mount a small file system")
    yield path
    subprocess.run(["umount", "--lazy", str(path)], check=True)


@pytest.mark.timeout(200)
def test_a_full_disk_refuses_and_resumes(start: Start, small_disk: Path) -> None:
    """The database's disk is full: commands are refused with what to do, nothing acknowledged is lost; freed, all goes on."""
    database = Embedded.start(small_disk / "db", nats=False)
    try:
        server = start(database_url=database.database_url)
        runs = [send(server, "before")]
        succeed(server, runs)
        fill(small_disk / "filler")
        refused = None
        for number in range(2_000):
            refused = refusal(lambda number=number: runs.append(send(server, f"full-{number}")))  # type: ignore[misc]  # the default binds it
            if refused is not None:
                break
        assert refused is not None
        assert (refused.status, refused.retry_after) == (503, "1")
        assert "STO001" in refused.problem["detail"]
        assert "free space" in refused.problem["detail"]
        (small_disk / "filler").unlink()
        succeed(server, [*runs, taken(server, "freed")], 120)
        assert check(server) == []
    finally:
        database.stop()


def fill(file: Path) -> None:
    """Take all space that is left on a file's disk."""
    with file.open("wb", buffering=0) as out:
        for size in (1 << 20, 4096):
            try:
                while True:
                    out.write(b"\0" * size)
            except OSError:
                continue
