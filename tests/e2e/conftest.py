"""The installed program on repositories that it has never seen, each test with a data directory of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

PROGRAM = str(Path(sys.executable).with_name("ledgermill"))
BOUND_SECONDS = 60

WAITING = """\
on: push
jobs:
  wait:
    runs-on: ubuntu-latest
    steps:
      - run: |
          echo begin
          until [ -e "$GATE" ]; do sleep 0.05; done
          echo end
    env:
      GATE: GATE_PATH
"""


def waiting_for(gate: Path) -> str:
    """A workflow whose only job begins, waits until the file is there, and ends."""
    return WAITING.replace("GATE_PATH", str(gate))


class Said(NamedTuple):
    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


class Place:
    """A repository and a data directory, and the program run on both."""

    def __init__(self, root: Path, data: Path) -> None:
        self.root = root
        self.data = data
        self.env = {name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "LEDGERMILL_"))}
        self.env |= {"LEDGERMILL_DATA": str(data), "NO_COLOR": "1"}
        subprocess.run(["git", "init", "-q", "-b", "main"], cwd=root, env=self.env, check=True)

    def write(self, path: str, text: str) -> None:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)

    def workflow(self, text: str, name: str = "ci.yml") -> None:
        self.write(f".github/workflows/{name}", text)

    def __call__(self, *arguments: str) -> Said:
        done = subprocess.run(
            [PROGRAM, *arguments], cwd=self.root, env=self.env, capture_output=True, text=True, timeout=BOUND_SECONDS, check=False
        )
        return Said(done.returncode, done.stdout, done.stderr)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [PROGRAM, *arguments], cwd=self.root, env=self.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def processes(self) -> list[str]:
        """Command lines of living processes that name the data directory."""
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if str(self.data) in line:
                found.append(line)
        return found


@pytest.fixture
def place(tmp_path) -> Iterator[Place]:
    root = tmp_path / "pay"
    root.mkdir()
    found = Place(root, tmp_path / "data")
    yield found
    if (found.data / "lock").exists():
        found("down")
    assert found.processes() == []


@pytest.fixture(scope="module")
def served(tmp_path_factory) -> Iterator[Place]:
    """A repository beside a server with two runners and quick leases, shared by the tests of a module."""
    root = tmp_path_factory.mktemp("pay")
    found = Place(root, tmp_path_factory.mktemp("served") / "data")
    found.env["LEDGERMILL_LEASE_TTL_SECONDS"] = "4"
    found.env["LEDGERMILL_HEARTBEAT_SECONDS"] = "1"
    up = found("up", "--detach", "--port", "0", "--runners", "2")
    assert up.code == 0, up.out + up.err
    yield found
    assert found("down").code == 0
    assert found.processes() == []


@pytest.fixture
def until() -> Callable[[Any, str], list[str]]:
    """`until(child, "text")`: the lines of a child up to the one that holds the text."""

    def read(child: subprocess.Popen[str], text: str) -> list[str]:
        lines = []
        for line in child.stdout:
            lines.append(line)
            if text in line:
                return lines
        raise AssertionError(f"{text!r} never came:\n{''.join(lines)}\n{child.stderr.read()}")

    return read
