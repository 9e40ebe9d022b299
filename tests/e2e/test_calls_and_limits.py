"""Called workflows, matrices from outputs, max-parallel, continue-on-error and concurrency groups, from files to finished runs."""

import json
import subprocess

from tests.infra.test_mirrors import Forge

CALLER = """
name: Caller
on: push
jobs:
  list:
    runs-on: ubuntu-latest
    outputs: {versions: "${{ steps.x.outputs.versions }}"}
    steps:
      - id: x
        run: echo 'versions=["one","two"]' >> "$GITHUB_OUTPUT"
  build:
    needs: list
    strategy: {matrix: {v: "${{ fromJSON(needs.list.outputs.versions) }}"}}
    uses: ./.github/workflows/build.yml
    with: {version: "${{ matrix.v }}", fast: true}
  shaky:
    runs-on: ubuntu-latest
    continue-on-error: ${{ matrix.n == 2 }}
    strategy: {max-parallel: 1, matrix: {n: [1, 2, 3]}}
    steps:
      - run: test ${{ matrix.n }} != 2
  report:
    needs: [build, shaky]
    runs-on: ubuntu-latest
    steps:
      - run: echo "built ${{ needs.build.outputs.what }} after ${{ needs.shaky.result }}"
"""
CALLED = """
on:
  workflow_call:
    inputs:
      version: {type: string, required: true}
      fast: {type: boolean}
    outputs:
      what: {value: "${{ jobs.make.outputs.made }}"}
env: {LEVEL: called}
jobs:
  make:
    runs-on: ubuntu-latest
    outputs: {made: "${{ steps.m.outputs.made }}"}
    steps:
      - id: m
        run: |
          echo "$LEVEL ${{ inputs.version }} ${{ inputs.fast }} ${{ github.workflow }} ${{ github.job }}"
          echo "made=a wheel" >> "$GITHUB_OUTPUT"
"""
ONE_AT_A_TIME = """
on: push
jobs:
  deploy:
    runs-on: ubuntu-latest
    strategy: {matrix: {n: [1, 2]}}
    concurrency: {group: "Deploy ${{ github.ref_name }}", queue: max}
    steps:
      - run: sleep 0.2
"""


def events(place, kind):
    """The events of the latest run of this type, in order."""
    lines = place("events", "latest", "--json").out.splitlines()
    return [event for event in map(json.loads, lines) if event["type"] == kind]


def test_a_called_workflow_runs_within_its_callers_run(place):
    """A matrix made of an output calls it twice; inputs go in, outputs come out, names are GitHub's; the log proves itself."""
    place.workflow(CALLER)
    place.workflow(CALLED, "build.yml")
    said = place("run", "--progress", "plain")
    assert said.code == 0, said.out + said.err
    assert "build (one) / make | called one true Caller make" in said.out
    assert "| built a wheel after success" in said.out
    (run,) = place("runs", "list", "--json").json()
    assert run["conclusion"] == "success"
    assert [len(event["data"]["calls"]) for event in events(place, "NodeCalled")] == [2]
    shaky = [event for event in events(place, "JobConcluded") if event["data"]["node"] == "shaky"]
    assert sorted((event["data"]["conclusion"], event["data"]["result"]) for event in shaky) == [
        ("failure", "success"),
        ("success", "success"),
        ("success", "success"),
    ]
    assert len(events(place, "JobHeld")) == 2
    assert place("replay", "latest", "--verify").code == 0
    assert place("check").code == 0


def test_a_failure_in_a_called_workflow_is_told_at_its_place_in_the_called_file(place):
    """The summary names the called file and line, the job as GitHub names it; what needs the call is skipped."""
    place.workflow(CALLER)
    place.workflow(CALLED.replace("- id: m", "- run: exit 9\n      - id: m"), "build.yml")
    said = place("run", "--progress", "plain")
    assert said.code == 1
    assert '✗ .github/workflows/build.yml:15: job "build (one) / make": step 1 "Run exit 9": exit code 9' in said.out
    assert "skipped: needs build (one) / make" in said.out


def test_jobs_of_one_concurrency_group_never_overlap(place):
    """Two jobs of a matrix share a group: the second is queued after the end of the first."""
    place.workflow(ONE_AT_A_TIME)
    said = place("run", "--progress", "plain")
    assert said.code == 0, said.out + said.err
    ends = [event["position"] for event in events(place, "JobSucceeded")]
    starts = [event["position"] for event in events(place, "JobQueued")]
    assert starts[0] < ends[0] < starts[1] < ends[1]
    assert place("replay", "latest", "--verify").code == 0
    assert place("check").code == 0


GROUPED = """
on: push
jobs:
  ship:
    strategy: {matrix: {n: [1, 2]}}
    concurrency: {group: ship, queue: max}
    uses: ./.github/workflows/build.yml
    with: {n: "${{ matrix.n }}"}
"""
GROUPED_CALL = """
on: {workflow_call: {inputs: {n: {type: number}}}}
concurrency: within-${{ inputs.n }}
jobs:
  first: {runs-on: ubuntu-latest, steps: [{run: "true"}]}
  second: {needs: first, runs-on: ubuntu-latest, steps: [{run: "true"}]}
"""


def test_a_concurrency_group_holds_for_a_whole_call(place):
    """The second call's jobs are queued after the end of the last job of the first one; both files' groups are let go."""
    place.workflow(GROUPED)
    place.workflow(GROUPED_CALL, "build.yml")
    said = place("run", "--progress", "plain")
    assert said.code == 0, said.out + said.err
    assert [event["data"]["name"] for event in events(place, "CallHeld")] == ["ship", "ship", "within-1", "within-2"]
    queued = [event["position"] for event in events(place, "JobQueued")]
    ended = [event["position"] for event in events(place, "JobSucceeded")]
    assert len(queued) == len(ended) == 4
    assert ended[1] < queued[2]
    assert place("replay", "latest", "--verify").code == 0
    assert place("check").code == 0


ELSEWHERE = """
on: push
jobs:
  tagged: {uses: acme/shared/.github/workflows/build.yml@v1, with: {word: tag}}
  pinned: {uses: "acme/shared/.github/workflows/build.yml@SHA", with: {word: commit}}
  report:
    needs: [tagged, pinned]
    runs-on: ubuntu-latest
    steps: [{run: "echo ${{ needs.tagged.outputs.made }}, ${{ needs.pinned.outputs.made }}"}]
"""
ELSEWHERE_CALLED = """
on:
  workflow_call:
    inputs: {word: {type: string, required: true}}
    outputs: {made: {value: "${{ jobs.inner.outputs.made }}"}}
jobs:
  inner: {uses: ./.github/workflows/deep.yml, with: {word: "${{ inputs.word }}"}}
"""
ELSEWHERE_DEEP = """
on:
  workflow_call:
    inputs: {word: {type: string}}
    outputs: {made: {value: "${{ jobs.last.outputs.made }}"}}
jobs:
  last:
    runs-on: ubuntu-latest
    outputs: {made: "${{ steps.m.outputs.made }}"}
    steps:
      - uses: actions/checkout@v4
      - id: m
        run: |
          echo "$(cat whose) by ${{ github.repository }}"
          echo "made=a VERSION wheel of ${{ inputs.word }}" >> "$GITHUB_OUTPUT"
"""


def shared(place, tmp_path):
    """A clone of acme/shared with two commits and the tag v1 on the second; returns the first, and how to run git there."""
    place.env["LEDGERMILL_ACTIONS_FROM"] = str(tmp_path / "clones")
    tree = tmp_path / "clones" / "acme" / "shared"
    (tree / ".github" / "workflows").mkdir(parents=True)

    def git(*arguments):
        who = ("-c", "user.name=n", "-c", "user.email=e")
        done = subprocess.run(["git", *who, *arguments], cwd=tree, env=place.env, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    git("init", "-q")
    (tree / "whose").write_text("of the called repository")
    for version in ("first", "second"):
        (tree / ".github" / "workflows" / "build.yml").write_text(ELSEWHERE_CALLED)
        (tree / ".github" / "workflows" / "deep.yml").write_text(ELSEWHERE_DEEP.replace("VERSION", version))
        git("add", "-A")
        git("commit", "-qm", version)
    git("tag", "-a", "-m", "one", "v1")
    return git("rev-parse", "HEAD~1"), git


def test_a_workflow_of_another_repository_is_called_at_its_commit(place, tmp_path):
    """By tag and by commit, with its own `./` calls; jobs have the caller's files; a replay needs no clone."""
    first, git = shared(place, tmp_path)
    place.workflow(ELSEWHERE.replace("SHA", first))
    place.write("whose", "of the caller")
    assert place("lint").code == 0
    assert place("plan").code == 0
    said = place("run", "--progress", "plain")
    assert said.code == 0, said.out + said.err
    assert "tagged / inner / last | of the caller by local/pay" in said.out
    assert "| a second wheel of tag, a first wheel of commit" in said.out
    called = sorted(event["data"]["uses"].rpartition("@")[2] for event in events(place, "NodeCalled"))
    assert called == sorted([first, first, git("rev-parse", "HEAD"), git("rev-parse", "HEAD")])
    (tmp_path / "clones").rename(tmp_path / "gone")
    assert place("replay", "latest", "--verify").code == 0
    assert place("check").code == 0


def test_a_workflow_of_another_repository_that_is_not_there_is_refused_with_its_place(place, tmp_path):
    """Nothing is started; what is not there and what to write instead is told. `lint` asks nobody."""
    shared(place, tmp_path)
    place.workflow(ELSEWHERE.replace("SHA", "v9"))
    assert place("lint").code == 0
    for command in ("plan", "run"):
        said = place(command)
        assert said.code == 1
        assert '.github/workflows/ci.yml:5:18: the repository "acme/shared" of the called workflow has no "v9" [WF108]' in said.err
        assert "help: name a tag, a branch, or a commit by its full SHA" in said.err
    assert not (place.data / "lock").exists(), "no server was started"


def test_a_workflow_of_a_registered_repository_is_fetched_from_its_url(place, tmp_path):
    """`plan` and `run` ask the server that is up where the repository is."""
    forge = Forge(tmp_path / "forge")
    forge.commit(_github__workflows__build_yml="on: workflow_call\njobs: {far: {runs-on: ubuntu-latest, steps: [{run: echo fetched}]}}\n")
    forge.git("tag", "v1")
    place.workflow("on: push\njobs: {near: {uses: acme/shared/.github/workflows/build.yml@v1}}\n")
    place.env["LEDGERMILL_ALLOWED_NETWORKS"] = "127.0.0.0/8"
    assert place("up", "--detach", "--port", "0", "--runners", "1").code == 0
    forge.up()
    try:
        assert place("repository", "add", "acme/shared", forge.url, "--provider", "git").code == 0
        assert place("plan").code == 0
        said = place("run")
        assert said.code == 0, said.out + said.err
    finally:
        forge.down()
    log = place("logs", "-f", "latest").out
    assert "Job near / far, attempt 1\n" in log
    assert "\nfetched\n" in log


def test_what_listens_to_a_run_is_followed_to_its_end_too(place):
    """`run` ends when the workflow that listens to the first one is done, and both are told."""
    place.workflow(ONE_AT_A_TIME.replace("on: push", "name: First\non: push"), "first.yml")
    place.workflow(
        """
name: Second
on: {workflow_run: {workflows: [First], types: [completed]}}
jobs:
  tell:
    runs-on: ubuntu-latest
    steps: [{run: "echo after ${{ github.event.workflow_run.name }} ${{ github.event.workflow_run.conclusion }}"}]
""",
        "second.yml",
    )
    said = place("run", "--progress", "plain")
    assert said.code == 0, said.out + said.err
    assert "| after First success" in said.out
    assert {run["workflow"]: run["conclusion"] for run in place("runs", "list", "--json").json()} == {
        "First": "success",
        "Second": "success",
    }
    assert place("check").code == 0


def test_on_another_branch_the_default_branch_says_what_listens(place):
    """As on GitHub: the branch's own listener is not asked, and the follower runs at the default branch's commit."""
    place.workflow(ONE_AT_A_TIME.replace("on: push", "name: First\non: push"), "first.yml")
    follower = """
name: Second
on: {workflow_run: {workflows: [First], types: [completed]}}
jobs:
  tell:
    runs-on: ubuntu-latest
    steps: [{run: "echo LISTENER ${{ github.ref }} after ${{ github.event.workflow_run.head_branch }}"}]
"""
    place.workflow(follower.replace("LISTENER", "default"), "second.yml")
    for command in ("add -A", "-c user.name=n -c user.email=e commit -qm one", "checkout -qb feature"):
        subprocess.run(["git", *command.split()], cwd=place.root, env=place.env, check=True)
    place.workflow(follower.replace("LISTENER", "own"), "second.yml")
    said = place("run", "--progress", "plain")
    assert said.code == 0, said.out + said.err
    assert "| default refs/heads/main after feature" in said.out
    assert "| own" not in said.out
    assert place("check").code == 0
