"""Time travel: a run as it stood after some of its events, by the same folds that keep the views."""

from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec

from domain.envelope import Recorded
from projections.fold import Parked, folded, rows_of
from projections.status import ATTEMPTS, JOBS, RUNS, STEPS, AttemptRow, JobRow, RunRow, StepRow


class RunState(msgspec.Struct, frozen=True):
    """A run with everything in it. position: of the last event that counts; run: None before it was triggered.

    parked: the streams of it that this code could fold only in part.
    """

    position: int
    events: int
    run: RunRow | None
    jobs: list[JobRow]
    attempts: list[AttemptRow]
    steps: list[StepRow]
    parked: list[Parked]


def until(events: Iterable[Recorded], *, position: int | None = None, at: datetime | None = None) -> list[Recorded]:
    """The events up to and with a position, or an instant of the store's time; all of them without either."""
    return [event for event in events if (position is None or event.position <= position) and (at is None or event.meta.at <= at)]


def run_state(events: Sequence[Recorded]) -> RunState:
    """The state after these events of one run and its jobs, in order."""
    folder = folded((RUNS, JOBS, ATTEMPTS, STEPS), events)
    made = rows_of(folder)
    runs = list(made["runs"].values())
    return RunState(
        position=events[-1].position if events else 0,
        events=len(events),
        run=runs[0] if runs else None,
        jobs=sorted(made["jobs"].values(), key=lambda row: (row.created_at, row.key, row.instance)),
        attempts=sorted(made["attempts"].values(), key=lambda row: (row.job_id, row.attempt)),
        steps=sorted(made["steps"].values(), key=lambda row: (row.job_id, row.attempt, row.index)),
        parked=list(folder.parked.values()),
    )
