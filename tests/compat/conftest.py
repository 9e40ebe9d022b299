"""The release before this one, taken from the repository's own history into an environment of its own."""

import io
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
CACHE = ROOT / ".ledgermill"


@pytest.fixture(scope="session")
def previous() -> Path:
    """The folder of its environment's programs. Made once for each commit, as that commit's own Makefile makes it."""
    commit = (HERE / "previous").read_text().strip()
    folder = CACHE / "compat" / commit[:12]
    programs = folder / ".venv" / "bin"
    if not (folder / ".venv" / "run.stamp").exists():
        there = subprocess.run(["git", "cat-file", "-e", f"{commit}^{{commit}}"], cwd=ROOT, capture_output=True, check=False)
        if there.returncode:  # a shallow clone
            subprocess.run(["git", "fetch", "--quiet", "--depth=1", "origin", commit], cwd=ROOT, check=False)
        done = subprocess.run(["git", "archive", commit], cwd=ROOT, capture_output=True, check=False)
        assert done.returncode == 0, f"the previous release is not in the repository's history: {done.stderr.decode()}"
        folder.mkdir(parents=True, exist_ok=True)
        with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
            archive.extractall(folder, filter="data")
        caches = {"PIP_CACHE_DIR": str(CACHE / "cache" / "pip"), "UV_CACHE_DIR": str(CACHE / "cache" / "uv")}
        environment = {**caches, **os.environ, "PYTHON3": sys.executable, "PIP_NO_COMPILE": "1"}
        made = subprocess.run(
            ["make", ".venv/run.stamp"], cwd=folder, env=environment, capture_output=True, text=True, timeout=600, check=False
        )
        assert made.returncode == 0, made.stdout + made.stderr
    return programs
