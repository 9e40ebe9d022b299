"""`run -n`, `run -l`, `plan` and `lint`: everything that is refused before a single event is written."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

CI = """\
name: CI
on:
  push:
    branches: [main]
  workflow_dispatch:
    inputs:
      level:
        type: choice
        options: [low, high]
        required: true
jobs:
  lint:
    runs-on: ubuntu-latest
    steps:
      - run: echo lint
  test:
    needs: lint
    runs-on: [self-hosted, linux]
    strategy:
      matrix:
        python: ["3.11", "3.12"]
    steps:
      - run: echo ${{ matrix.python }}
  deploy:
    needs: test
    if: github.ref == 'refs/heads/main'
    runs-on: ubuntu-latest
    steps:
      - run: echo deploy
"""
ALONE = """\
  alone:
    runs-on: ubuntu-latest
    steps:
      - run: echo alone
"""


@pytest.fixture
def repository(tmp_path) -> Path:
    root = tmp_path / "pay"
    (root / ".github" / "workflows").mkdir(parents=True)
    env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    subprocess.run(["git", "init", "-q", "-b", "main"], cwd=root, env=env, check=True)
    (root / ".github" / "workflows" / "ci.yml").write_text(CI)
    return root


def workflow(root: Path, text: str, name: str = "ci.yml") -> None:
    (root / ".github" / "workflows" / name).write_text(text)


def test_the_plan_shows_stages_labels_matrix_and_conditions(ledgermill, repository):
    """What would run, in the order in which it can, without a server and without an event."""
    said = ledgermill("run", "-n", "-C", str(repository))
    assert said.code == 0
    assert said.out.splitlines()[2:] == [
        ".github/workflows/ci.yml",
        "  0  lint  on ubuntu-latest",
        "  1  test  on self-hosted, linux  needs lint  matrix of 2: (3.11) (3.12)",
        "  2  deploy  on ubuntu-latest  needs test  if github.ref == 'refs/heads/main'",
    ]


def test_the_list_names_every_job_of_every_file(ledgermill, repository):
    """`-l` lists what there is, whatever the event."""
    workflow(
        repository,
        "on: schedule\njobs: {night: {runs-on: ubuntu-latest, steps: [{run: sleep 1}]}}\n".replace("schedule", "release"),
        "night.yml",
    )
    said = ledgermill("run", "-l", "-C", str(repository))
    assert [line.split()[:2] for line in said.out.splitlines()[1:]] == [["0", "lint"], ["1", "test"], ["2", "deploy"], ["0", "night"]]


def test_a_schedule_is_planned_with_its_entries_and_their_next_times(ledgermill, repository):
    """Each entry of what would start, in its zone; 31 February never comes."""
    entries = "[{cron: '30 5 1 1 *', timezone: Europe/Berlin}, {cron: '0 0 31 2 *'}]"
    workflow(
        repository, f"on: {{schedule: {entries}}}\njobs: {{night: {{runs-on: ubuntu-latest, steps: [{{run: sleep 1}}]}}}}\n", "night.yml"
    )
    said = ledgermill("plan", "schedule", "-C", str(repository))
    assert said.code == 0
    shown = said.out.splitlines()
    assert shown[2] == ".github/workflows/night.yml"
    assert re.fullmatch(r"  at 30 5 1 1 \*  Europe/Berlin  next \d{4}-01-01 04:30 UTC", shown[3])
    assert shown[4:6] == ["  at 0 0 31 2 *  UTC  never", "  0  night  on ubuntu-latest"]
    assert ".github/workflows/ci.yml: the workflow does not listen to schedule; it listens to push" in said.out
    found = ledgermill("plan", "schedule", "-C", str(repository), "--json").json()["schedule"]
    assert [(each["cron"], each["timezone"], each["next_at"] is None) for each in found] == [
        ("30 5 1 1 *", "Europe/Berlin", False),
        ("0 0 31 2 *", "UTC", True),
    ]


def test_a_job_is_planned_with_what_it_needs(ledgermill, repository):
    """`-j test` brings lint, and nothing that comes after."""
    said = ledgermill("run", "-n", "-j", "test", "-C", str(repository), "--json")
    assert [job["job"] for job in said.json()["jobs"]] == ["lint", "test"]


def test_a_broken_file_is_one_line_a_finding_and_starts_nothing(ledgermill, repository, tmp_path):
    """file:line:col: message [CODE], with the line and a hint below; exit 1; not even a stack is started."""
    workflow(repository, CI.replace("runs-on: ubuntu-latest", "run-on: ubuntu-latest", 1))
    said = ledgermill("run", "-C", str(repository))
    assert said.code == 1
    assert said.out == ""
    assert re.search(r'^\.github/workflows/ci\.yml:13:5: unknown key "run-on" in job "lint".* \[WF014\]$', said.err, re.MULTILINE)
    assert 'help: did you mean "runs-on"?' in said.err
    assert "nothing was started" in said.err
    assert not (tmp_path / "data" / "postgres").exists()


def test_what_this_version_cannot_run_is_refused_with_its_place(ledgermill, repository):
    """An action other than checkout is not skipped silently: it is named with line and column."""
    workflow(repository, CI.replace("- run: echo lint", "- uses: actions/setup-python@v5"))
    said = ledgermill("run", "-C", str(repository))
    assert said.code == 1
    assert ".github/workflows/ci.yml:15:" in said.err
    assert "[WF202]" in said.err


def test_a_job_that_can_run_is_planned_beside_one_that_cannot_yet(ledgermill, repository):
    """`-j` asks for jobs; what the others would need keeps nobody from running these, but what they need themselves does."""
    workflow(repository, CI.replace("- run: echo lint", "- uses: actions/setup-python@v5") + ALONE)
    assert ledgermill("run", "-n", "-j", "alone", "-C", str(repository)).code == 0
    refused = ledgermill("run", "-n", "-j", "alone", "-j", "test", "-C", str(repository))
    assert refused.code == 1
    assert "[WF202]" in refused.err
    assert "run -j JOB" in refused.err


def test_pasting_an_untrusted_value_is_denied_by_setting_or_flag(ledgermill, repository, monkeypatch):
    """A warning by default; `lint --untrusted deny` and LEDGERMILL_UNTRUSTED_VALUES make it an error, for runs too."""
    workflow(repository, CI.replace("echo lint", "echo ${{ github.head_ref }}"))
    file = str(repository / ".github/workflows/ci.yml")
    warned = ledgermill("lint", file)
    assert (warned.code, "[WF501]" in warned.out) == (0, True)
    assert ledgermill("lint", "--untrusted", "deny", file).code == 1
    assert ledgermill("run", "-n", "-C", str(repository)).code == 0
    monkeypatch.setenv("LEDGERMILL_UNTRUSTED_VALUES", "deny")
    assert ledgermill("lint", file).code == 1
    assert ledgermill("lint", "--untrusted", "warn", file).code == 0
    refused = ledgermill("run", "-C", str(repository))
    assert (refused.code, "[WF501]" in refused.err) == (1, True)


def test_labels_that_no_local_runner_has_are_named_with_the_flag_that_gives_them(ledgermill, repository):
    """Refused at plan time: on a stack of its own such a job would wait for ever."""
    workflow(repository, CI.replace("[self-hosted, linux]", "[self-hosted, gpu, cuda]"))
    said = ledgermill("run", "-C", str(repository))
    assert said.code == 1
    assert said.err.startswith("error[RUN005]: no local runner has the labels gpu, cuda")
    assert ".github/workflows/ci.yml:16: job test asks for gpu" in said.err
    assert "--labels gpu,cuda" in said.err
    assert ledgermill("run", "-n", "--labels", "gpu,CUDA", "-C", str(repository)).code == 0


def test_labels_of_jobs_that_are_not_run_do_not_matter(ledgermill, repository):
    """`-j lint` runs without the runner that test would need."""
    workflow(repository, CI.replace("[self-hosted, linux]", "[self-hosted, gpu]"))
    assert ledgermill("run", "-n", "-j", "lint", "-C", str(repository)).code == 0


def test_an_event_that_nobody_listens_to_lists_the_events_that_there_are(ledgermill, repository):
    """Exit 1 and a command that would work."""
    said = ledgermill("run", "release", "-C", str(repository))
    assert said.code == 1
    assert "no workflow listens to release" in said.err
    assert ".github/workflows/ci.yml listens to push, workflow_dispatch" in said.err
    assert "help: ledgermill run push" in said.err


def test_an_event_that_a_filter_refuses_says_which(ledgermill, repository):
    """A push to another branch is told with the branch filter that kept it away."""
    subprocess.run(["git", "checkout", "-q", "-b", "feature"], cwd=repository, check=True)
    said = ledgermill("run", "-C", str(repository))
    assert said.code == 1
    assert "push on refs/heads/feature starts no workflow" in said.err
    assert "branches" in said.err


def test_the_plan_tells_why_a_workflow_is_not_triggered(ledgermill, repository):
    """`plan` shows both what would run and what not, with the reason."""
    workflow(repository, CI.replace("branches: [main]", "paths: [docs/**]"), "docs.yml")
    subprocess.run(["git", "add", "-A"], cwd=repository, check=True)
    subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "x"], cwd=repository, check=True)
    (repository / "main.py").write_text("x\n")
    said = ledgermill("plan", "-C", str(repository), "--json")
    found = said.json()
    assert {job["workflow"] for job in found["jobs"]} == {".github/workflows/ci.yml"}
    assert [each["workflow"] for each in found["not_triggered"]] == [".github/workflows/docs.yml"]
    assert "paths" in found["not_triggered"][0]["reason"]
    assert found["not_triggered"][0]["filter"] == "paths"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-j", "nope"], "no job is called nope"),
        (["--matrix", "os:linux"], "no matrix has os"),
        (["-W", "nope.yml"], "no workflow file is called nope.yml"),
    ],
)
def test_narrowing_to_what_is_not_there_is_refused(ledgermill, repository, arguments, words):
    """A typing error must not silently run everything, or nothing."""
    said = ledgermill("run", "-n", "-C", str(repository), *arguments)
    assert said.code == 1
    assert words in said.err


@pytest.mark.parametrize("name", ["ci", "ci.yml", ".github/workflows/ci.yml"])
def test_a_file_is_chosen_by_any_of_its_names(ledgermill, repository, name):
    """`-W` takes what people type."""
    workflow(repository, "on: push\njobs: {other: {runs-on: ubuntu-latest, steps: [{run: x}]}}\n", "other.yml")
    said = ledgermill("run", "-n", "-W", name, "-C", str(repository), "--json")
    assert {job["workflow"] for job in said.json()["jobs"]} == {".github/workflows/ci.yml"}


def test_inputs_of_a_dispatch_are_checked(ledgermill, repository):
    """A missing or foreign value is refused before anything starts; a good one passes."""
    missing = ledgermill("run", "workflow_dispatch", "-n", "-C", str(repository))
    assert missing.code == 1
    assert "[WF302]" in missing.err
    assert ledgermill("run", "workflow_dispatch", "-n", "--input", "level=medium", "-C", str(repository)).code == 1
    assert ledgermill("run", "workflow_dispatch", "-n", "--input", "level=high", "-C", str(repository)).code == 0


@pytest.mark.parametrize("arguments", [["--matrix", "python"], ["--input", "level"]])
def test_options_that_want_two_parts_say_so(ledgermill, repository, arguments):
    """K:V and K=V; anything else is a usage error."""
    said = ledgermill("run", "-n", "-C", str(repository), *arguments)
    assert said.code == 64


def test_an_event_file_gives_the_payload(ledgermill, repository, tmp_path):
    """The ref of the payload decides which branch was pushed."""
    event = tmp_path / "event.json"
    event.write_text(json.dumps({"ref": "refs/heads/other"}))
    assert "refs/heads/other" in ledgermill("run", "-n", "-e", str(event), "-C", str(repository)).err
    event.write_text("{")
    said = ledgermill("run", "-n", "-e", str(event), "-C", str(repository))
    assert said.code == 1
    assert "error[CLI011]" in said.err


def test_no_repository_and_no_files_are_errors_with_a_way_on(ledgermill, repository, tmp_path):
    """Both name the directory."""
    plain = tmp_path / "plain"
    plain.mkdir()
    said = ledgermill("run", "-C", str(plain))
    assert said.code == 1
    assert f"error[RUN001]: {plain}" in said.err
    (repository / ".github" / "workflows" / "ci.yml").unlink()
    said = ledgermill("run", "-C", str(repository))
    assert said.code == 1
    assert "error[RUN003]" in said.err


def test_lint_needs_no_repository_and_exits_1_on_errors_only(ledgermill, tmp_path):
    """One line a finding on standard output, the shape that editors read."""
    good, bad = tmp_path / "good.yml", tmp_path / "bad.yml"
    good.write_text(CI)
    bad.write_text("on: push\njobs: [1]\n")
    assert ledgermill("lint", str(good)) == (0, "", "")
    said = ledgermill("lint", str(bad))
    assert said.code == 1
    assert said.out.startswith(f"{bad}:2:7: ")
    assert said.out.rstrip().endswith("[WF013]")


@pytest.mark.parametrize(("form", "start"), [("json", "["), ("sarif", "{"), ("github", "::error file=")])
def test_lint_speaks_the_formats_of_tools(ledgermill, tmp_path, form, start):
    """JSON, SARIF and GitHub's annotations carry the same finding."""
    bad = tmp_path / "bad.yml"
    bad.write_text("on: push\njobs: [1]\n")
    said = ledgermill("lint", "--format", form, str(bad))
    assert said.code == 1
    assert said.out.startswith(start)
    assert "WF013" in said.out


def test_a_plan_tells_the_jobs_of_a_matrix_or_why_it_cannot(ledgermill, repository):
    """Include and exclude are applied; a matrix of outputs is shown as it is written."""
    workflow(
        repository,
        """\
on: push
jobs:
  a:
    runs-on: x
    strategy: {matrix: {v: [1, 2], w: [p], exclude: [{v: 2}], include: [{v: 1, c: 9}, {v: 7}]}}
    steps: [{run: a}]
  b: {needs: a, runs-on: x, strategy: {matrix: {v: "${{ fromJSON(needs.a.outputs.x) }}"}}, steps: [{run: a}]}
""",
    )
    said = ledgermill("plan", "-C", str(repository))
    assert "  0  a  on x  matrix of 2: (1, p, 9) (7)" in said.out.splitlines()
    assert "matrix v=${{ fromJSON(needs.a.outputs.x) }}" in said.out
    jobs = json.loads(ledgermill("plan", "-C", str(repository), "--json").out)["jobs"]
    assert [job["combinations"] for job in jobs] == [[{"v": 1, "w": "p", "c": 9}, {"v": 7}], None]


CALLER = """\
on: push
jobs:
  call: {uses: ./.github/workflows/lib.yml, with: {n: x}, secrets: {tokn: x}}
  other: {uses: ./.github/workflows/none.yml}
  image: {runs-on: x, container: alpine, steps: [{run: a}]}
"""


CALLED = """\
on: {workflow_call: {inputs: {n: {type: number}}, secrets: {token: {required: true}}}}
jobs:
  a: {runs-on: x, steps: [{run: a}]}
"""


def test_lint_follows_the_calls_of_files_beside_it(ledgermill, repository):
    """Inputs, secrets and files that are not there, whatever else this version does not run; wherever it is started."""
    workflow(repository, CALLER)
    workflow(repository, CALLED, "lib.yml")
    said = ledgermill("lint", str(repository / ".github" / "workflows" / "ci.yml"))
    assert said.code == 1
    found = [line.partition("ci.yml:")[2] for line in said.out.splitlines()]
    assert '4:17: the called workflow "./.github/workflows/none.yml" cannot be found [WF045]' in found
    assert '3:16: the called workflow requires the secret "token" [WF045]' in found
    assert '3:75: the called workflow has no secret "tokn" [WF045]' in found
    assert '3:55: the input "n" cannot be "x" [WF045]' in found
    assert '5:34: "container" of job "image" cannot be run yet [WF201]' in found


def test_a_plan_takes_the_inputs_that_a_dispatch_needs(ledgermill, repository):
    """As `run` does: without the required one it is refused, with the help to give it."""
    said = ledgermill("plan", "workflow_dispatch", "-C", str(repository))
    assert (said.code, "[WF302]" in said.err or "[WF302]" in said.out) == (1, True)
    assert ledgermill("plan", "workflow_dispatch", "-C", str(repository), "--input", "level=low").code == 0
    assert ledgermill("plan", "workflow_dispatch", "-C", str(repository), "--input", "level=none").code == 1
