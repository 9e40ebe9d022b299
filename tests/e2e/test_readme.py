"""The first five minutes of the README, run as they stand."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.timeout(300)


def commands() -> list[str]:
    """Every line after a `$` in the README's console blocks."""
    blocks = re.findall(r"```console\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    return [line.removeprefix("$ ") for block in blocks for line in block.splitlines() if line.startswith("$ ")]


def test_every_command_of_the_first_five_minutes_works_as_written(tmp_path):
    """One shell runs them in order and stops at the first that fails; what they promise is in the output."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    (tmp_path / ".venv").symlink_to(Path(sys.executable).parents[1])
    (tmp_path / ".ledgermill").mkdir()
    script = "\n".join(["set -e", "trap 'ledgermill down' EXIT", *(f"echo '$ {line.replace(chr(39), '')}'\n{line}" for line in commands())])
    env = {name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "LEDGERMILL_"))} | {"NO_COLOR": "1"}
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=240, check=False)
    shown = done.stdout + done.stderr
    assert done.returncode == 0, shown
    assert len(commands()) > 15
    assert "success in" in done.stdout
    assert "exit code 1" in done.stdout
    assert "every invariant holds" in shown
    assert "Ready in" in done.stdout
