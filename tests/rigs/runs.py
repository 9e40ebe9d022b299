"""Runs of a server under test: send them as a client would, wait for their end, look what happened."""

import contextlib
import time
import urllib.error
from collections.abc import Callable
from typing import Any

from tests.rigs.api import Api

WORKFLOW = """
on: push
jobs:
  job:
    runs-on: linux
    steps:
      - run: sleep {seconds}
"""


def push(key: str, seconds: float = 0) -> dict[str, Any]:
    """A request for one run of one job that takes `seconds`."""
    return {
        "repository": {"full_name": "acme/faults", "provider": "local", "clone_url": "/nowhere", "default_branch": "main"},
        "source_url": "/nowhere",
        "sha": "0" * 40,
        "ref": "refs/heads/main",
        "event": "push",
        "payload": {"key": key},
        "workflows": [{"path": ".github/workflows/ci.yml", "text": WORKFLOW.format(seconds=seconds)}],
    }


def send(server: Api, key: str, seconds: float = 0) -> str:
    """Start a run; returns its id. Raises urllib.error.HTTPError or OSError."""
    answer = server.call("POST", "/api/v1/runs", push(key, seconds), {"Idempotency-Key": key})
    return str(answer["runs"][0]["run_id"])


def until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Wait for a condition of other processes. Raises AssertionError that names `what`."""
    give_up_at = time.monotonic() + seconds
    while True:
        with contextlib.suppress(OSError, urllib.error.URLError):
            if condition():
                return
        assert time.monotonic() < give_up_at, f"not within {seconds} s: {what}"
        time.sleep(0.05)  # polls another process: there is nothing to wait on


def status(server: Api, run: str) -> tuple[str, str | None]:
    """Status and conclusion of a run."""
    found = server.call("GET", f"/api/v1/runs/{run}")
    return found["status"], found["conclusion"]


def succeed(server: Api, runs: list[str], seconds: float = 60) -> None:
    """Wait until all runs have succeeded. One that ends otherwise is not waited for."""
    for run in runs:
        until(lambda run=run: status(server, run)[0] == "completed", seconds, f"run {run} is over")  # type: ignore[misc]  # the default binds it
        assert status(server, run) == ("completed", "success")
