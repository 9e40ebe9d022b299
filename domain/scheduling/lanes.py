"""Lanes: how urgent the jobs of one repository are to each other.

A lane is a head start: its jobs stand in line as if they had come earlier or later by so many seconds. So nothing in a
slow lane waits for ever, however much comes in a fast one: whatever arrives later than the difference stands behind it.
A lane orders jobs within their fair share only; nobody gets ahead of another tenant or repository by it.
"""

from datetime import datetime

HEAD_START_SECONDS: dict[str, float] = {"interactive": 600, "default": 0, "background": -3600}
"""By lane. A lane that is not here (another version of this code named it) has none."""


def lane_of(event: str) -> str:
    """The lane of a run's jobs: somebody waits for what was started by hand, nobody for what a schedule started."""
    match event:
        case "workflow_dispatch":
            return "interactive"
        case "schedule":
            return "background"
        case _:
            return "default"


def place(lane: str, queued_at: datetime) -> float:
    """Where a job stands among those of its share, smallest first: POSIX seconds."""
    return queued_at.timestamp() - HEAD_START_SECONDS.get(lane, 0)
