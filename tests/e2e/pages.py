"""Pages of the documentation as programs: what a reader is told to type, run as it stands."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def commands(page: Path) -> list[str]:
    """Every line after a `$` in the page's console blocks."""
    blocks = re.findall(r"```console\n(.*?)```", page.read_text(), re.DOTALL)
    return [line.removeprefix("$ ") for block in blocks for line in block.splitlines() if line.startswith("$ ")]


def follow(page: Path, folder: Path, *programs: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    """One shell runs the page's commands in order in `folder` and stops at the first that fails; a server is stopped at the end.

    programs: folders that come first in its PATH, beside that of `ledgermill`.
    """
    lines = (f"echo '$ {line.replace(chr(39), '')}'\n{line}" for line in commands(page))
    script = "\n".join(["set -e", "trap 'ledgermill down' EXIT", *lines])
    env = {name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "LEDGERMILL_"))}
    path = os.pathsep.join([*map(str, programs), str(Path(sys.executable).parent), os.environ["PATH"]])
    env |= {"NO_COLOR": "1", "PATH": path, **settings}
    return subprocess.run(["bash", "-c", script], cwd=folder, env=env, capture_output=True, text=True, timeout=240, check=False)
