"""The first five minutes of the README, run as they stand."""

import shutil
import sys
from pathlib import Path

import pytest

from tests.e2e.pages import ROOT, commands, follow

pytestmark = pytest.mark.timeout(300)


def test_every_command_of_the_first_five_minutes_works_as_written(tmp_path: Path) -> None:
    """What they promise is in the output."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    (tmp_path / ".venv").symlink_to(Path(sys.executable).parents[1])
    (tmp_path / ".ledgermill").mkdir()
    done = follow(ROOT / "README.md", tmp_path)
    shown = done.stdout + done.stderr
    assert done.returncode == 0, shown
    assert len(commands(ROOT / "README.md")) > 15
    assert "success in" in done.stdout
    assert "exit code 1" in done.stdout
    assert "every invariant holds" in shown
    assert "Ready in" in done.stdout
