"""How an attempt ends, and whether another one follows."""

from datetime import datetime
from typing import Literal

from domain.job import commands as c
from domain.job import events as e
from domain.job.state import Acquired, Running, name
from domain.job.steps import spoilers
from domain.refusals import Refusal
from domain.retry import NOT_STARTED_MAX, backoff

End = Literal["lost", "failed", "timed_out"]


def reported(state: Acquired | Running, report: c.ReportAttempt, now: datetime) -> tuple[e.JobEvent, ...] | Refusal:
    """The events that follow from the runner's report of how the attempt ended."""
    match report.conclusion:
        case "success":
            doubt = _doubt(state)
            if doubt:
                return Refusal("result_contradicts_steps", f"the report says success, but {doubt}", state=name(state))
            return (e.JobSucceeded(report.attempt, report.epoch, report.outputs, report.result),)
        case "failure":
            return ended(state, "failed", report.reason or "step_failed", now, report)
        case "timed_out":
            return ended(state, "timed_out", report.reason or "job_timeout", now, report)
        case "cancelled" if state.cancel is not None:
            return (e.JobCancelled(report.attempt, report.epoch, state.cancel.reason, report.outputs, report.result),)
        case "cancelled":
            # Nobody asked for it: the runner itself is going away. The job goes back to the queue.
            return ended(state, "lost", "runner_stopped", now, report)


def _doubt(state: Acquired | Running) -> str:
    """Why a success cannot be believed; empty when all planned steps ended well."""
    if isinstance(state, Acquired):
        return "the job was not started"
    missing = [step.id for step in state.life.spec.steps if step.index not in state.done_steps]
    if missing:
        return f"no end was reported for the steps {', '.join(missing)}"
    bad = [step.id for step in spoilers(state.life.spec.steps, state.done_steps)]
    return f"the steps {', '.join(bad)} did not succeed" if bad else ""


def ended(state: Acquired | Running, end: End, reason: str, now: datetime, report: c.ReportAttempt | None = None) -> tuple[e.JobEvent, ...]:
    """The attempt's end and, where no retry follows, the job's end in the same append."""
    lease = state.lease
    started_at = state.started_at if isinstance(state, Running) else None
    result = report.result if report else ""
    if end == "lost" and state.cancel is not None:
        return (e.JobCancelled(lease.attempt, lease.epoch, f"{state.cancel.reason}; the runner was lost", result=result),)
    retry_at = _retry_at(state, end, reason, now)
    outputs = report.outputs if report else {}
    attempt, epoch, runner = lease.attempt, lease.epoch, lease.runner
    match end:
        case "lost":
            event: e.JobEvent = e.AttemptLost(attempt, epoch, runner, reason, attempt, started_at, retry_at, result)
        case "failed":
            step, message = (report.failed_step, report.message) if report else (None, "")
            event = e.AttemptFailed(attempt, epoch, runner, reason, attempt, step, message, started_at, retry_at, result)
        case "timed_out":
            event = e.AttemptTimedOut(attempt, epoch, runner, reason, attempt, started_at, retry_at, result)
    if retry_at is not None:
        return (event,)
    last = e.JobTimedOut(attempt, reason) if end == "timed_out" else e.JobFailed(attempt, reason, outputs, result)
    return (event, last)


def _retry_at(state: Acquired | Running, end: End, reason: str, now: datetime) -> datetime | None:
    """When the next attempt may begin; None when this was the last one."""
    life, policy = state.life, state.life.spec.retry
    if end not in policy.on or state.cancel is not None:
        return None
    if reason == "not_started":
        if life.not_started + 1 >= NOT_STARTED_MAX:
            return None
    elif life.counted + 1 >= policy.attempts_max:
        return None
    retry_at = now + backoff(policy, life.job, state.lease.attempt)
    if policy.within_seconds is not None and life.first_queued_at is not None:
        waited = (retry_at - life.first_queued_at).total_seconds()
        if waited > policy.within_seconds:
            return None
    return retry_at
