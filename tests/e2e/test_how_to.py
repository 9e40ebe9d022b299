"""The how-to pages, followed as they stand on real servers."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from infra.embedded.binaries import postgres_programs
from tests.e2e.pages import ROOT, commands, follow

PAGES = ROOT / "docs" / "how-to"

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """The bundled example as a repository."""
    root = tmp_path / "hello"
    shutil.copytree(ROOT / "examples" / "hello-ledger", root)
    subprocess.run(["git", "init", "-q", "-b", "main"], cwd=root, check=True)
    return root


def test_own_servers_and_a_backup_of_them(short_path: Path, repository: Path, make_database: Callable[[str], str], nats_url: str) -> None:
    """The run that one page makes on servers of one's own is there after the other page's restore, with its log and proofs."""
    database = make_database("template0")
    settings = {
        "LEDGERMILL_DATA": str(short_path / "data"),
        "DATABASE_URL": database,
        "NATS_URL": nats_url,
        "REPOSITORY": str(repository),
    }
    done = follow(PAGES / "own-servers.md", short_path, **settings)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "success in" in done.stdout
    settings["RESTORED_URL"] = make_database("template0")
    done = follow(PAGES / "backup.md", short_path, postgres_programs().bin, **settings)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "every invariant holds" in done.stdout + done.stderr
    assert len(commands(PAGES / "backup.md")) > 10
