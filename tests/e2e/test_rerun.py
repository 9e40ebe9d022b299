"""Re-running from the command line: run attempts beside each other, what is carried over, what is refused."""

import pytest

pytestmark = pytest.mark.timeout(180)

FLAKY = """\
on: push
jobs:
  build:
    runs-on: ubuntu-latest
    outputs: {made: "${{ steps.make.outputs.made }}"}
    steps:
      - id: make
        run: |
          echo "build in run attempt $GITHUB_RUN_ATTEMPT"
          echo "made=run attempt $GITHUB_RUN_ATTEMPT" >> "$GITHUB_OUTPUT"
  test:
    needs: build
    runs-on: ubuntu-latest
    steps:
      - run: |
          echo "test in run attempt ${{ github.run_attempt }} of what build made in ${{ needs.build.outputs.made }}"
          [ "$GITHUB_RUN_ATTEMPT" != 1 ]
  report:
    needs: test
    if: always()
    runs-on: ubuntu-latest
    steps:
      - run: echo "test ended ${{ needs.test.result }}"
"""


def test_a_run_is_run_again_and_each_run_attempt_is_shown(served):
    """--failed keeps what succeeded with its outputs; logs of both run attempts are there; one job; all; and a refusal."""
    served.workflow(FLAKY)
    assert served("run", "--progress", "plain").code == 1
    assert served("rerun", "latest", "--failed").code == 0
    watched = served("watch", "latest", "--progress", "plain")
    assert watched.code == 0, watched.out + watched.err
    assert "test in run attempt 2 of what build made in run attempt 1" in watched.out
    assert "run attempt 1 of" not in watched.out
    assert "test ended success" in watched.out

    assert "test ended failure" in served("logs", "latest", "--run-attempt", "1").out
    assert "test ended success" in served("logs", "latest").out
    first, last = (served("runs", "view", "latest", *more, "--json").json() for more in (("--attempt", "1"), ()))
    assert [(run["run_attempt"], run["conclusion"]) for run in (first, last)] == [(1, "failure"), (2, "success")]
    assert [(job["name"], job["run_attempt"]) for job in last["jobs"]] == [("build", 1), ("test", 2), ("report", 2)]
    assert "of run attempt 1" in served("runs", "view", "latest").out

    refused = served("rerun", "latest", "--failed")
    assert refused.code == 1
    assert "error[nothing_failed]" in refused.err
    assert served("rerun", "latest/test").code == 0
    assert served("watch", "latest", "--progress", "plain").code == 0
    answer = served("runs", "rerun", "latest", "--json")
    assert answer.json()["run_attempt"] == 4
    assert served("watch", "latest", "--progress", "plain").code == 0
    assert "build in run attempt 4" in served("logs", "latest/build").out
    listed = served("runs", "list", "--json").json()[0]
    assert (listed["run_attempt"], listed["conclusion"]) == (4, "success")
    verified = served("replay", "latest", "--verify")
    assert verified.code == 0, verified.out + verified.err
    again = served("replay", "latest", "--code")
    assert (again.code, "each as today's rules have it" in again.out) == (0, True), again.out + again.err
    assert served("why", "latest").out.splitlines()[0].endswith(" success")
    assert served("why", "latest/build", "--json").json()[0]["reasons"][0]["code"] in ("succeeded", "carried")
    assert served("check").code == 0


def test_what_rerun_cannot_mean_is_refused_before_anything_is_asked(served):
    """--failed with a job, a job that is not there."""
    served.workflow(FLAKY)
    assert served("run", "-j", "build", "--progress", "plain").code == 0
    both = served("rerun", "latest/build", "--failed")
    assert (both.code, "leave --failed out" in both.err) == (64, True)
    assert served("rerun", "latest/nope").code == 5


def test_a_repository_sets_how_often_its_jobs_are_tried(served):
    """`repository set --retry`: a job that fails once succeeds in its second attempt, without a word in the workflow."""
    served.workflow(
        """\
on: push
jobs:
  flaky:
    runs-on: ubuntu-latest
    steps:
      - run: "[ -e PLACE ] || { touch PLACE; exit 1; }"
""".replace("PLACE", str(served.root / "tried"))
    )
    (name,) = [each["full_name"] for each in served("repository", "list", "--json").json()]
    assert served("repository", "set", name, "--retry", "max=2 on=lost,failed backoff=100ms").code == 0
    done = served("run", "--progress", "plain")
    assert done.code == 0, done.out + done.err
    assert "attempt 2" in done.out
    assert served("repository", "set", name, "--retry", "often").code == 1
    assert served("repository", "set", name, "--retry", "").code == 0
    assert served("repository", "list", "--json").json()[0]["retry"] == ""
