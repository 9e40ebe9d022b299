"""Helpers of the tests of the reader: small files around what a test is about."""

from domain.workflow.diagnostics import Diagnostic
from domain.workflow.model import Workflow
from domain.workflow.reader import read

FILE = ".github/workflows/ci.yml"
JOB = "jobs:\n  build:\n    runs-on: ubuntu-latest\n    steps:\n      - run: echo hi\n"


def accepted(text: str) -> Workflow:
    """The workflow of a text that has no error."""
    workflow, found = read(FILE, text)
    assert workflow is not None, [each.one_line() for each in found]
    return workflow


def refused(text: str) -> list[Diagnostic]:
    """The errors of a text that has some."""
    workflow, found = read(FILE, text)
    assert workflow is None
    return [each for each in found if each.severity == "error"]


def places(text: str) -> list[tuple[str, int, int]]:
    """Code, line and column of each error."""
    return [(each.code, each.line, each.column) for each in refused(text)]


def job(lines: str) -> str:
    """A workflow with one job; lines are the job's own, indented by four."""
    return "on: push\njobs:\n  build:\n" + "".join(f"    {line}\n" for line in lines.strip("\n").split("\n"))


def step(lines: str) -> str:
    """A workflow whose job has one step; lines are the step's own, from column 9 of line 6 on."""
    first, *rest = lines.strip("\n").split("\n")
    return job("runs-on: x\nsteps:\n  - " + first + "".join(f"\n    {line}" for line in rest))


CALL_JOB = "on: push\njobs:\n  call:\n    uses: a/b/.github/workflows/c.yml@v1\n"
