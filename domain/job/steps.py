"""Step transitions: pending -> running -> ended, one way, each once in an attempt."""

from domain.job import commands as c
from domain.job import events as e
from domain.job.state import Acquired, Running, name
from domain.refusals import REPEAT, Decision, Refusal

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
    planned = len(state.life.spec.steps)
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


def _fault(transition: c.StepTransition, open_steps: set[int], done: dict[int, str], planned: int) -> str:
    index = transition.index
    if not 0 <= index < planned:
        return f"the job has {planned} steps"
    if index in done:
        return "it ended before"
    if transition.outcome is None:
        if index in open_steps:
            return "it began before"
        if any(earlier not in done and earlier not in open_steps for earlier in range(index)):
            return "an earlier step has not begun"
        return ""
    if index not in open_steps and transition.outcome not in NEVER_STARTED:
        return "it ended without having begun"
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
