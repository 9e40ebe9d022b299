"""The state chart in the docs is what the code does."""

import runpy
from pathlib import Path

GENERATOR = Path(__file__).parents[2] / "docs" / "generators" / "job_chart.py"


def test_the_state_chart_is_fresh() -> None:
    """`make docs` was run after the last change of the job's rules."""
    chart = runpy.run_path(str(GENERATOR))
    assert chart["TARGET"].read_text() == chart["render"](), "stale: run `make docs`"
