"""Questions about workflow files are answered over HTTP and leave nothing behind."""

from pathlib import Path
from typing import Any

from commands.trigger import WorkflowFile
from gateway.api.language import PlanRuns, planned, selection_of
from tests.commands.test_elsewhere import Shared
from tests.gateway.conftest import WORKFLOW, Gateway, serving

PATH = ".github/workflows/ci.yml"
BROKEN = "on: push\njobs:\n  build:\n    run-on: linux\n    steps: [{run: echo}]\n"
PASTED = WORKFLOW.replace("echo hello", "echo ${{ github.head_ref }}")


def file(text: str, path: str = PATH) -> dict[str, str]:
    """A workflow file of a request's body."""
    return {"path": path, "text": text}


async def test_validating_tells_each_files_verdict_and_writes_nothing(gateway: Gateway) -> None:
    """Both verdicts in one answer, with the places of what is wrong; the log is as long as before."""
    before = await gateway.store.head()
    answer = await gateway.request("POST", "/api/v1/workflows/validate", {"workflows": [file(WORKFLOW), file(BROKEN, "b.yml")]})
    assert (answer.status, answer.json["valid"]) == (200, False)
    good, bad = answer.json["workflows"]
    assert (good["valid"], good["runnable"], good["diagnostics"]) == (True, True, [])
    assert (bad["valid"], bad["diagnostics"][0]["line"], bad["diagnostics"][0]["column"]) == (False, 4, 5)
    assert await gateway.store.head() == before


async def test_validating_can_deny_pasted_values(gateway: Gateway) -> None:
    """A warning by default, an error where the caller says so."""
    for setting, valid in (("warn", True), ("deny", False)):
        body: dict[str, Any] = {"workflows": [file(PASTED)], "untrusted_values": setting}
        answer = await gateway.request("POST", "/api/v1/workflows/validate", body)
        assert (answer.json["valid"], answer.json["workflows"][0]["diagnostics"][0]["code"]) == (valid, "WF501")


async def test_what_github_accepts_and_this_version_does_not_run_is_told_apart(gateway: Gateway) -> None:
    """Valid, and not runnable, with the place of what is missing."""
    text = WORKFLOW.replace("- run: echo hello", "- uses: some/action@v1")
    answer = await gateway.request("POST", "/api/v1/workflows/validate", {"workflows": [file(text)]})
    found = answer.json["workflows"][0]
    assert (found["valid"], found["runnable"], [each["code"] for each in found["diagnostics"]]) == (True, False, ["WF202"])


async def test_planning_tells_what_would_start_and_why_not_the_others(gateway: Gateway) -> None:
    """The runs with their jobs and combinations, the others with their reason, and no run is there afterwards."""
    before = await gateway.store.head()
    matrix = WORKFLOW.replace("    steps:", "    strategy: {matrix: {os: [a, b], include: [{os: c}]}}\n    steps:")
    body = {"event": "push", "workflows": [file(matrix), file(WORKFLOW.replace("push", "workflow_dispatch"), "other.yml")]}
    answer = await gateway.request("POST", "/api/v1/workflows/plan", body)
    assert (answer.status, answer.json["valid"]) == (200, True)
    run = answer.json["runs"][0]
    assert (run["workflow"], run["jobs"][0]["key"]) == (PATH, "build")
    assert run["jobs"][0]["matrix"] == [{"os": "a"}, {"os": "b"}, {"os": "c"}]
    assert [(each["workflow"], each["filter"]) for each in answer.json["not_triggered"]] == [("other.yml", "on")]
    assert await gateway.store.head() == before


async def test_planning_follows_calls_of_other_repositories(postgres_url: str, tmp_path: Path) -> None:
    """As a run would: a file that is there is read, of one that is not the plan tells where it is called."""
    shared = Shared(tmp_path / "clones")
    shared.commit(build="on: workflow_call\njobs: {a: {runs-on: linux, steps: [{uses: some/action@v1}]}}\n")
    async with serving(postgres_url, tmp_path / "data", actions_from=tmp_path / "clones") as gateway:
        for name, codes in (("build", ["WF202"]), ("missing", ["WF108"])):
            text = f"on: push\njobs:\n  a: {{uses: acme/shared/.github/workflows/{name}.yml@main}}\n"
            answer = await gateway.request("POST", "/api/v1/workflows/plan", {"workflows": [file(text)]})
            assert (answer.json["valid"], [each["code"] for each in answer.json["diagnostics"]]) == (False, codes)


async def test_the_questions_need_a_token(gateway: Gateway) -> None:
    """As all routes do."""
    for name in ("validate", "plan"):
        answer = await gateway.request("POST", f"/api/v1/workflows/{name}", {"workflows": []}, role=None)
        assert answer.status == 401


def test_a_matrix_of_an_expression_is_not_known_yet() -> None:
    """It may read outputs of jobs that have not run."""
    text = WORKFLOW.replace("    steps:", "    strategy: {matrix: {os: '${{ fromJSON(vars.OS) }}'}}\n    steps:")
    body = PlanRuns((WorkflowFile(PATH, text),))
    assert planned(body, selection_of(body)).runs[0].jobs[0].matrix is None


def test_a_broken_file_among_others_plans_nothing() -> None:
    """All or nothing, as when the event is really taken."""
    body = PlanRuns((WorkflowFile(PATH, WORKFLOW), WorkflowFile("b.yml", BROKEN)))
    found = planned(body, selection_of(body))
    assert (found.valid, found.runs) == (False, ())
