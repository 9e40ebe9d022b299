"""The short form of the cluster campaign (`make campaign` runs the whole one)."""

from pathlib import Path

import pytest

from tests.rigs.cluster import Pace, campaign


@pytest.mark.timeout(400)
def test_two_of_each_and_runners_elsewhere_survive_the_death_of_any(short_path: Path, empty_postgres_url: str) -> None:
    """A gateway, a projector, a reconciler and a runner are killed in turn; what was acknowledged ends in success, once."""
    spared = ("gateway two", "projector two", "reconciler two", "runner-2", "relay one")
    pace = Pace(jobs=40, runs_per_second=3, life=(0.1, 0.6), strangers=False)
    figures = campaign(pace, seed=2, root=short_path, database_url=empty_postgres_url, spared=spared)
    assert figures["problems"] == []
    assert set(figures["deaths"]) == {"gateway one", "projector one", "reconciler one", "runner-1"}
    assert figures["acquisitions"] >= 2 * figures["acknowledged"] >= 40
