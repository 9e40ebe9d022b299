"""Labels that no runner has: refused on a stack of the verb's own, said aloud on a server, and never waited for in silence."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(180)

PROGRAM = str(Path(sys.executable).with_name("ledgermill"))

MATRIX = """\
on: push
jobs:
  x:
    strategy: {matrix: {os: [ubuntu-latest, windows-latest]}}
    runs-on: ${{ matrix.os }}
    steps: [{run: echo hi}]
"""

FROM_OUTPUT = """\
on: push
jobs:
  choose:
    runs-on: ubuntu-latest
    outputs: {os: "${{ steps.say.outputs.os }}"}
    steps: [{id: say, run: echo os=riscv >> $GITHUB_OUTPUT}]
  use:
    needs: choose
    runs-on: ${{ needs.choose.outputs.os }}
    steps: [{run: echo hi}]
"""

PLAIN = """\
on: push
jobs:
  x:
    runs-on: ubuntu-latest
    steps: [{run: sleep 1}]
"""


def test_a_label_that_comes_through_a_matrix_is_refused_at_plan_time(place):
    """The expression is evaluated before anything is queued."""
    place.workflow(MATRIX)
    said = place("run")
    assert said.code == 1
    assert said.err.startswith("error[RUN005]: no local runner has the label windows-latest")
    assert not (place.data / "postgres").exists()


def test_a_label_that_comes_from_an_output_ends_the_run_as_soon_as_it_is_known(place):
    """Nobody could know before; then the run is cancelled, and the exit code is that of a refusal."""
    place.workflow(FROM_OUTPUT)
    said = place("run", "--progress", "plain")
    assert said.code == 1, said.out + said.err
    assert "no local runner has the label riscv" in said.err
    assert place.processes() == []
    (run,) = place("runs", "list", "--json").json()
    assert run["conclusion"] == "cancelled"
    never = place("logs", "latest/use")
    assert (never.code, never.out) == (0, "")
    assert "use has no log, it never ran: cancelled" in never.err


def test_two_runs_at_the_same_time_on_one_data_directory_both_end(place):
    """Whoever is second uses the stack of the first, which stays until both are done."""
    place.workflow(PLAIN)
    both = [place.start("run", "--progress", "plain") for _ in range(2)]
    ends = [child.communicate(timeout=60) for child in both]
    assert [child.returncode for child in both] == [0, 0], ends
    place("down")


def test_a_server_says_why_a_job_waits(served, until):
    """The run goes on without the verb; the reason names what the nearest runner lacks."""
    served.workflow(MATRIX)
    child = subprocess.Popen(
        [PROGRAM, "run", "--progress", "plain"],
        cwd=served.root,
        env=served.env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert child.stderr is not None
    assert "x (windows-latest) waits: no runner has the labels windows-latest" in child.stderr.readline()
    assert served("cancel", "latest").code == 0
    child.communicate(timeout=60)
    assert child.returncode == 2


def test_a_disabled_workflow_answers_no_event_until_it_is_enabled(served):
    """`workflow disable` and `enable`, and what the audit says of them."""
    served.workflow(PLAIN.replace("sleep 1", "true"), "two.yml")
    assert served("run", "-W", "two.yml").code == 0
    assert served("workflow", "disable", "two").code == 0
    refused = served("run", "-W", "two.yml")
    assert refused.code == 1
    assert "two.yml is disabled" in refused.err
    assert served("workflow", "enable", "two").code == 0
    assert served("run", "-W", "two.yml").code == 0
    audit = served("audit", "-L", "5").out
    assert "workflow disabled: .github/workflows/two.yml" in audit
    assert "is disabled [workflow_disabled]" in audit
    assert "step" not in audit
