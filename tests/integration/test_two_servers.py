"""Two whole servers on one database: work is handed out once, and every gateway tells what happened through the other."""

import json
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import psycopg
import pytest

from infra.embedded.supervisor import Embedded
from tests.rigs.crash import check, start_runner
from tests.rigs.ports import free_port
from tests.rigs.runs import push, send, status, story, succeed, until
from tests.rigs.server import Server


@pytest.fixture
def database(short_path: Path) -> Iterator[Embedded]:
    """The database that both share."""
    started = Embedded.start(short_path / "db", nats=False)
    yield started
    started.stop()


@pytest.fixture
def servers(short_path: Path, database: Embedded) -> Iterator[list[Server]]:
    """Two servers with all roles, each with a directory and a runner of its own; blobs are shared, as they must be.

    Runners send their heartbeats every ten minutes, so that nothing of what they hear here comes with one.
    """
    (short_path / "blobs").mkdir()
    started: list[Server] = []
    runners: list[subprocess.Popen[bytes]] = []
    for name in ("one", "two"):
        data = short_path / name / "data"
        data.mkdir(parents=True, mode=0o700)
        (data / "blobs").symlink_to(short_path / "blobs")
        server = Server(data, free_port(), database_url=database.database_url, lease_ttl_seconds=900, heartbeat_seconds=600)
        started.append(server)
        server.start()
        runners.append(start_runner(server, short_path / name / "work", name=name))
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


WITNESS = """
on: push
jobs:
  job:
    runs-on: linux
    steps:
      - run: |
          trap 'date +%s.%N > "{ended}"; exit 1' INT
          date +%s.%N > "{begun}"
          while :; do sleep 0.02; done
"""
"""A step that writes down when it began and when it was told to end."""


@pytest.mark.timeout(300)
def test_a_cancel_reaches_the_runner_at_once_whichever_server_takes_it(servers: list[Server], short_path: Path) -> None:
    """Within two seconds from the answer to the step's SIGINT, by the open poll of the runner's own server or of the other.

    On a machine where a step takes longer than that to begin, within twice that time: both are one way from the API to a step.
    """
    rounds = [once(servers, short_path, number, other=number >= 3) for number in range(6)]
    begins, ends = [begin for begin, _ in rounds], [end for _, end in rounds]
    for way in (ends[:3], ends[3:]):
        assert median(way) < max(2, 2 * median(begins)), (ends, begins)
    assert check(servers[0]) == []


def once(servers: list[Server], folder: Path, number: int, *, other: bool) -> tuple[float, float]:
    """Seconds from the answer to a trigger until its step begins, and from the answer to its cancel until the step is told.

    other: whether the cancel is taken by the server that the job's runner does not know.
    """
    server = servers[number % 2]
    begun, ended = (folder / f"{what}-{number}" for what in ("begun", "ended"))
    body = push(f"long-{number}")
    body["workflows"][0]["text"] = WITNESS.format(begun=begun, ended=ended)
    run = server.call("POST", "/api/v1/runs", body)["runs"][0]["run_id"]
    triggered = time.time()
    until(lambda: written(begun), 60, "the step runs", lambda: story(server, run))
    (job,) = server.call("GET", f"/api/v1/runs/{run}/jobs")["items"]
    taker = servers[("one", "two").index(job["runner"]) ^ other]
    taker.call("POST", f"/api/v1/runs/{run}/cancel", {})
    cancelled = time.time()
    until(lambda: written(ended), 60, "the step is told", lambda: story(server, run))
    until(lambda: status(server, run) == ("completed", "cancelled"), 60, "the run is cancelled", lambda: story(server, run))
    return float(begun.read_text()) - triggered, float(ended.read_text()) - cancelled


def written(file: Path) -> bool:
    """Whether the line in it is whole."""
    return file.exists() and file.read_text().endswith("\n")
