"""Writes docs/compatibility.md: what passes of the public suites of the workflow language, as their tests count it.

Without the shared data the page stays as it is, since nothing can be counted.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
TARGET = ROOT / "docs" / "compatibility.md"

if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    from tests.domain.workflow.pass_table import render
    from tests.domain.workflow.test_reader_shared import DATA

    if DATA.exists():
        TARGET.write_text(render())
        sys.stdout.write(f"wrote {TARGET.name}\n")
    else:
        sys.stdout.write(f"left {TARGET.name}: {DATA} is not there\n")
