"""Runs of a server under test: send them as a client would, wait for their end, look what happened."""

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


def until(condition: Callable[[], bool], seconds: float, what: str, tell: Callable[[], str] = str) -> None:
    """Wait for a condition of other processes. Raises AssertionError that names `what`, the last error, and what `tell` says."""
    give_up_at = time.monotonic() + seconds
    while True:
        error: object = ""
        try:
            if condition():
                return
        except (OSError, urllib.error.URLError) as failed:
            error = said(failed)
        assert time.monotonic() < give_up_at, f"not within {seconds} s: {what}\n{error}\n{tell()}"
        time.sleep(0.05)  # polls another process: there is nothing to wait on


def said(error: Exception) -> str:
    """An error with what the server said."""
    return f"{error!r} {error.read().decode(errors='replace')}" if isinstance(error, urllib.error.HTTPError) else repr(error)


def status(server: Api, run: str) -> tuple[str, str | None]:
    """Status and conclusion of a run."""
    found = server.call("GET", f"/api/v1/runs/{run}")
    return found["status"], found["conclusion"]


def succeed(server: Api, runs: list[str], seconds: float = 60) -> None:
    """Wait until all runs have succeeded. One that ends otherwise is not waited for. What became of it is told."""
    for run in runs:
        until(
            lambda run=run: status(server, run)[0] == "completed",  # type: ignore[misc]  # the default binds it
            seconds,
            f"run {run} is over",
            lambda run=run: story(server, run),  # type: ignore[misc]  # as above
        )
        assert status(server, run) == ("completed", "success"), story(server, run)


def story(server: Api, run: str, events: int = 20) -> str:
    """What became of a run, for the eyes of whoever looks for the reason: its jobs, their last events, the ends of the logs."""
    told = []
    try:
        told.append(f"run: {server.call('GET', f'/api/v1/runs/{run}')}")
        for job in server.call("GET", f"/api/v1/runs/{run}/jobs")["items"]:
            told.append(f"job: {job}")
            page = server.call("GET", f"/api/v1/jobs/{job['id']}/events?per_page=100")
            told += [f"  {event['position']} {event['at']} {event['type']} {event['data']}" for event in page["items"][-events:]]
        told.append(f"queue: {server.call('GET', '/api/v1/queue')}")
    except (OSError, urllib.error.URLError) as error:
        told.append(f"the server tells no more: {said(error)}")
    for name in ("server.log", "runner.log"):
        log = server.data.parent / name
        told.append(f"{name}: {log.read_text(errors='replace')[-3000:] if log.exists() else 'there is none'}")
    return "\n".join(told)
