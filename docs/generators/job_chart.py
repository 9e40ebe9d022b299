"""Walks `decide` over every state and command of a job and writes the state chart: docs/reference/job-states.md.

The chart is what the code does, not what somebody remembered; a test fails when the file is stale.
"""

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from domain import ids
from domain.envelope import Meta
from domain.job import commands as c
from domain.job import events as e
from domain.job.decide import decide
from domain.job.evolve import evolve
from domain.job.state import Done, JobState, name
from domain.refusals import Refusal
from domain.retry import RetryPolicy

TARGET = Path(__file__).parent.parent / "reference" / "job-states.md"
AT = datetime(2026, 1, 1, tzinfo=UTC)
LATER = AT + timedelta(days=400)
RUN = ids.run_id("default", "chart")
JOB = ids.job_id(RUN, 1, "job", "")
RUNNER = ids.runner_id("default", "runner")
LEASE = ids.lease_id(JOB, 1)
SPEC = e.JobCreated(
    run=RUN,
    run_attempt=1,
    run_number=1,
    workflow_path="ci.yml",
    repository=ids.repository_id("default", "local", "a/b"),
    key="job",
    instance="",
    name="job",
    labels=("linux",),
    steps=(e.PlannedStep(0, "s", "s", timeout_seconds=60),),
    needs=(),
    plan="0" * 64,
    timeout_seconds=60,
    cancel_timeout_seconds=60,
    retry=RetryPolicy(on=("lost", "failed", "timed_out")),
)
QUEUED = e.JobQueued("default", "default", ("linux",), "", AT + timedelta(days=1))
ACQUIRED = e.JobAcquired(1, 1, RUNNER, "runner", LEASE, AT + timedelta(seconds=30), AT + timedelta(seconds=120))
STARTED = e.JobStarted(1, 1, AT + timedelta(seconds=70))
STEP = e.StepStarted(1, 1, 0, AT, AT + timedelta(seconds=120))
STEP_DONE = e.StepCompleted(1, 1, 0, "success", "success", 0, "", AT, AT)
LOST = e.AttemptLost(1, 1, RUNNER, "lease_expired", 1, AT, AT + timedelta(seconds=1))
ORDERED = e.JobCancellationRequested(ids.derive("order"), "by hand", False, AT + timedelta(seconds=70))

HISTORIES: dict[str, tuple[e.JobEvent, ...]] = {
    "absent": (),
    "waiting": (SPEC,),
    "queued": (SPEC, QUEUED),
    "acquired": (SPEC, QUEUED, ACQUIRED),
    "running, in a step": (SPEC, QUEUED, ACQUIRED, STARTED, STEP),
    "running": (SPEC, QUEUED, ACQUIRED, STARTED, STEP, STEP_DONE),
    "running, cancel asked": (SPEC, QUEUED, ACQUIRED, STARTED, STEP, STEP_DONE, ORDERED),
    "backing_off": (SPEC, QUEUED, ACQUIRED, STARTED, LOST),
    "done": (SPEC, QUEUED, ACQUIRED, STARTED, STEP, STEP_DONE, e.JobSucceeded(1, 1, {}, "r")),
}

COMMANDS: dict[str, c.AnyJobCommand] = {
    "CreateJob": c.CreateJob(JOB, SPEC),
    "CreateJob, condition false": c.CreateJob(JOB, SPEC, skip="condition"),
    "CreateJob, plan broken": c.CreateJob(JOB, SPEC, fail="plan_failed"),
    "CreateJob, held back": c.CreateJob(JOB, SPEC, hold=True),
    "QueueJob": c.QueueJob(JOB),
    "AcquireJob": c.AcquireJob(JOB, RUNNER, "runner", ("linux",), 30, 120),
    "AcquireJob, labels missing": c.AcquireJob(JOB, RUNNER, "runner", (), 30, 120),
    "StartJob": c.StartJob(JOB, RUNNER, 1, 1, LEASE),
    "StartJob, old epoch": c.StartJob(JOB, RUNNER, 1, 0, LEASE),
    "RecordHeartbeat": c.RecordHeartbeat(JOB, RUNNER, 1, 1, LEASE, 30),
    "ReportSteps, the next": c.ReportSteps(JOB, RUNNER, 1, 1, LEASE, 1, (c.StepTransition(0, AT),)),
    "ReportSteps, with a gap": c.ReportSteps(JOB, RUNNER, 1, 1, LEASE, 9, (c.StepTransition(0, AT),)),
    "StoreLogSegments": c.StoreLogSegments(JOB, RUNNER, 1, 1, LEASE, (c.Segment(1, 1, 1, 1, "0" * 64),)),
    "ReportAttempt success": c.ReportAttempt(JOB, RUNNER, 1, 1, LEASE, "success", "", "s"),
    "ReportAttempt failure": c.ReportAttempt(JOB, RUNNER, 1, 1, LEASE, "failure", "", "f"),
    "ReportAttempt timed_out": c.ReportAttempt(JOB, RUNNER, 1, 1, LEASE, "timed_out", "", "t"),
    "ReportAttempt cancelled": c.ReportAttempt(JOB, RUNNER, 1, 1, LEASE, "cancelled", "", "c"),
    "ExtendLease": c.ExtendLease(JOB, 1, 30, "outage"),
    "ReportLost": c.ReportLost(JOB, 1, "runner_restarted"),
    "Expire lease": c.Expire(JOB, "lease"),
    "Expire accept": c.Expire(JOB, "accept"),
    "Expire step": c.Expire(JOB, "step"),
    "Expire job": c.Expire(JOB, "job"),
    "Expire queue": c.Expire(JOB, "queue"),
    "Expire retry": c.Expire(JOB, "retry"),
    "Expire cancel": c.Expire(JOB, "cancel"),
    "CancelJob": c.CancelJob(JOB, "by hand"),
    "CancelJob, force": c.CancelJob(JOB, "by hand", force=True),
}


def fold(events: tuple[e.JobEvent, ...], state: JobState | None = None) -> JobState | None:
    """The state after these events."""
    for event in events:
        state = evolve(JOB, state, event, Meta(AT, "default", "someone"))
    return state


def cell(state: JobState | None, command: c.AnyJobCommand) -> tuple[str, JobState | None]:
    """What the state answers: the events' names, a repeat or a refusal's code; and the state afterwards."""
    answer = decide(state, command, LATER)
    if isinstance(answer, Refusal):
        recorded = "".join(f" + {type(event).__name__}" for event in answer.evidence)
        return f"refused: `{answer.code}`{recorded}", state
    if not answer.events:
        return "—", state
    return ", ".join(type(event).__name__ for event in answer.events), fold(answer.events, state)


def short(state: JobState | None) -> str:
    """The state's node in the diagram."""
    return "done" if isinstance(state, Done) else name(state)


def render() -> str:
    """The whole page."""
    arrows: dict[tuple[str, str], list[str]] = {}
    rows = []
    for label, command in COMMANDS.items():
        cells = []
        for history in HISTORIES.values():
            state = fold(history)
            text, after = cell(state, command)
            cells.append(text)
            if short(after) != short(state):
                arrows.setdefault((short(state), short(after)), []).append(text.split(", ")[-1])
        rows.append(f"| {label} | {' | '.join(cells)} |")
    diagram = [
        f"    {'[*]' if before == 'absent' else before} --> {after} : {', '.join(dict.fromkeys(names))}"
        for (before, after), names in arrows.items()
    ]
    head = [
        "# The states of a job",
        "",
        "Generated by `make docs` from `domain/job/decide.py`: every command against every state, long after all deadlines.",
        "— means a repeat or a tick that came for nothing: no event.",
        "",
        "```mermaid",
        "stateDiagram-v2",
        *diagram,
        "    done --> [*]",
        "```",
        "",
        f"| command | {' | '.join(HISTORIES)} |",
        f"|{'---|' * (len(HISTORIES) + 1)}",
    ]
    return "\n".join([*head, *rows, ""])


if __name__ == "__main__":
    TARGET.write_text(render())
    sys.stdout.write(f"wrote {TARGET.name}\n")
