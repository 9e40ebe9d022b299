"""Step transitions: pending -> running -> ended, one way, each once in an attempt.

Steps follow one another, but for background steps: they run beside what comes after them, at most ten at a time, until
a step waits for them or cancels them.
"""

from collections.abc import Mapping

from domain.job import commands as c
from domain.job import events as e
from domain.job.state import Acquired, Running, name
from domain.refusals import REPEAT, Decision, Refusal
from domain.workflow.step_order import BACKGROUND_MAX

NEVER_STARTED = ("skipped", "cancelled")
"""How a step may end that never began."""


def report_steps(state: Acquired | Running, command: c.ReportSteps) -> Decision | Refusal:
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
    open_steps, done = set(state.open_steps), dict(state.done_steps)
    planned = state.life.spec.steps
    events: list[e.JobEvent] = []
    for transition in fresh:
        fault = _fault(transition, open_steps, done, planned)
        if fault:
            return Refusal("bad_step_transition", f"step {transition.index}: {fault}", state=name(state))
        events.append(_event(transition, command))
        if transition.outcome is None:
            open_steps.add(transition.index)
        else:
            open_steps.discard(transition.index)
            done[transition.index] = transition.conclusion or transition.outcome
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


def _fault(transition: c.StepTransition, open_steps: set[int], done: dict[int, str], planned: tuple[e.PlannedStep, ...]) -> str:
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


def _false_start(step: e.PlannedStep, open_steps: set[int], done: dict[int, str], planned: tuple[e.PlannedStep, ...]) -> str:
    if step.index in open_steps:
        return "it began before"
    if any(earlier.index not in done and not earlier.background for earlier in planned[: step.index]):
        return "an earlier step has not ended, and it is no background step"
    if step.background and sum(planned[index].background for index in open_steps) >= BACKGROUND_MAX:
        return f"{BACKGROUND_MAX} background steps are running"
    return ""


def _event(transition: c.StepTransition, command: c.ReportSteps) -> e.JobEvent:
    if transition.outcome is None:
        return e.StepStarted(command.attempt, command.epoch, transition.index, transition.started_at)
    return e.StepCompleted(
        command.attempt,
        command.epoch,
        transition.index,
        outcome=transition.outcome,
        conclusion=transition.conclusion or transition.outcome,
        exit_code=transition.exit_code,
        effect=transition.effect,
        started_at=transition.started_at,
        ended_at=transition.ended_at or transition.started_at,
        outputs=transition.outputs,
        message=transition.message,
    )
