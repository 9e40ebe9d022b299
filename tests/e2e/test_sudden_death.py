"""kill -9 of a runner in mid-step, seen through the command line: the job goes on elsewhere, and the dead have no say."""

import json
import os
import signal
import urllib.error
import urllib.request

import pytest

from tests.e2e.conftest import waiting_for

pytestmark = pytest.mark.timeout(180)

TERMINAL = {"JobSucceeded", "JobFailed", "JobTimedOut", "JobCancelled", "JobSkipped"}


def test_a_job_whose_runner_was_killed_succeeds_in_its_second_attempt_and_late_writes_are_refused(served, until, tmp_path):
    """One AttemptLost, one terminal event; a write of the first epoch is answered 409 and recorded as StaleWriteRejected."""
    gate = tmp_path / "gate"
    served.workflow(waiting_for(gate))
    child = served.start("run", "--progress", "plain")
    until(child, "| begin")
    (busy,) = [runner for runner in served("runner", "list", "--json").json() if runner["jobs"]]
    os.kill(busy["pid"], signal.SIGKILL)
    shown = until(child, "| begin")
    assert any("! attempt 1 ended: " in line for line in shown)
    gate.touch()
    out, err = child.communicate(timeout=60)
    assert child.returncode == 0, out + err
    assert "attempt 2" in out

    def events() -> list[dict]:
        return [json.loads(line) for line in served("events", "latest/wait", "--json").out.splitlines()]

    types = [event["type"] for event in events()]
    assert types.count("AttemptLost") == 1
    assert [kind for kind in types if kind in TERMINAL] == ["JobSucceeded"]
    first, second = (event for event in events() if event["type"] == "JobAcquired")
    assert (first["data"]["attempt"], second["data"]["attempt"]) == (1, 2)
    assert first["data"]["epoch"] < second["data"]["epoch"]

    late = {name: first["data"][name] for name in ("runner", "attempt", "epoch", "lease")} | {
        "conclusion": "failure",
        "reason": "step_failed",
        "last_line": 0,
        "result": "",
    }
    status, problem = complete(served, first["stream"], late)
    assert (status, problem["code"]) == (409, "lease_lost")
    assert [kind for kind in (event["type"] for event in events()) if kind in TERMINAL] == ["JobSucceeded"]
    (refused,) = (event for event in events() if event["type"] == "StaleWriteRejected")
    assert refused["data"]["epoch"] == first["data"]["epoch"]
    audit = served("audit").out
    assert "not accepted" in audit
    assert served("replay", "latest", "--verify").code == 0


def complete(served, job: str, report: dict) -> tuple[int, dict]:
    """Send the report of a job's end by hand, as the dead runner would have."""
    url = served("status", "--json").json()["url"]
    token = (served.data / "runner-token").read_text().strip()
    request = urllib.request.Request(
        f"{url}/runner/v1/jobs/{job}/complete",
        data=json.dumps(report).encode(),
        headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
    )
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=30)
    return refused.value.code, json.loads(refused.value.read())
