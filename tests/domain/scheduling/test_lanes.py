"""How urgent a run's jobs are to others of its repository."""

from datetime import timedelta

import pytest

from domain.scheduling.lanes import HEAD_START_SECONDS, lane_of, place
from tests.domain.scenario import NOW


@pytest.mark.parametrize(
    ("event", "lane"), [("workflow_dispatch", "interactive"), ("schedule", "background"), ("push", "default"), ("pull_request", "default")]
)
def test_the_event_decides_the_lane(event: str, lane: str) -> None:
    """Somebody waits for what was started by hand, nobody for what a schedule started."""
    assert lane_of(event) == lane
    assert lane in HEAD_START_SECONDS


def test_a_lane_is_a_head_start_and_no_more() -> None:
    """What comes later than the difference stands behind the slower lane; an unknown lane has no head start."""
    nightly = place("background", NOW)
    assert place("default", NOW + timedelta(minutes=59)) < nightly < place("default", NOW + timedelta(minutes=61))
    assert place("interactive", NOW + timedelta(minutes=69)) < nightly < place("interactive", NOW + timedelta(minutes=71))
    assert place("of a newer version", NOW) == place("default", NOW)
