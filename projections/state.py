"""Time travel: a run, or the queue, as it stood after some of the events, by the same folds that keep the views."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from domain.envelope import Recorded
from domain.job.events import JobEvent
from domain.run.events import RunEvent
from projections.deadlines import DEADLINE_TABLE, DeadlineRow
from projections.fold import Folder, Parked, folded, rows_of
from projections.logs import LOG_SEGMENTS, LogRow
from projections.queue import WAITING, QueueRow
from projections.runners import FLEET, RunnerRow
from projections.status import ATTEMPTS, JOBS, RUNS, STEPS, AttemptRow, JobRow, RunRow, StepRow


class LeaseState(msgspec.Struct, frozen=True):
    """A lease that was live. expires_at: unless the runner renewed it."""

    job_id: UUID
    attempt: int
    epoch: int
    lease: UUID
    runner: UUID
    runner_name: str
    expires_at: datetime | None


class LogState(msgspec.Struct, frozen=True):
    """How far the log of an attempt was stored: so many segments, and lines from 1 to `lines`."""

    job_id: UUID
    attempt: int
    segments: int
    lines: int


class RunState(msgspec.Struct, frozen=True):
    """A run with everything in it. position: of the last event that counts; run: None before it was triggered.

    leases: live ones. queue: its jobs that waited for a runner. runners: those that have held a job of it. logs: what was
    stored of each attempt's log. parked: the streams of it that this code could fold only in part.
    """

    position: int
    events: int
    run: RunRow | None
    jobs: list[JobRow]
    attempts: list[AttemptRow]
    steps: list[StepRow]
    leases: list[LeaseState]
    queue: list[QueueRow]
    runners: list[RunnerRow]
    logs: list[LogState]
    parked: list[Parked]


class QueueState(msgspec.Struct, frozen=True):
    """What waited for a runner, in the order in which it became ready, and who was there. position: of the last event that counts."""

    position: int
    items: list[QueueRow]
    runners: list[RunnerRow]


def until(events: Iterable[Recorded], *, position: int | None = None, at: datetime | None = None) -> list[Recorded]:
    """The events up to and with a position, or an instant of the store's time; all of them without either."""
    return [event for event in events if (position is None or event.position <= position) and (at is None or event.meta.at <= at)]


def run_state(events: Sequence[Recorded]) -> RunState:
    """The state after these events of one run, its jobs and the runners that held them, in order."""
    own = [event for event in events if event.meta.correlation is not None or isinstance(event.data, (RunEvent, JobEvent))]
    folder = folded((RUNS, JOBS, ATTEMPTS, STEPS, WAITING, DEADLINE_TABLE, LOG_SEGMENTS, FLEET), events)
    made = rows_of(folder)
    runs = list(made["runs"].values())
    attempts: list[AttemptRow] = sorted(made["attempts"].values(), key=lambda row: (row.job_id.int, row.attempt))
    deadlines: dict[UUID, DeadlineRow] = {row.job_id: row for row in made["deadlines"].values()}
    return RunState(
        position=own[-1].position if own else 0,
        events=len(own),
        run=runs[0] if runs else None,
        jobs=sorted(made["jobs"].values(), key=lambda row: (row.created_at, row.key, row.instance)),
        attempts=attempts,
        steps=sorted(made["steps"].values(), key=lambda row: (row.job_id.int, row.attempt, row.index)),
        leases=[_lease(row, deadlines.get(row.job_id)) for row in attempts if row.status != "completed"],
        queue=_waiting(made["queue"].values()),
        runners=sorted(made["runners"].values(), key=lambda row: (row.name, row.id)),
        logs=_logs(made["log_segments"].values()),
        parked=list(folder.parked.values()),
    )


class QueueFold:
    """Folds the log up to a moment, page by page, into what waited and who was there."""

    def __init__(self) -> None:
        self._folder = Folder((WAITING, FLEET), capacity=0, careful=True)
        self._position = 0

    def apply(self, events: Sequence[Recorded]) -> None:
        """The next events."""
        concerned = [event for event in events if type(event.data) in QUEUE_EVENTS]
        self._folder.apply(self._folder.claim(concerned))
        self._position = events[-1].position if events else self._position

    def state(self) -> QueueState:
        """As it stood after them."""
        made = rows_of(self._folder)
        runners = sorted((row for row in made["runners"].values() if not row.retired), key=lambda row: (row.name, row.id))
        return QueueState(self._position, _waiting(made["queue"].values()), runners)


QUEUE_EVENTS = frozenset({*WAITING.rules, *FLEET.rules})


def _lease(row: AttemptRow, deadline: DeadlineRow | None) -> LeaseState:
    expires_at = deadline.lease_at if deadline is not None else None
    return LeaseState(row.job_id, row.attempt, row.epoch, row.lease, row.runner, row.runner_name, expires_at)


def _waiting(rows: Iterable[QueueRow]) -> list[QueueRow]:
    return sorted((row for row in rows if row.queued), key=lambda row: row.position)


def _logs(rows: Iterable[LogRow]) -> list[LogState]:
    reached: dict[tuple[UUID, int], LogState] = {}
    for row in sorted(rows, key=lambda row: (row.job_id.int, row.attempt, row.segment)):
        reached[row.job_id, row.attempt] = LogState(row.job_id, row.attempt, row.segment, row.first_line + row.lines - 1)
    return list(reached.values())
