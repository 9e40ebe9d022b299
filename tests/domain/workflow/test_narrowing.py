"""Runs of some jobs only: what keeps the others from running is no matter of theirs."""

import pytest

from domain.workflow import reader
from domain.workflow.gather import gather
from domain.workflow.narrowing import with_needs

CALLED = "on: workflow_call\njobs:\n  a:\n    runs-on: linux\n    steps: [{uses: some/action@v1}]\n"
FINE = "on: workflow_call\njobs:\n  a: {uses: ./.github/workflows/deep.yml}\n"
ROOT = """
on: push
jobs:
  set-up: {runs-on: linux, steps: [{uses: actions/setup-python@v5}]}
  test: {needs: set-up, runs-on: linux, steps: [{run: a}]}
  alone: {runs-on: linux, steps: [{run: a}]}
  calls: {uses: ./.github/workflows/called.yml}
  deep: {uses: ./.github/workflows/fine.yml}
"""
TEXTS = {
    ".github/workflows/ci.yml": ROOT,
    ".github/workflows/called.yml": CALLED,
    ".github/workflows/deep.yml": CALLED,
    ".github/workflows/fine.yml": FINE,
}


@pytest.mark.parametrize(
    ("only", "places"),
    [
        (("alone",), []),
        (("test",), ["ci.yml:4"]),
        (("alone", "calls"), ["called.yml:5"]),
        (("deep",), ["deep.yml:5"]),
        ((), ["ci.yml:4", "deep.yml:5", "called.yml:5"]),
    ],
)
def test_only_what_runs_is_looked_through(only: tuple[str, ...], places: list[str]) -> None:
    """A job's own steps, those of what it needs, and those of the files that these call, at any depth."""
    workflow, problems = reader.read(".github/workflows/ci.yml", ROOT)
    assert workflow is not None, problems
    found = gather(workflow, TEXTS, only=only).found
    assert sorted(f"{each.file.rpartition('/')[2]}:{each.line}" for each in found) == sorted(places)


def test_jobs_come_in_the_order_of_the_file() -> None:
    """However they were asked for; a job that is not there counts nothing."""
    workflow, _ = reader.read(".github/workflows/ci.yml", ROOT)
    assert workflow is not None
    assert with_needs(workflow.jobs, ("alone", "test", "nope")) == ["set-up", "test", "alone"]
    assert with_needs(workflow.jobs, ()) == list(workflow.jobs)
