"""`ledgermill run` on repositories that it has never seen, without a server."""

import hashlib
import signal
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(180)

JOBS = """\
on: push
jobs:
  build:
    runs-on: ubuntu-latest
    outputs:
      word: ${{ steps.say.outputs.word }}
    steps:
      - uses: actions/checkout@v4
      - id: say
        run: echo "word=$(cat word)" >> "$GITHUB_OUTPUT"
  test:
    needs: build
    runs-on: [self-hosted, linux]
    strategy:
      matrix:
        number: [1, 2, 3]
        exclude:
          - number: 2
    steps:
      - run: echo "got ${{ needs.build.outputs.word }}-${{ matrix.number }}"
  never:
    needs: test
    if: failure()
    runs-on: ubuntu-latest
    steps:
      - run: echo unreachable
"""

FAILING = """\
on: push
jobs:
  good:
    runs-on: ubuntu-latest
    steps:
      - run: echo fine
  bad:
    runs-on: ubuntu-latest
    steps:
      - run: echo before
      - name: compute
        run: |
          echo "the last words"
          exit 7
      - run: echo after
  later:
    needs: [good, bad]
    runs-on: ubuntu-latest
    steps:
      - run: echo later
"""

SLOW = """\
on: push
jobs:
  slow:
    runs-on: ubuntu-latest
    steps:
      - run: |
          echo begin
          sleep 300
      - if: cancelled()
        run: echo tidy
"""


def contents(root: Path) -> dict[str, str]:
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(root.rglob("*")) if path.is_file()}


def test_needs_outputs_matrix_and_conditions_of_a_work_tree_that_was_never_committed(place):
    """The run sees uncommitted files, passes outputs on, expands and excludes, skips what its condition refuses; exit 0."""
    place.write("word", "hello")
    place.workflow(JOBS)
    before = contents(place.root)
    said = place("run", "--progress", "plain")
    assert said.code == 0, said.out + said.err
    lines = said.out.splitlines()
    assert any(line.endswith("| got hello-1") for line in lines)
    assert any(line.endswith("| got hello-3") for line in lines)
    assert "hello-2" not in said.out
    assert "unreachable" not in said.out
    assert lines[-1].startswith("success in ")
    assert contents(place.root) == before
    assert place.processes() == []

    verified = place("replay", "latest", "--verify")
    assert verified.code == 0, verified.out + verified.err
    assert "every invariant holds" in verified.out
    assert place("check").code == 0


def test_a_failing_step_exits_1_and_is_named_with_its_last_words(place):
    """File and line, job, step, exit code and last lines stand above the list of jobs; what needed it is told as skipped."""
    place.workflow(FAILING)
    said = place("run", "--progress", "plain")
    assert said.code == 1
    lines = said.out.splitlines()
    root = next(number for number, line in enumerate(lines) if line.startswith("✗ .github"))
    assert lines[root] == '✗ .github/workflows/ci.yml:11: job "bad": step 2 "compute": exit code 7'
    assert "    the last words" in lines[root:]
    assert "after" not in said.out
    jobs = {line.split()[1]: line for line in lines[root + 1 :] if line.startswith(("✓ ", "✗ ", "- "))}
    assert jobs["good"].startswith("✓")
    assert 'exit 7  step "compute"' in jobs["bad"]
    assert "skipped: needs bad" in lines[-2]

    log = place("logs", "latest", "--failed")
    assert "the last words" in log.out
    assert "before" not in log.out


def test_json_prints_the_finished_run_with_its_jobs(place):
    """Standard output is one JSON value; the live output is on standard error."""
    place.workflow(FAILING)
    said = place("run", "--json")
    assert said.code == 1
    (run,) = said.json()
    assert (run["number"], run["status"], run["conclusion"], run["event"]) == (1, "completed", "failure", "push")
    conclusions = {job["name"]: job["conclusion"] for job in run["jobs"]}
    assert conclusions == {"good": "success", "bad": "failure", "later": "skipped"}
    assert "the last words" in said.err


def test_ctrl_c_asks_for_cancel_and_the_run_ends_cancelled(place, until):
    """The step is ended, `cancelled()` steps run, the exit code is 2, and nothing is left."""
    place.workflow(SLOW)
    child = place.start("run", "--progress", "plain")
    until(child, "| begin")
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=60)
    assert child.returncode == 2, out + err
    assert "| tidy" in out
    assert "cancelling; Ctrl-C again kills" in err
    assert place.processes() == []
    (run,) = place("runs", "list", "--json").json()
    assert run["conclusion"] == "cancelled"


def test_a_killed_verb_leaves_nothing_running(place, until):
    """After SIGKILL of the verb its stack ends by itself: servers, runners and the step's processes."""
    place.workflow(SLOW.replace("sleep 300", f"exec -a {place.data}/sleeper sleep 300").replace("run: |", "shell: bash\n        run: |", 1))
    child = place.start("run", "--progress", "plain")
    until(child, "| begin")
    assert place.processes() != []
    child.kill()
    child.communicate()
    import select  # a bounded wait for the end of others' processes: there is nothing to be told by

    for _ in range(200):
        if not place.processes():
            break
        select.select([], [], [], 0.1)
    assert place.processes() == []


def test_narrowing_runs_one_matrix_job_of_one_job(place):
    """`-j` and `--matrix` leave the rest out."""
    place.write("word", "x")
    place.workflow(JOBS)
    said = place("run", "-j", "test", "--matrix", "number:3", "--json")
    assert said.code == 0, said.err
    (run,) = said.json()
    assert sorted(job["name"] for job in run["jobs"]) == ["build", "test (3)"]


def test_extra_labels_make_a_job_runnable(place):
    """Without `--labels gpu` the job is refused, with it the local runners have the label."""
    place.workflow(SLOW.replace("ubuntu-latest", "gpu").replace("sleep 300", "true"))
    assert place("run").code == 1
    assert place("run", "--labels", "gpu").code == 0


def test_several_workflows_of_one_event_run_side_by_side(place):
    """Each is a run of its own; the exit code is that of the worst."""
    place.workflow(FAILING, "one.yml")
    place.workflow(SLOW.replace("sleep 300", "true"), "two.yml")
    said = place("run", "--json")
    assert said.code == 1
    assert {run["workflow_path"]: run["conclusion"] for run in said.json()} == {
        ".github/workflows/one.yml": "failure",
        ".github/workflows/two.yml": "success",
    }
