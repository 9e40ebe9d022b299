"""What the tests with whole servers share."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A directory whose name is short enough for a socket below it, open to the embedded Postgres's user."""
    path = Path(tempfile.mkdtemp(prefix="lm"))
    path.chmod(0o711)
    yield path
    shutil.rmtree(path, ignore_errors=True)
