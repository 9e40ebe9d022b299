"""The page that says what passes is what the tests count."""

from pathlib import Path

from tests.domain.workflow.pass_table import render
from tests.domain.workflow.test_reader_shared import shared

PAGE = Path(__file__).parents[3] / "docs" / "compatibility.md"


def test_the_page_is_fresh():
    """`make docs` was run after the last change of a suite's result."""
    shared("workflow_reader.jsonl")
    assert PAGE.read_text() == render(), "stale: run `make docs`"
