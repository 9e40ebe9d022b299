"""The short form of the crash campaign (`make campaign` runs the whole one)."""

from pathlib import Path

import pytest

from tests.rigs.crash import campaign


@pytest.mark.timeout(400)
def test_killing_everything_under_load_loses_nothing(tmp_path: Path) -> None:
    """Twice server, Postgres, NATS and runner are killed at once; what was acknowledged ends in success, once."""
    figures = campaign(cycles=2, seed=3, root=tmp_path, nats_silence_seconds=3)
    assert figures["problems"] == []
    assert figures["acknowledged"] == figures["sent"]
    assert min(figures["in_flight"]) >= 50
