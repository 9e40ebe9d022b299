"""The public conformance suites of the workflow language, read in place: verdict, places, structure, templates.

Every number asserted here was reached; none is ever lowered. Each exception has its reason.
"""

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from domain.workflow import triggers
from domain.workflow.reader import read
from tests.domain.workflow.reading import JOB, accepted
from tests.domain.workflow.templates_of import differences, template_of

DATA = Path(os.environ.get("LEDGERMILL_SHARED", Path(__file__).resolve().parents[4] / "shared")) / "data"
PLACE = re.compile(r"\(Line: (\d+), Col: (\d+)\)")
PLACEHOLDERS = {"$default-branch": "main", "$protected-branches": "main", "$cron-daily": "30 5 * * *", "$cron-weekly": "30 5 * * 1"}
OTHER_VERDICT = {
    "errors-anchor-tag": "GitHub reads anchors since September 2025; the case is from before",
    "errors-max-result-size": "the limit is on the memory of GitHub's own objects, which are not ours",
}
SCHEMASTORE_EXCEPTIONS = {"918.yaml": "it gives `create` filters, which GitHub's own schema does not have"}


def shared(name: str) -> Path:
    path = DATA / name
    if not path.exists():
        message = f"{path} is not there: set LEDGERMILL_SHARED to the folder of the shared conformance data"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return path


def lines_of(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in shared(name).read_text(encoding="utf-8").splitlines()]


def reader_cases() -> list[tuple[dict[str, Any], Any, list[Any]]]:
    cases = []
    for case in lines_of("workflow_reader.jsonl"):
        workflow, found = read(f".github/workflows/{case['name']}", case["content"], case["files"], case["options"])
        cases.append((case, workflow, found))
    return cases


def other_verdicts() -> set[str]:
    """The cases that are accepted here and refused there, or the other way round."""
    return {case["id"] for case, workflow, _ in reader_cases() if (workflow is None) != ("errors" in case["expected"])}


def test_the_reader_gives_githubs_verdict():
    """Accepted or refused, on every case but the listed ones."""
    other = other_verdicts()
    print(f"verdicts of workflow_reader: {112 - len(other)} of 112")  # noqa: T201 - the pass table
    assert other == set(OTHER_VERDICT)


def places_of_errors() -> tuple[int, list[Any]]:
    """How many refused files have the expected set of places, and the others with both sets."""
    good, wrong = 0, []
    for case, workflow, found in reader_cases():
        if "errors" not in case["expected"] or workflow is not None:
            continue
        wanted = {(int(m[1]), int(m[2])) for error in case["expected"]["errors"] if (m := PLACE.search(error["Message"]))}
        got = {(each.line, each.column) for each in found if each.severity == "error"}
        if wanted and wanted != got:
            wrong.append((case["id"], sorted(got), sorted(wanted)))
        else:
            good += 1
    return good, wrong


def test_errors_stand_where_github_puts_them():
    """The set of places of all errors of a file is the expected one."""
    good, wrong = places_of_errors()
    print(f"places of workflow_reader: {good} of {good + len(wrong)}")  # noqa: T201 - the pass table
    assert wrong == []
    assert good == 47


def template_differences() -> dict[str, list[str]]:
    """Of each case that is accepted, where our template differs from GitHub's."""
    return {
        case["id"]: ["refused"]
        if workflow is None
        else differences(template_of(workflow, case["files"] or {}, case["options"].get("permissions-policy", "")), case["expected"])
        for case, workflow, _ in reader_cases()
        if "jobs" in case["expected"] and case["id"] not in OTHER_VERDICT
    }


def test_templates_are_those_of_github():
    """Everything that the suite states: events, permissions, jobs with their calls, steps, ids, conditions, values, types."""
    found = template_differences()
    wrong = {identity: differing for identity, differing in found.items() if differing}
    print(f"templates of workflow_reader: {len(found) - len(wrong)} of {len(found)}")  # noqa: T201 - the pass table
    assert wrong == {}
    assert len(found) == 63


def corpus() -> list[tuple[dict[str, Any], dict[str, Any]]]:
    verdicts = {verdict["id"]: verdict for verdict in lines_of("corpus_verdicts.jsonl")}
    return [(file, verdicts[file["id"]]) for file in lines_of("corpus.jsonl")]


def corpus_differences() -> list[Any]:
    """The real files with another verdict or structure."""
    wrong: list[Any] = []
    for file, verdict in corpus():
        text = file["content"]
        for placeholder, value in PLACEHOLDERS.items():
            text = text.replace(placeholder, value)
        workflow, found = read(file["name"], text)
        if verdict["verdict"] != "any" and (workflow is not None) != (verdict["verdict"] == "accept"):
            wrong.append((file["id"], [each.one_line() for each in found]))
        elif workflow is not None and verdict["jobs"]:
            got = [(job.key, list(job.needs), len(job.steps), job.strategy is not None) for job in workflow.jobs.values()]
            wanted = [(job["id"], job["needs"], job["steps"], job["strategy"] is not None) for job in verdict["jobs"]]
            if got != wanted:
                wrong.append((file["id"], got, wanted))
    return wrong


def test_real_workflow_files_get_their_verdict_and_structure():
    """No file that GitHub accepts is refused; jobs, needs, number of steps and strategies agree."""
    wrong = corpus_differences()
    print(f"corpus: {len(corpus()) - len(wrong)} of {len(corpus())}")  # noqa: T201 - the pass table
    assert wrong == []


def schema_verdicts(folder: str, *, valid: bool) -> tuple[int, set[str]]:
    """How many workflow files a folder of the schema has, and which get another verdict."""
    files = sorted(shared(f"schemastore/src/{folder}/github-workflow").iterdir())
    return len(files), {file.name for file in files if (read(file.name, file.read_text(encoding="utf-8"))[0] is not None) is not valid}


@pytest.mark.parametrize(("folder", "valid"), [("test", True), ("negative_test", False)])
def test_the_examples_of_the_public_schema_get_their_verdict(folder, valid):
    """Valid and invalid files of the schema that editors use."""
    count, wrong = schema_verdicts(folder, valid=valid)
    print(f"schemastore {folder}: {count - len(wrong)} of {count}")  # noqa: T201 - the pass table
    assert wrong == (set(SCHEMASTORE_EXCEPTIONS) if valid else set())


def test_real_payloads_start_what_listens_to_them():
    """A workflow that names the event and its activity starts, one that listens to another event does not."""
    started = []
    for case in lines_of("webhooks.jsonl"):
        event, payload = case["event"], case["payload"]
        workflow, found = read("ci.yml", f"on: {event}\n{JOB}")
        if workflow is None:
            assert [each.code for each in found] == ["WF015"]
            continue
        ref = payload.get("ref") or "refs/heads/main"
        other = triggers.match(accepted(f"on: schedule\n{JOB}"), event, ref=ref, payload=payload)
        assert (other.matched, other.filter) == (False, "on")
        verdict = triggers.match(workflow, event, ref=ref, payload=payload, changed_paths=["a.py"])
        assert verdict.matched or verdict.filter in ("types", "deleted", "skip")
        if not verdict.matched and verdict.filter == "types":
            typed = accepted(f"on: {{{event}: {{types: [{payload['action']}]}}}}\n{JOB}")
            assert triggers.match(typed, event, ref=ref, payload=payload).matched
        started.append(event)
    print(f"webhooks: {len(started)} of {len(lines_of('webhooks.jsonl'))} name an event of `on`")  # noqa: T201 - the pass table
    assert len(started) >= 1
