"""The page about the reasons is what the code answers."""

import runpy
from pathlib import Path

GENERATOR = Path(__file__).parents[3] / "docs" / "generators" / "why.py"


def test_the_page_of_reasons_is_fresh() -> None:
    """`make docs` was run after the last change of a reason or a shape."""
    page = runpy.run_path(str(GENERATOR))
    assert page["TARGET"].read_text() == page["render"](), "stale: run `make docs`"
