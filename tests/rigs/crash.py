"""The crash campaign: everything is killed at random moments under load, and nothing acknowledged may be lost.

    python -m tests.rigs.crash --cycles 20 --seed 1

A load generator sends 20 commands a second: 10 new runs with an Idempotency-Key each, and each of them a second time, as a
client does whose answer was lost. It writes every acknowledgement to an fsynced journal outside the server. A runner with
120 slots executes real steps of 5 and of 15 seconds. At random moments with enough jobs in flight the server, Postgres,
NATS and the runners are killed with SIGKILL, all at once; every third time JetStream's directory is deleted while they are
down. Then NATS is stopped for a minute while the rest goes on. At the end the journal, the log and the views are compared.
"""

import argparse
import http.client
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.rigs.api import Api
from tests.rigs.ports import free_port
from tests.rigs.server import LEDGERMILL, Server

RUNS_PER_SECOND = 10
SLOTS = 120
JOB_SECONDS = (5, 15)
"""The jobs' lengths in turn: long ones are in flight on a machine too busy to take ten runs a second, too."""
IN_FLIGHT_MIN = 60
VERIFY_SECONDS_MAX = 600.0
"""How long the fold of a whole campaign's log may take."""
LOAD_SECONDS_MAX = 90.0
"""How many jobs are to be in flight before a crash, and how long to wait for them."""
QUIET_SECONDS_MAX = 90.0
"""How long nothing may change before what is left counts as stuck."""
FINISH_SECONDS_MAX = 300.0
"""How long the last commands may take to be acknowledged by a whole server."""
WORKFLOW = """
on: push
jobs:
  first:
    runs-on: linux
    env: {LEDGERMILL_RETRY: "max=50 on=lost backoff=1s cap=2s"}
    outputs: {v: "${{ steps.s.outputs.v }}"}
    steps:
      - {id: s, run: "sleep ${{ github.event.seconds }}; echo v=1 >> $GITHUB_OUTPUT"}
  second:
    needs: first
    runs-on: linux
    env: {LEDGERMILL_RETRY: "max=50 on=lost backoff=1s cap=2s"}
    steps:
      - run: test "${{ needs.first.outputs.v }}" = 1
"""


class Journal:
    """What was acknowledged, one line each, on stable storage before anything else happens."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", buffering=1)
        self.acknowledged: dict[str, str] = {}
        self.different: list[str] = []

    def close(self) -> None:
        """No more acknowledgements."""
        self._file.close()

    def write(self, key: str, run: str) -> None:
        """Keep an acknowledgement."""
        self._file.write(f"{key} {run}\n")
        os.fsync(self._file.fileno())
        self.acknowledged[key] = run


def push(number: int, seconds: int = JOB_SECONDS[0], workflow: str = WORKFLOW) -> dict[str, Any]:
    """One push; its first job takes this many seconds."""
    return {
        "repository": {"full_name": "acme/crash", "provider": "local", "clone_url": "/nowhere", "default_branch": "main"},
        "source_url": "/nowhere",
        "sha": "0" * 40,
        "ref": "refs/heads/main",
        "event": "push",
        "payload": {"number": number, "seconds": seconds},
        "inputs": {},
        "workflows": [{"path": ".github/workflows/ci.yml", "text": workflow}],
        "jobs": [],
        "matrix": {},
        "changed_paths": [],
    }


class Load(threading.Thread):
    """Triggers runs at a steady rate. What is not acknowledged is sent again with the same key, as a client would."""

    def __init__(
        self, server: Api, journal: Journal, runs_per_second: float = RUNS_PER_SECOND, body: Callable[[int], dict[str, Any]] = push
    ) -> None:
        """body: what is sent, by its number."""
        super().__init__(daemon=True)
        self._body = body
        self._pause = 1 / runs_per_second
        self._server = server
        self._journal = journal
        self._ending = threading.Event()
        self.sent = 0

    def run(self) -> None:
        """Send until stopped."""
        pending: list[int] = []
        due = time.monotonic()
        while not self._ending.is_set() or pending:
            if not self._ending.is_set():
                self.sent += 1
                pending.append(self.sent)
            pending = [number for number in pending if not self._send(number)]
            due = max(due + self._pause, time.monotonic() - 1)
            self._ending.wait(max(0.0, due - time.monotonic())) if not self._ending.is_set() else time.sleep(0.05)

    def finish(self) -> None:
        """No new commands; the unacknowledged ones are still sent. Raises AssertionError where that does not come to an end."""
        self._ending.set()
        self.join(FINISH_SECONDS_MAX)
        assert not self.is_alive(), f"not every command was acknowledged within {FINISH_SECONDS_MAX} s"

    def _send(self, number: int) -> bool:
        key = f"push-{number}"
        body = self._body(number)
        try:
            first = self._server.call("POST", "/api/v1/runs", body, {"Idempotency-Key": key})["runs"]
            self._journal.write(key, first[0]["run_id"])
            again = self._server.call("POST", "/api/v1/runs", body, {"Idempotency-Key": key})["runs"]
        except (OSError, http.client.HTTPException, ValueError):
            return False
        if again != first:
            self._journal.different.append(key)
        return True


def start_runner(server: Api, work: Path, url: str = "", name: str = "crash") -> "subprocess.Popen[bytes]":
    """A real runner with many slots. url: where it finds the server, if that is not the server's own."""
    arguments = ["--url", url or server.url, "--token-file", str(server.data / "runner-token"), "--name", name, "--labels", "linux"]
    with (work.parent / "runner.log").open("ab") as out:
        return subprocess.Popen(
            [sys.executable, "-m", "runner", *arguments, "--slots", str(SLOTS), "--work", str(work)], stdout=out, stderr=out
        )


def campaign(cycles: int, seed: int, root: Path, *, nats_silence_seconds: float = 60) -> dict[str, Any]:
    """Run it; returns the figures. `problems` is empty when nothing was lost, doubled or stuck.

    nats_silence_seconds: how long NATS answers nobody after the last kill, while the rest goes on.
    """
    chance = random.Random(seed)
    data = root / "data"
    server = Server(data, free_port(), lease_ttl_seconds=10, heartbeat_seconds=2)
    server.start()
    journal = Journal(root / "journal")
    load = Load(server, journal, body=lambda number: push(number, JOB_SECONDS[number % len(JOB_SECONDS)]))
    runner = start_runner(server, root / "work")
    load.start()
    recoveries = []
    in_flight = []
    try:
        for cycle in range(cycles):
            time.sleep(chance.uniform(0, 8))  # the crash comes at a moment that nothing tells of
            in_flight.append(_under_load(server))
            server.kill()
            runner.kill()
            runner.wait()
            if cycle % 3 == 2:
                shutil.rmtree(data / "nats" / "jetstream")
            began = time.monotonic()
            server.start()
            recoveries.append(time.monotonic() - began)
            runner = start_runner(server, root / "work")
        server.silence("nats-server", nats_silence_seconds)
        load.finish()
        problems = settle(server, journal)
    finally:
        runner.kill()
        runner.wait()
        server.kill()
        journal.close()
    return {
        "cycles": cycles,
        "seed": seed,
        "sent": load.sent,
        "acknowledged": len(journal.acknowledged),
        "in_flight": in_flight,
        "recovery_seconds": [round(seconds, 2) for seconds in recoveries],
        "problems": problems,
    }


def _under_load(server: Api) -> int:
    """How many jobs are in flight, as soon as they are enough for a crash to hurt, or when they are still fewer after a while."""
    give_up_at = time.monotonic() + LOAD_SECONDS_MAX
    while (in_progress := _in_progress(server)) < IN_FLIGHT_MIN and time.monotonic() < give_up_at:
        time.sleep(0.1)  # polls another process: there is nothing to wait on
    return in_progress


def _in_progress(server: Api) -> int:
    try:
        return len(server.call("GET", "/api/v1/runs?status=in_progress&per_page=100")["items"])
    except (OSError, urllib.error.URLError):
        return -1


def _left(server: Api) -> tuple[int, list[str]]:
    """How many jobs are queued, and which runs are not over."""
    going = [
        run["id"]
        for status in ("queued", "in_progress")
        for run in server.call("GET", f"/api/v1/runs?status={status}&per_page=100")["items"]
    ]
    return server.call("GET", "/api/v1/queue")["depth"], going


def settle(server: Api, journal: Journal) -> list[str]:
    """Wait until every run is over, then compare journal, log and views."""
    left, deadline = _left(server), time.monotonic() + QUIET_SECONDS_MAX
    while left != (0, []):
        if time.monotonic() > deadline:
            return ["runs are stuck: " + str(server.call("GET", "/api/v1/queue"))[:500]]
        time.sleep(0.5)  # polls another process: there is nothing to wait on
        before, left = left, _left(server)
        if left != before:
            deadline = time.monotonic() + QUIET_SECONDS_MAX
    problems = []
    runs: dict[str, Any] = {}
    cursor = ""
    while True:
        page = server.call("GET", f"/api/v1/runs?per_page=100{cursor}")
        runs.update({run["id"]: run for run in page["items"]})
        if not page["next_cursor"]:
            break
        cursor = f"&cursor={page['next_cursor']}"
    problems += [f"lost: {key} -> {run}" for key, run in journal.acknowledged.items() if run not in runs]
    # A job may be hit by every kill, so its retry policy allows more than that: none may fail.
    problems += [f"not successful: {run['id']} {run['conclusion']}" for run in runs.values() if run["conclusion"] != "success"]
    problems += [f"answered in two ways: {key}" for key in journal.different]
    if len(set(journal.acknowledged.values())) != len(journal.acknowledged):
        problems.append("two keys led to one run")
    return problems + check(server)


def check(server: Api) -> list[str]:
    """The invariants of the whole log by the CLI, and every view against its fold by the server, which has had a run."""
    run = server.call("GET", "/api/v1/runs?per_page=1")["items"][0]["id"]
    command = [LEDGERMILL, "check", "--server", server.url, "--token-file", str(server.data / "token"), *server.trust]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    problems = [] if done.returncode == 0 and "every invariant holds" in done.stderr else [(done.stdout + done.stderr)[-2000:]]
    try:
        verified = server.call("POST", f"/api/v1/runs/{run}/replay", {"scope": "store"}, seconds=VERIFY_SECONDS_MAX)
    except (OSError, http.client.HTTPException) as error:
        return [*problems, f"the views could not be compared with their fold: {error!r}"]
    return problems + [f"a view is not its fold: {difference}" for difference in verified["differences"][:20]]


def main() -> None:
    """The campaign from the command line."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--cycles", type=int, default=20)
    arguments.add_argument("--seed", type=int, default=1)
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        figures = campaign(given.cycles, given.seed, Path(directory))
    for name, value in figures.items():
        print(f"{name:>18}  {value}")  # noqa: T201 - the table is the point
    sys.exit(1 if figures["problems"] else 0)


if __name__ == "__main__":
    main()
