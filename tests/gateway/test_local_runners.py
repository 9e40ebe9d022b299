"""The whole way with a real runner: from `up` to the end of a run, also when the runner is killed in mid-step."""

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.gateway.test_up import LEDGERMILL, READY_SECONDS_MAX, Server, processes_of, until

WORKFLOW = """\
on: push
jobs:
  work:
    runs-on: ubuntu-latest
    steps:
      - run: |
          echo begun
          if mkdir "$MARK"; then sleep 600; fi
          echo finished
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server with one runner."""
    started = Server(tmp_path / "data")
    started.ready()
    yield started
    started.process.send_signal(signal.SIGTERM)
    started.process.communicate(timeout=READY_SECONDS_MAX)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository whose job hangs in its first attempt and ends in its second."""
    place = tmp_path / "repository"
    (place / ".github" / "workflows").mkdir(parents=True)
    (place / ".github" / "workflows" / "ci.yml").write_text(WORKFLOW.replace('"$MARK"', str(tmp_path / "mark")))
    name = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    for words in (["init", "-q", "-b", "main"], ["add", "-A"], [*name, "commit", "-q", "-m", "one"]):
        subprocess.run(["git", *words], cwd=place, check=True)
    return place


def ledgermill(*words: str) -> Callable[[], list[dict[str, str]]]:
    """A read verb, as a function that gives its JSON lines."""

    def read() -> list[dict[str, str]]:
        done = subprocess.run([*LEDGERMILL, *words], capture_output=True, text=True, check=True)
        return [json.loads(line) for line in done.stdout.splitlines()]

    return read


def test_a_killed_runner_is_started_again_and_its_job_ends_in_success(server: Server, repository: Path, tmp_path: Path) -> None:
    """The restarted runner does not name the job, so its attempt is lost at once; the second one succeeds."""
    place = ["--data", str(server.data)]
    run = subprocess.Popen([*LEDGERMILL, "run", "-C", str(repository), *place], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert until((tmp_path / "mark").exists, READY_SECONDS_MAX)
    runner = next(process for process in processes_of(server.data) if "-m runner " in process)
    os.kill(int(runner.split()[0]), signal.SIGKILL)
    output, _ = run.communicate(timeout=READY_SECONDS_MAX)
    assert run.returncode == 0, output
    events = ledgermill("events", "latest", "--json", *place)()
    kinds = [event["type"] for event in events]
    assert kinds.count("JobAcquired") == 2
    assert kinds.count("AttemptLost") == 1
    assert kinds.count("JobSucceeded") == 1
    assert kinds[-1] == "RunCompleted"
    verified = subprocess.run([*LEDGERMILL, "replay", "latest", "--verify", *place], capture_output=True, text=True, check=False)
    assert verified.returncode == 0, verified.stderr
