"""Runners that lose contact: packets dropped for a while, or for longer than a lease, or no server at all.

Each job keeps a witness: an fsynced file with a line for each moment in which one of its steps lived, by the clock of the
machine. `make test` plays everything with short leases; `make campaign` with the real ones.
"""

import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.rigs.crash import check, start_runner
from tests.rigs.ports import free_port
from tests.rigs.runs import push, status, succeed, until
from tests.rigs.server import Server
from tests.rigs.wire import Wire

WITNESS = """
import os, sys, time
path, seconds, pause = sys.argv[1], float(sys.argv[2]), float(sys.argv[3])
ends, count = time.monotonic() + seconds, 0
with open(path, "a") as witness:
    while time.monotonic() < ends:
        count += 1
        witness.write(f"{os.environ['RUNNER_NAME']} {time.time()}\\n")
        witness.flush()
        os.fsync(witness.fileno())
        print(count, flush=True)
        time.sleep(pause)
"""


class Times(NamedTuple):
    """Seconds. long: a silence that no lease outlives; short: one that every lease does; outage: without any server."""

    lease: float
    heartbeat: float
    short: float
    long: float
    outage: float


QUICK = Times(lease=9, heartbeat=3, short=3, long=18, outage=20)
WHOLE = Times(lease=30, heartbeat=10, short=10, long=60, outage=600)
BOTH = pytest.mark.parametrize(
    "times",
    [
        pytest.param(QUICK, id="quick", marks=pytest.mark.timeout(180)),
        pytest.param(WHOLE, id="whole", marks=[pytest.mark.campaign, pytest.mark.timeout(1800)]),
    ],
)
"""The limits stand here: one at a test itself would count for both."""


class Place:
    """A server, and what runs against it."""

    def __init__(self, path: Path, times: Times) -> None:
        self.path = path
        self.times = times
        self.port = free_port()
        self.server = Server(path / "data", self.port, lease_ttl_seconds=times.lease, heartbeat_seconds=times.heartbeat)
        self.ends: list[Callable[[], object]] = [self.server.kill]
        self.script = path / "witness.py"
        self.script.write_text(WITNESS)
        self.server.start()

    def runner(self, name: str, url: str = "") -> None:
        """Start one."""
        process = start_runner(self.server, self.path / name, url, name)
        self.ends += [process.wait, process.kill]

    def run(self, key: str, *seconds: float, pause: float = 0.02) -> str:
        """Start a run of one job with a step of each of these lengths; each step has a witness."""
        steps = "".join(
            f"      - run: {sys.executable} {self.script} {self.witness(key, index)} {length} {pause}\n"
            for index, length in enumerate(seconds)
        )
        workflow = f"on: push\njobs:\n  job:\n    runs-on: linux\n    steps:\n{steps}"
        body = push(key) | {"workflows": [{"path": ".github/workflows/ci.yml", "text": workflow}]}
        return str(self.server.call("POST", "/api/v1/runs", body, {"Idempotency-Key": key})["runs"][0]["run_id"])

    def witness(self, key: str, step: int = 0) -> Path:
        """The file."""
        return self.path / f"{key}-{step}"

    def moments(self, key: str, step: int = 0) -> list[tuple[str, float]]:
        """Who lived when."""
        return [(name, float(at)) for name, at in map(str.split, self.witness(key, step).read_text().splitlines())]

    def working(self, key: str) -> None:
        """Wait until the first step has lived for a moment."""
        until(lambda: self.witness(key).exists() and len(self.moments(key)) > 3, 60, "the job works")

    def job(self, run: str) -> dict[str, Any]:
        """The run's only job."""
        found: dict[str, Any] = self.server.call("GET", f"/api/v1/runs/{run}/jobs")["items"][0]
        return found

    def events(self, run: str, kind: str) -> list[dict[str, Any]]:
        """The job's events of one type."""
        page = self.server.call("GET", f"/api/v1/jobs/{self.job(run)['id']}/events?per_page=100")
        found = page["items"]
        while page["next_cursor"]:
            page = self.server.call("GET", f"/api/v1/jobs/{self.job(run)['id']}/events?per_page=100&cursor={page['next_cursor']}")
            found += page["items"]
        return [event for event in found if event["type"] == kind]

    def output(self, run: str, step: int) -> list[str]:
        """What a step printed, as the log has it."""
        records = self.server.lines(f"/api/v1/jobs/{self.job(run)['id']}/logs")
        return [record["text"] for record in records if record["step"] == step and record["stream"] == "stdout"]


@pytest.fixture
def place(times: Times) -> Iterator[Place]:
    """In a directory whose name is short enough for a socket below it."""
    path = Path(tempfile.mkdtemp(prefix="lm"))
    path.chmod(0o711)
    made = Place(path, times)
    yield made
    for end in reversed(made.ends):
        end()
    shutil.rmtree(path, ignore_errors=True)


def complete(place: Place, run: str, key: str, steps: int) -> None:
    """The run succeeded in its first attempt, and its log has every line that its steps printed, in order."""
    succeed(place.server, [run], 120)
    assert place.job(run)["attempt"] == 1, place.events(run, "AttemptLost")
    for step in range(steps):
        printed = len(place.moments(key, step))
        assert place.output(run, step) == [str(number) for number in range(1, printed + 1)]


@BOTH
def test_packets_dropped_for_less_than_a_lease_cost_nothing(place: Place, times: Times) -> None:
    """The same attempt goes on, and no line is lost."""
    with Wire(place.port) as wire:
        place.runner("far", wire.url)
        run = place.run("far", 3 * times.short, 0.5)
        place.working("far")
        wire.drop()
        time.sleep(times.short)  # the silence itself
        wire.heal()
        complete(place, run, "far", 2)
    assert check(place.server) == []


@BOTH
def test_a_runner_that_is_cut_off_stops_before_its_lease_ends(place: Place, times: Times) -> None:
    """Another attempt runs elsewhere and never at the same time; what the first one still says is refused and recorded."""
    with Wire(place.port) as wire:
        place.runner("far", wire.url)
        run = place.run("cut", 0.8 * times.long)
        place.working("cut")
        place.runner("near")
        wire.drop()
        cut_at = time.time()
        time.sleep(times.long)  # the silence itself
        wire.heal()
        succeed(place.server, [run], 2 * times.long + 30)
        until(lambda: bool(place.events(run, "StaleWriteRejected")), 30, "a late write is refused")
    (lost,) = place.events(run, "AttemptLost")
    leases = place.events(run, "JobAcquired")[:1] + [each for each in place.events(run, "HeartbeatRecorded") if each["data"]["epoch"] == 1]
    lease_end = max(time_of(each["data"]["expires_at"]) for each in leases)
    far = [at for name, at in place.moments("cut") if name == "far"]
    near = [at for name, at in place.moments("cut") if name == "near"]
    assert (lost["data"]["reason"], place.job(run)["attempt"], place.job(run)["runner"]) == ("lease_expired", 2, "near")
    assert cut_at < max(far) < lease_end < min(near)
    assert max(far) > cut_at + times.lease / 3  # it did not give up at the first silence either
    assert place.output(run, 0) == [str(number) for number in range(1, len(near) + 1)]
    assert check(place.server) == []


@BOTH
def test_jobs_outlive_the_whole_server(place: Place, times: Times) -> None:
    """All server processes are killed for much longer than a lease: every job ends in its first attempt, with every line."""
    place.runner("box")
    pause = times.outage / 1000
    runs = {
        "ends-within": place.run("ends-within", times.outage / 3, times.outage / 4, pause=pause),
        "goes-on": place.run("goes-on", times.outage / 2, times.outage / 2 + 5, 1, pause=pause),
    }
    for key in runs:
        place.working(key)
    place.server.kill()
    time.sleep(times.outage)  # the outage itself
    assert place.witness("ends-within", 1).exists()
    place.server.start()
    complete(place, runs["ends-within"], "ends-within", 2)
    complete(place, runs["goes-on"], "goes-on", 3)
    assert status(place.server, runs["goes-on"]) == ("completed", "success")
    assert not list((place.path / "box" / "spool").iterdir())
    assert check(place.server) == []


def time_of(text: str) -> float:
    """Seconds since 1970."""
    return datetime.fromisoformat(text).timestamp()
