"""Cancel, seen through the command line: the ladder reaches everything that a step left behind, and clean-up runs."""

import json
import sys
import time
from datetime import datetime
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(180)

STUBBORN = """\
import os, signal, sys, time

folder = sys.argv[1]


def stay(name):
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: open(f"{folder}/{name}.{number}", "x").write(str(time.time())))
    open(f"{folder}/{name}.pid", "w").write(str(os.getpid()))
    while True:
        time.sleep(0.05)


if os.fork() == 0:
    os.setsid()
    stay("session")
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        stay("orphan")
    os._exit(0)
while not all(os.path.exists(f"{folder}/{name}.pid") for name in ("session", "orphan")):
    time.sleep(0.01)
print("begin", flush=True)
stay("step")
"""

WORKFLOW = """\
on: push
jobs:
  stubborn:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - run: exec PYTHON stubborn.py FOLDER
        shell: bash
      - run: echo "not this"
      - if: always()
        run: echo "always ran"
      - if: cancelled()
        run: echo "cancelled ran"
  needs-it:
    needs: stubborn
    runs-on: ubuntu-latest
    steps: [{run: echo "not this"}]
  clean-up:
    needs: stubborn
    if: always()
    runs-on: ubuntu-latest
    steps: [{run: "echo the job was ${{ needs.stubborn.result }}"}]
"""


def alive(folder: Path) -> list[str]:
    """The processes of the step that live: their pid is still one with the folder in its command line."""
    found = []
    for file in folder.glob("*.pid"):
        try:
            if str(folder).encode() in Path(f"/proc/{file.read_text()}/cmdline").read_bytes():
                found.append(file.stem)
        except OSError:
            continue
    return sorted(found)


def prepare(served, folder):
    folder.mkdir()
    served.write("stubborn.py", STUBBORN)
    served.workflow(WORKFLOW.replace("PYTHON", sys.executable).replace("FOLDER", str(folder)))


def events(served, of):
    return [json.loads(line) for line in served("events", of, "--json").out.splitlines()]


def test_nothing_of_a_cancelled_step_lives_and_what_always_runs_ran(served, until, tmp_path):
    """Children in sessions of their own that ignore INT and TERM are gone; downstream is skipped, clean-up is not."""
    folder = tmp_path / "step"
    prepare(served, folder)
    child = served.start("run", "--progress", "plain")
    until(child, "| begin")
    assert alive(folder) == ["orphan", "session", "step"]
    assert served("cancel", "latest").code == 0
    out, err = child.communicate(timeout=90)
    assert child.returncode == 2, out + err
    assert alive(folder) == []
    assert "always ran" in out
    assert "cancelled ran" in out
    assert "the job was cancelled" in out
    assert "not this" not in out
    jobs = {job["name"]: job for job in served("runs", "view", "latest", "--json").json()["jobs"]}
    assert {name: job["conclusion"] for name, job in jobs.items()} == {
        "stubborn": "cancelled",
        "needs-it": "skipped",
        "clean-up": "success",
    }
    steps = [step["conclusion"] for step in jobs["stubborn"]["steps"]]
    assert steps == ["success", "cancelled", "skipped", "success", "success"]
    (requested,) = (event for event in events(served, "latest/stubborn") if event["type"] == "JobCancellationRequested")
    asked = datetime.fromisoformat(requested["at"]).timestamp()
    told = {path.name: float(path.read_text()) - asked for path in folder.glob("step.*") if path.suffix != ".pid"}
    assert told["step.2"] < 6, "the order reached the runner with a renewal, not by itself"
    assert 5 < told["step.15"] - told["step.2"] < 10, "TERM comes 7.5 s after INT, on a busy machine a little sooner or later"


def test_a_forced_cancel_runs_nothing_more(served, until, tmp_path):
    """No ladder and no clean-up within the job; jobs that always run still do."""
    folder = tmp_path / "step"
    prepare(served, folder)
    child = served.start("run", "--progress", "plain")
    until(child, "| begin")
    began = time.monotonic()
    assert served("cancel", "latest", "--force").code == 0
    out, err = child.communicate(timeout=90)
    assert child.returncode == 2, out + err
    assert "always ran" not in out
    assert "the job was cancelled" in out
    while alive(folder):  # the runner hears of it by itself, not by way of this program
        assert time.monotonic() - began < 30
        time.sleep(0.05)


def test_what_is_over_cannot_be_cancelled(served):
    """The refusal names the state."""
    served.workflow("on: push\njobs: {a: {runs-on: ubuntu-latest, steps: [{run: echo}]}}\n")
    assert served("run", "--progress", "plain").code == 0
    refused = served("cancel", "latest")
    assert refused.code == 1
    assert "ended success; it cannot be cancelled" in refused.err
