"""`logs`: a run that goes on, whose jobs are there only later, over a connection that breaks; and parts of logs that are over."""

import asyncio
import itertools
import json
from urllib.parse import urlsplit

import pytest

from tests.e2e.conftest import PROGRAM
from tests.proxy import Proxy
from tests.rigs.ports import free_port

pytestmark = pytest.mark.timeout(180)

WORKFLOW = """\
on: push
jobs:
  plan:
    runs-on: ubuntu-latest
    outputs:
      which: ${{ steps.say.outputs.which }}
    steps:
      - id: say
        run: |
          echo 'which=["a","b"]' >> "$GITHUB_OUTPUT"
          echo planned
          until [ -e GATE/go ]; do sleep 0.05; done
  use:
    needs: plan
    runs-on: ubuntu-latest
    strategy:
      matrix:
        name: ${{ fromJSON(needs.plan.outputs.which) }}
    steps:
      - run: |
          for number in $(seq 2000); do echo "${{ matrix.name }} $number"; done
          until [ -e GATE/end ]; do sleep 0.05; done
          echo "${{ matrix.name }} over"
"""


async def test_all_jobs_of_a_run_are_followed_at_once_over_a_connection_that_breaks(place, tmp_path):
    """Lines of both instances come while both run; each line once, in its job's order; the verb ends with the run."""
    place.workflow(WORKFLOW.replace("GATE", str(tmp_path)))
    assert place("up", "--detach", "--port", "0", "--runners", "2").code == 0
    port = urlsplit(place("status", "--json").json()["url"]).port
    running = place.start("run", "--progress", "plain")
    assert any("planned" in line for line in iter(running.stdout.readline, ""))
    proxy = Proxy.tcp(free_port(), "127.0.0.1", port)
    await proxy.up()
    url = f"http://127.0.0.1:{proxy._server.sockets[0].getsockname()[1]}"
    options = ["latest", "-f", "--server", url, "--token-file", str(place.data / "token")]
    child = await asyncio.create_subprocess_exec(PROGRAM, "logs", *options, env=place.env, stdout=asyncio.subprocess.PIPE)
    lines, cuts = [], 0
    async for raw in child.stdout:
        lines.append(raw.decode().rstrip("\n"))
        if lines[-1].endswith("| planned"):
            (tmp_path / "go").touch()
        if lines[-1].split("| ")[-1] in ("a 2000", "b 2000") and sum(line.endswith(" 2000") for line in lines) == 2:
            (tmp_path / "end").touch()
        if len(lines) % 300 == 100:
            cuts += 1
            await proxy.cut()
    assert await asyncio.wait_for(child.wait(), 20) == 0
    await proxy.down()
    running.communicate(timeout=30)
    assert running.returncode == 0
    assert cuts > 5
    by_job = {name: [line.partition(" | ")[2] for line in found] for name, found in itertools.groupby(sorted(lines, key=job_of), job_of)}
    assert set(by_job) == {"plan", "use (a)", "use (b)"}
    for name in ("a", "b"):
        said = [line for line in by_job[f"use ({name})"] if line.startswith(f"{name} ")]
        assert said == [*(f"{name} {number}" for number in range(1, 2001)), f"{name} over"]
    stored = place("logs", "latest").out.splitlines()
    assert [line.partition(" | ")[2] for line in stored] == [line for found in by_job.values() for line in found]


def job_of(line):
    """The job that a line is of."""
    return line.partition("|")[0].strip()


PARTS = """\
on: push
jobs:
  job:
    runs-on: ubuntu-latest
    steps:
      - run: |
          echo early bird
          sleep 2
          printf '\\033[31mred\\033[0m\\n'
      - run: |
          echo late bird
          echo no newline at the end | tr -d '\\n'
          exit 3
"""


def test_parts_of_a_log(place):
    """--since, --grep, --failed, a step, and what they mean together with -f; colours stay in a file."""
    place.workflow(PARTS)
    assert place("up", "--detach", "--port", "0").code == 0
    assert place("run").code == 1
    whole = place("logs", "latest").out.splitlines()
    assert {"early bird", "\033[31mred\033[0m", "late bird", "no newline at the end"} <= set(whole)
    assert place("logs", "latest", "--grep", "^l.*bird").out == "late bird\n"
    failed = place("logs", "latest", "--failed").out.splitlines()
    assert "late bird" in failed
    assert "early bird" not in failed
    assert place("logs", "latest/job/2").out.splitlines() == failed
    records = [json.loads(line) for line in place("logs", "latest", "--json").out.splitlines()]
    assert [record["text"] for record in records] == whole
    red = next(record["at"] for record in records if "[31mred" in record["text"] and "printf" not in record["text"])
    since = place("logs", "latest", "--since", red).out.splitlines()
    assert since == whole[whole.index("\033[31mred\033[0m") :]
    for options in ([], ["--failed"], ["--grep", "bird"], ["--since", red]):
        assert place("logs", "latest", "-f", *options).out == place("logs", "latest", *options).out
