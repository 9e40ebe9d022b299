"""The fence: only the live lease's attempt, epoch, lease id and runner may change a job.

Everything else changes nothing and is recorded as `StaleWriteRejected`: a runner that was cut off and comes back can
neither finish nor disturb what another one does now.
"""

from domain.job.commands import FencedCommand
from domain.job.events import StaleWriteRejected
from domain.job.state import Acquired, JobState, Running, name
from domain.refusals import Refusal

WRITES: dict[str, str] = {
    "StartJob": "start",
    "RecordHeartbeat": "renew",
    "ReportSteps": "events",
    "StoreLogSegments": "logs",
    "ReportAttempt": "complete",
}
"""What the runner protocol calls each fenced command."""


def stale(state: JobState, command: FencedCommand) -> Refusal | None:
    """None when the command carries the live lease; otherwise the refusal with its evidence."""
    reason = _reason(state, command)
    if reason is None:
        return None
    write = WRITES[type(command).__name__]
    return Refusal(
        code="lease_lost",
        message=f"this {write} of attempt {command.attempt} (epoch {command.epoch}) was not accepted: {reason}",
        state=name(state),
        help="stop the job: another attempt may be running, or it is over",
        evidence=(StaleWriteRejected(command.attempt, command.epoch, command.runner, write, reason),),
    )


def _reason(state: JobState, command: FencedCommand) -> str | None:
    if not isinstance(state, Acquired | Running):
        return f"the job is {name(state)}"
    lease = state.lease
    if command.epoch != lease.epoch:
        return f"stale_epoch: the live epoch is {lease.epoch}"
    if command.attempt != lease.attempt:
        return f"wrong_attempt: the live attempt is {lease.attempt}"
    if command.runner != lease.runner:
        return "foreign_lease: another runner holds the job"
    if command.lease != lease.lease:
        return "foreign_lease: the lease id is another one"
    return None
