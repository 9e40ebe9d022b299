"""Step transitions: pending -> running -> ended, one way, each once in an attempt.

Steps follow one another, but for background steps: they run beside what comes after them, at most ten at a time, until
a step waits for them or cancels them.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta

from domain.job import commands as c
from domain.job import events as e
from domain.job import subjects
from domain.job.state import Acquired, Running, name
from domain.refusals import REPEAT, Decision, Refusal
from domain.workflow.step_order import BACKGROUND_MAX

STEP_GRACE_SECONDS = 60
"""How long after a step's `timeout-minutes` the server waits for its end: the runner's ladder and its report, which a
silence that a lease outlives may hold up. Then the runner has not done what it must, and the attempt ends."""

NEVER_STARTED = ("skipped", "cancelled")
"""How a step may end that never began."""


Open = Mapping[int, datetime | None]
"""The open steps by index, each with its deadline."""


def report_steps(state: Acquired | Running, command: c.ReportSteps, now: datetime) -> Decision | Refusal:
    """The transitions that are new, in order. A batch that is sent again gives no event for what is known."""
    if isinstance(state, Acquired):
        return Refusal("not_started", f"job {command.job} was not started, so no step can be", state=name(state))
    known = state.transitions - (command.seq - 1)
    if known < 0:
        message = f"transition {command.seq} does not follow transition {state.transitions}"
        return Refusal("sequence_gap", message, state=name(state))
    fresh = command.transitions[known:]
    if not fresh:
        return REPEAT
    open_steps, done, attested = dict(state.open_steps), dict(state.done_steps), state.subjects
    planned = state.life.spec.steps
    events: list[e.JobEvent] = []
    for transition in fresh:
        fault = _fault(transition, open_steps, done, planned) or subjects.fault(transition.subjects, attested)
        if fault:
            return Refusal("bad_step_transition", f"step {transition.index}: {fault}", state=name(state))
        index = transition.index
        if transition.outcome is None:
            deadline = open_steps[index] = _deadline(planned[index], now)
            events.append(e.StepStarted(command.attempt, command.epoch, index, transition.started_at, deadline))
        else:
            events.append(_completed(transition, command, open_steps.pop(index, None)))
            done[index] = transition.conclusion or transition.outcome
            attested += len(transition.subjects)
    return Decision(tuple(events))


def spoilers(planned: tuple[e.PlannedStep, ...], done: Mapping[int, str]) -> list[e.PlannedStep]:
    """The ended steps that keep a job from success: those that failed, and those that nobody meant to be cancelled.

    done: conclusion by index. A step that a `cancel` step ends is meant to be, and a `wait` that saw such an end shows it.
    """
    meant = {target for step in planned if step.control == "cancel" and step.index in done for target in step.targets}
    return [
        step
        for step in planned
        if done.get(step.index) == "failure" or (done.get(step.index) == "cancelled" and not step.control and step.index not in meant)
    ]


def _fault(transition: c.StepTransition, open_steps: Open, done: dict[int, str], planned: tuple[e.PlannedStep, ...]) -> str:
    index = transition.index
    if not 0 <= index < len(planned):
        return f"the job has {len(planned)} steps"
    if index in done:
        return "it ended before"
    if transition.outcome is None:
        return _false_start(planned[index], open_steps, done, planned)
    if transition.outcome in NEVER_STARTED:
        return ""
    if index not in open_steps:
        return "it ended without having begun"
    if any(target not in done for target in planned[index].targets):
        return "it ended before a step that it waits for"
    return ""


def _false_start(step: e.PlannedStep, open_steps: Open, done: dict[int, str], planned: tuple[e.PlannedStep, ...]) -> str:
    if step.index in open_steps:
        return "it began before"
    if any(earlier.index not in done and not earlier.background for earlier in planned[: step.index]):
        return "an earlier step has not ended, and it is no background step"
    if step.background and sum(planned[index].background for index in open_steps) >= BACKGROUND_MAX:
        return f"{BACKGROUND_MAX} background steps are running"
    return ""


def _deadline(step: e.PlannedStep, now: datetime) -> datetime | None:
    return now + timedelta(seconds=step.timeout_seconds + STEP_GRACE_SECONDS) if step.timeout_seconds else None


def _completed(transition: c.StepTransition, command: c.ReportSteps, deadline: datetime | None) -> e.StepCompleted:
    outcome = transition.outcome or ""
    return e.StepCompleted(
        command.attempt,
        command.epoch,
        transition.index,
        outcome=outcome,
        conclusion=transition.conclusion or outcome,
        exit_code=transition.exit_code,
        effect=transition.effect,
        started_at=transition.started_at,
        ended_at=transition.ended_at or transition.started_at,
        outputs=transition.outputs,
        message=transition.message,
        deadline=deadline,
        subjects=transition.subjects,
    )
