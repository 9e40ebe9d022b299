"""A job that prints faster than anybody reads, and a follower whose connection breaks again and again.

`make test` asks that every line comes once and in order; `make campaign` prints 10,000 lines a second on a machine of its
own and asks for the times too.
"""

import gc
import http.client
import random
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from gateway.cli.client import body_lines, parse_events
from tests.rigs.crash import check, start_runner
from tests.rigs.ports import free_port
from tests.rigs.runs import push, succeed, until
from tests.rigs.server import Server

PRINTER = """
import sys, time
rate, seconds = int(sys.argv[1]), int(sys.argv[2])
began = time.monotonic()
for tick in range(seconds * 100):
    for number in range(tick * rate // 100, (tick + 1) * rate // 100):
        sys.stdout.write(f"{number} {time.time()}\\n")
    sys.stdout.flush()
    time.sleep(max(0, began + (tick + 1) / 100 - time.monotonic()))
"""
HEARTBEAT_SECONDS = 1.0


@pytest.fixture
def path() -> Iterator[Path]:
    """A directory whose name is short enough for a socket below it."""
    made = Path(tempfile.mkdtemp(prefix="lm"))
    made.chmod(0o711)
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture
def uncollected() -> Iterator[None]:
    """No garbage collection here: half a second over all that pytest holds would be taken for lateness of the stream."""
    gc.disable()
    yield
    gc.enable()


class Follower(threading.Thread):
    """Follows a log until its end. Its connection is cut after a random number of bytes, and it comes back with the last id."""

    def __init__(self, server: Server, job: str, seed: int) -> None:
        super().__init__(daemon=True)
        self.records: list[tuple[float, dict[str, Any]]] = []
        self.cuts = 0
        self.failure: Exception | None = None
        self._server, self._job, self._chance = server, job, random.Random(seed)

    def run(self) -> None:
        """All connections."""
        last = ""
        try:
            while last is not None:
                last = self._once(last)
                self.cuts += last is not None
        except Exception as error:  # noqa: BLE001 - the test itself looks at it
            self.failure = error

    def _once(self, last: str) -> str | None:
        """One connection; returns the last id, None at the end of the stream."""
        headers = {"Authorization": f"Bearer {self._server.token}"} | ({"Last-Event-ID": last} if last else {})
        connection = http.client.HTTPConnection(urlsplit(self._server.url).netloc, timeout=30)
        connection.request("GET", f"/api/v1/jobs/{self._job}/logs/stream", headers=headers)
        answer = connection.getresponse()
        assert answer.status == 200
        for sent in parse_events(self._until_cut(answer)):
            if sent.event == "end":
                connection.close()
                return None
            self.records.append((time.time(), sent.data))
            last = sent.id
        connection.close()
        return last

    def _until_cut(self, answer: http.client.HTTPResponse) -> Iterator[bytes]:
        left = self._chance.randrange(2_000, 400_000)
        for line in body_lines(answer):
            yield line
            left -= len(line) + 1
            if left <= 0:
                return
        raise AssertionError("the stream broke off by itself")


def percentile(values: list[float], share: float) -> float:
    """The value that this share is not above."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


@pytest.mark.usefixtures("uncollected")
@pytest.mark.timeout(300)
@pytest.mark.parametrize(("rate", "seconds"), [(2_000, 3), pytest.param(10_000, 10, marks=pytest.mark.campaign)])
def test_a_follower_that_is_cut_gets_every_line_once(path: Path, rate: int, seconds: int) -> None:
    """In order, through any number of connections; at the whole rate within 250 ms, with heartbeats under a second (p99)."""
    server = Server(path / "data", free_port(), heartbeat_seconds=HEARTBEAT_SECONDS, lease_ttl_seconds=30)
    (path / "printer.py").write_text(PRINTER)
    workflow = (
        f"on: push\njobs:\n  job:\n    runs-on: linux\n    steps:\n      - run: {sys.executable} {path}/printer.py {rate} {seconds}\n"
    )
    runner = None
    try:
        server.start()
        runner = start_runner(server, path / "work")
        body = push("flood") | {"workflows": [{"path": ".github/workflows/ci.yml", "text": workflow}]}
        run = server.call("POST", "/api/v1/runs", body, {"Idempotency-Key": "flood"})["runs"][0]["run_id"]
        until(lambda: bool(server.call("GET", f"/api/v1/runs/{run}/jobs")["items"]), 30, "there is a job")
        job = server.call("GET", f"/api/v1/runs/{run}/jobs")["items"][0]["id"]
        follower = Follower(server, job, seed=rate)
        follower.start()
        succeed(server, [run], 120)
        follower.join(60)
        assert follower.failure is None
        stored = server.lines(f"/api/v1/jobs/{job}/logs")
        events = server.call("GET", f"/api/v1/jobs/{job}/events?per_page=100")["items"]
        assert check(server) == []
    finally:
        if runner is not None:
            runner.kill()
            runner.wait()
        server.kill()
    assert [record for _, record in follower.records] == stored
    assert [record["line"] for record in stored] == list(range(1, len(stored) + 1))
    printed = [(at, record["text"].split()) for at, record in follower.records if record["stream"] == "stdout"]
    assert [int(words[0]) for _, words in printed] == list(range(rate * seconds))
    assert follower.cuts >= seconds
    late = [at - float(words[1]) for at, words in printed]
    beats = [time_of(event["at"]) for event in events if event["type"] in ("JobStarted", "HeartbeatRecorded")]
    gaps = [later - earlier - HEARTBEAT_SECONDS for earlier, later in pairwise(beats)]
    figures = f"{len(printed)} lines, {follower.cuts} cuts, p50 {percentile(late, 0.5):.3f} s, p99 {percentile(late, 0.99):.3f} s"
    print(f"{figures}, heartbeats late by at most {max(gaps, default=0):.3f} s")  # noqa: T201 - the campaign's row
    if rate == 10_000:
        assert percentile(late, 0.99) < 0.25, figures
        assert percentile(gaps, 0.99) < 1.0


def time_of(text: str) -> float:
    """Seconds since 1970."""
    return datetime.fromisoformat(text).timestamp()
