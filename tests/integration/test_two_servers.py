"""Two whole servers on one database: work is handed out once, and every gateway tells what happened through the other."""

import json
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from infra.embedded.supervisor import Embedded
from tests.rigs.crash import check, start_runner
from tests.rigs.ports import free_port
from tests.rigs.runs import send, status, succeed, until
from tests.rigs.server import Server


@pytest.fixture
def database(short_path: Path) -> Iterator[Embedded]:
    """The database that both share."""
    started = Embedded.start(short_path / "db", nats=False)
    yield started
    started.stop()


@pytest.fixture
def servers(short_path: Path, database: Embedded) -> Iterator[list[Server]]:
    """Two servers with all roles, each with a directory and a runner of its own; blobs are shared, as they must be."""
    (short_path / "blobs").mkdir()
    started: list[Server] = []
    runners: list[subprocess.Popen[bytes]] = []
    for name in ("one", "two"):
        data = short_path / name / "data"
        data.mkdir(parents=True, mode=0o700)
        (data / "blobs").symlink_to(short_path / "blobs")
        server = Server(data, free_port(), database_url=database.database_url)
        started.append(server)
        server.start()
        runners.append(start_runner(server, short_path / name / "work"))
    yield started
    for runner in runners:
        runner.kill()
        runner.wait()
    for server in started:
        server.kill()


def events_of(server: Server, run: str) -> list[str]:
    """The types of a run's events by its stream, to its end."""
    request = urllib.request.Request(f"{server.url}/api/v1/runs/{run}/stream", headers={"Authorization": f"Bearer {server.token}"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        sent = [line[6:] for line in answer.read().decode().splitlines() if line.startswith("data: ")]
    return [event["type"] for event in map(json.loads, sent) if "type" in event]


@pytest.mark.timeout(120)
def test_two_servers_share_the_work_and_do_nothing_twice(servers: list[Server], database: Embedded) -> None:
    """Runs sent to both succeed, each job acquired once; each gateway streams the runs of the other; the invariants hold."""
    runs = [send(servers[number % 2], f"push-{number}") for number in range(20)]
    for run in (runs[0], runs[1]):
        first, second = (events_of(server, run) for server in servers)
        assert first == second
        assert first[-1] == "RunCompleted"
    succeed(servers[0], runs)
    with psycopg.connect(database.database_url) as connection:
        rows = connection.execute("select substring(topic from '^[A-Za-z]+'), count(*) from events_0 group by 1").fetchall()
    counts = dict(rows)
    assert counts["JobAcquired"] == counts["JobSucceeded"] == counts["RunCompleted"] == len(runs)
    assert check(servers[1]) == []


@pytest.mark.timeout(120)
def test_a_cancel_that_one_server_takes_reaches_a_runner_of_the_other(servers: list[Server]) -> None:
    """Two long jobs, one with each runner; both are cancelled by the first server."""
    runs = [send(servers[number % 2], f"long-{number}", seconds=60) for number in range(2)]
    for run in runs:
        until(lambda run=run: status(servers[0], run)[0] == "in_progress", 20, "the job runs")  # type: ignore[misc]  # the default binds it
    for run in runs:
        servers[0].call("POST", f"/api/v1/runs/{run}/cancel", {})
    for run in runs:
        until(lambda run=run: status(servers[0], run) == ("completed", "cancelled"), 30, "the run is cancelled")  # type: ignore[misc]  # as above
    assert check(servers[0]) == []
