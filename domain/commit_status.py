"""What a forge shall be told of a commit: one status a commit and context, of which the newest one wanted counts.

The stream is named by repository, commit and context, so a status that is wanted takes the place of one that the forge was
not told yet. Telling happens outside, between events: who dies meanwhile tells it twice, which forges take for once. What a
run's event wants is known by that event's position, so however often it is read, and however late, it wants it once. It
must never hold a token.
"""

from datetime import datetime, timedelta
from uuid import UUID

import msgspec
from msgspec.structs import replace

from domain.envelope import Meta
from domain.refusals import REPEAT, Decision, Refusal
from domain.retry import RetryPolicy, backoff

PAUSES = RetryPolicy(backoff_seconds=2, backoff_seconds_max=600)
GIVEN_UP_AFTER = timedelta(days=1)


class CommitStatusWanted(msgspec.Struct, frozen=True, gc=False):
    """The forge shall be told. state: "pending", "success", "failure" or "error"; context: what tells it from other statuses.

    run, run_attempt: whose it is; after: position of the run's event that it follows.
    """

    repository: UUID
    repository_name: str
    sha: str
    context: str
    state: str
    description: str
    run: UUID
    run_attempt: int
    after: int


class CommitStatusTold(msgspec.Struct, frozen=True, gc=False):
    """The forge has it. after: of which wanted one; attempts: how many it took."""

    after: int
    attempts: int


class CommitStatusDeferred(msgspec.Struct, frozen=True, gc=False):
    """The forge could not be told yet. attempts: so far."""

    attempts: int
    reason: str
    retry_at: datetime


class CommitStatusFailed(msgspec.Struct, frozen=True, gc=False):
    """The forge refused it, or could not be told within a day: it never will be."""

    attempts: int
    reason: str


CommitStatusEvent = CommitStatusWanted | CommitStatusTold | CommitStatusDeferred | CommitStatusFailed


class WantCommitStatus(msgspec.Struct, frozen=True, gc=False):
    """Let the forge be told."""

    status: UUID
    wanted: CommitStatusWanted


class NoteCommitStatusTold(msgspec.Struct, frozen=True, gc=False):
    """The forge took the status that was wanted after this position."""

    status: UUID
    after: int


class DeferCommitStatus(msgspec.Struct, frozen=True, gc=False):
    """It could not be told. pause_seconds: what the forge asks for at least; final: another try would end the same."""

    status: UUID
    after: int
    reason: str
    pause_seconds: float = 0
    final: bool = False


CommitStatusCommand = WantCommitStatus | NoteCommitStatusTold | DeferCommitStatus


class CommitStatus(msgspec.Struct, frozen=True, gc=False):
    """A status's state. progress: "wanted", "deferred", "told" or "failed". reason: of the last event that gave one."""

    facts: CommitStatusWanted
    wanted_at: datetime
    progress: str = "wanted"
    reason: str = ""
    attempts: int = 0
    retry_at: datetime | None = None

    @property
    def open(self) -> bool:
        """Whether the forge still has to be told."""
        return self.progress in ("wanted", "deferred")


def decide(state: CommitStatus | None, command: CommitStatusCommand, meta: Meta) -> Decision | Refusal:
    """An older wish than the last one is a repeat, and so is what came of one that was replaced meanwhile."""
    if isinstance(command, WantCommitStatus):
        return REPEAT if state is not None and state.facts.after >= command.wanted.after else Decision((command.wanted,))
    if state is None:
        return Refusal("commit_status_not_found", f"there is no commit status {command.status}", state="absent")
    if state.facts.after != command.after or not state.open:
        return REPEAT
    attempts = state.attempts + 1
    if isinstance(command, NoteCommitStatusTold):
        return Decision((CommitStatusTold(command.after, attempts),))
    if command.final or meta.at >= state.wanted_at + GIVEN_UP_AFTER:
        return Decision((CommitStatusFailed(attempts, command.reason),))
    pause = max(backoff(PAUSES, command.status, attempts), timedelta(seconds=command.pause_seconds))
    return Decision((CommitStatusDeferred(attempts, command.reason, meta.at + pause),))


def evolve(state: CommitStatus | None, event: CommitStatusEvent, meta: Meta) -> CommitStatus:
    """How each event changes a status."""
    if isinstance(event, CommitStatusWanted):
        return CommitStatus(event, meta.at)
    assert state is not None, "a commit status's stream begins with CommitStatusWanted"  # noqa: S101 - a fact, not a check
    match event:
        case CommitStatusTold():
            return replace(state, progress="told", reason="", attempts=event.attempts, retry_at=None)
        case CommitStatusDeferred():
            return replace(state, progress="deferred", reason=event.reason, attempts=event.attempts, retry_at=event.retry_at)
        case CommitStatusFailed():
            return replace(state, progress="failed", reason=event.reason, attempts=event.attempts, retry_at=None)
