"""The states of a job, one Struct each, so that a field that means nothing in a state cannot exist there.

    waiting -> queued -> acquired -> running -> done
                 ^           |          |
                 +-- backing off <------+        (JobRetried at retry_at)

`Life` is what every state knows: what the job is and what its earlier attempts left.
"""

from datetime import datetime, timedelta
from uuid import UUID

import msgspec

from domain.job.events import JobCreated


class Life(msgspec.Struct, frozen=True, gc=False):
    """What outlives a single state.

    attempt and epoch: of the last acquisition, 0 before the first. counted: attempts that count against the maximum.
    not_started: attempts in a row that were acquired and never started. last_epoch and last_result: the last report of
    an outcome that was accepted, so that its repeat is recognised. lane and fair_key: of JobQueued.
    """

    job: UUID
    spec: JobCreated
    tenant: str = ""
    lane: str = ""
    fair_key: str = ""
    attempt: int = 0
    epoch: int = 0
    counted: int = 0
    not_started: int = 0
    first_queued_at: datetime | None = None
    queue_time: timedelta = timedelta(0)
    last_epoch: int = 0
    last_result: str = ""


class Waiting(msgspec.Struct, frozen=True, gc=False):
    """Created; something still has to admit it to the queue."""

    life: Life


class Queued(msgspec.Struct, frozen=True, gc=False):
    """Runners may take it."""

    life: Life
    expires_at: datetime
    avoid: UUID | None = None


class LiveLease(msgspec.Struct, frozen=True, gc=False):
    """Who may write to the job now, and until when without a heartbeat."""

    attempt: int
    epoch: int
    lease: UUID
    runner: UUID
    expires_at: datetime


class CancelOrder(msgspec.Struct, frozen=True, gc=False):
    """A cancellation that the runner has been asked for. deadline: after it the server ends the job without the runner."""

    order: UUID
    reason: str
    deadline: datetime


class Acquired(msgspec.Struct, frozen=True, gc=False):
    """A runner holds the lease and has not started yet."""

    life: Life
    lease: LiveLease
    accept_by: datetime
    cancel: CancelOrder | None = None
    segments: int = 0


class Running(msgspec.Struct, frozen=True, gc=False):
    """A runner executes it.

    open_steps: those that began and did not end, by index, each with its deadline; done_steps: conclusion by index;
    transitions: how many were applied; segments: log segments stored; subjects: how many files its steps attest.
    """

    life: Life
    lease: LiveLease
    started_at: datetime
    deadline: datetime
    open_steps: dict[int, datetime | None] = {}
    done_steps: dict[int, str] = {}
    transitions: int = 0
    segments: int = 0
    subjects: int = 0
    cancel: CancelOrder | None = None


class BackingOff(msgspec.Struct, frozen=True, gc=False):
    """An attempt ended and the next one waits for its time. avoid: the runner that was lost."""

    life: Life
    retry_at: datetime
    avoid: UUID | None = None


class Done(msgspec.Struct, frozen=True, gc=False):
    """The end. conclusion: "success", "failure", "cancelled", "skipped" or "timed_out"."""

    life: Life
    conclusion: str
    outputs: dict[str, str] = {}


JobState = Waiting | Queued | Acquired | Running | BackingOff | Done

NAMES: dict[type, str] = {
    Waiting: "waiting",
    Queued: "queued",
    Acquired: "acquired",
    Running: "running",
    BackingOff: "backing_off",
    Done: "done",
}
"""What refusals, the chart and people call the states."""


def name(state: JobState | None) -> str:
    """The state's name; "absent" for a job that does not exist; for an ended one its conclusion too."""
    match state:
        case None:
            return "absent"
        case Done():
            return f"done ({state.conclusion})"
        case _:
            return NAMES[type(state)]
