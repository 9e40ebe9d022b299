"""Given events, when one command, then events or a refusal: the language that the domain's tests are written in."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from domain import ids
from domain.envelope import Meta
from domain.job import events as e
from domain.job.decide import decide
from domain.job.evolve import evolve
from domain.job.state import Acquired, BackingOff, JobState, Queued, Running
from domain.refusals import Decision, Refusal
from domain.retry import RetryPolicy
from domain.run.state import Run

NOW = datetime(2026, 3, 1, 10, 0, tzinfo=UTC)
RUN = ids.run_id("default", "a trigger")
JOB = ids.job_id(RUN, 1, "build", "")
RUNNER = ids.runner_id("default", "r1")
OTHER_RUNNER = ids.runner_id("default", "r2")


def after(seconds: float) -> datetime:
    """An instant of the scenario."""
    return NOW + timedelta(seconds=seconds)


def lease(epoch: int = 1) -> UUID:
    """The lease that acquisition `epoch` of the job hands out."""
    return ids.lease_id(JOB, epoch)


def created(steps: int = 2, **changes: Any) -> e.JobCreated:
    """A job with `steps` steps named s0, s1, ..."""
    facts: dict[str, Any] = {
        "run": RUN,
        "run_attempt": 1,
        "run_number": 1,
        "workflow_path": ".github/workflows/ci.yml",
        "repository": ids.repository_id("default", "local", "acme/pay"),
        "key": "build",
        "instance": "",
        "name": "build",
        "labels": ("linux",),
        "steps": tuple(e.PlannedStep(i, f"s{i}", f"s{i}") for i in range(steps)),
        "needs": (),
        "plan": "0" * 64,
        "timeout_seconds": 600.0,
        "cancel_timeout_seconds": 300.0,
        "retry": RetryPolicy(),
    }
    return e.JobCreated(**{**facts, **changes})


def queued() -> e.JobQueued:
    """The job as it enters the queue, for a day."""
    return e.JobQueued("default", "default", ("linux",), "", after(86400))


def acquired(epoch: int = 1, runner: UUID = RUNNER) -> e.JobAcquired:
    """Attempt number `epoch`, with a lease of 30 s and an accept window of 120 s."""
    return e.JobAcquired(epoch, epoch, runner, "r1", lease(epoch), after(30), after(120))


def started(epoch: int = 1) -> e.JobStarted:
    """The runner began."""
    return e.JobStarted(epoch, epoch, after(610))


def step_started(index: int, epoch: int = 1) -> e.StepStarted:
    """Step `index` began."""
    return e.StepStarted(epoch, epoch, index, NOW)


def step_completed(index: int, conclusion: str = "success", epoch: int = 1) -> e.StepCompleted:
    """Step `index` ended."""
    return e.StepCompleted(epoch, epoch, index, conclusion, conclusion, 0, "", NOW, NOW)


def lost(epoch: int = 1, retry_at: datetime | None = None) -> e.AttemptLost:
    """The runner of attempt `epoch` vanished."""
    return e.AttemptLost(epoch, epoch, RUNNER, "lease_expired", epoch, NOW, retry_at)


RUNNING = (created(), queued(), acquired(), started())
"""A job in its first attempt, before its first step."""


class Given:
    """given(events).when(command, at=seconds).then(...)."""

    def __init__(self, events: tuple[e.JobEvent, ...]) -> None:
        self.state: JobState | None = None
        meta = Meta(NOW, "default", "someone")
        for event in events:
            self.state = evolve(JOB, self.state, event, meta)

    def when(self, command: Any, at: float = 0) -> "Then":
        """The answer at `at` seconds of the scenario."""
        return Then(decide(self.state, command, after(at)))


class Then:
    """What a command led to."""

    def __init__(self, answer: Decision | Refusal) -> None:
        self.answer = answer

    def then(self, *events: e.JobEvent) -> None:
        """Exactly these events."""
        assert self.answer == Decision(events)

    def then_types(self, *types: type) -> tuple[Any, ...]:
        """Events of exactly these types, returned for a closer look."""
        assert isinstance(self.answer, Decision), self.answer
        assert tuple(type(event) for event in self.answer.events) == types
        return self.answer.events

    def then_nothing(self) -> None:
        """A repeat: no event."""
        assert self.answer == Decision()

    def then_refused(self, code: str) -> Refusal:
        """A refusal with this code."""
        assert isinstance(self.answer, Refusal), self.answer
        assert self.answer.code == code
        return self.answer


def given(*events: e.JobEvent) -> Given:
    """A job with this history."""
    return Given(events)


def deadlines(state: Any) -> list[tuple[datetime, str]]:
    """The clocks that run in a state of a job or a run, by the kind that `Expire` names; "run" for a run."""
    match state:
        case Acquired():
            found = [(state.lease.expires_at, "lease"), (state.accept_by, "accept")]
        case Running():
            limits = [at for at in state.open_steps.values() if at is not None]
            found = [(state.lease.expires_at, "lease"), (state.deadline, "job"), *((at, "step") for at in sorted(limits)[:1])]
        case BackingOff():
            return [(state.retry_at, "retry")]
        case Queued():
            return [(state.expires_at, "queue")]
        case Run(conclusion=None, cancelled=False, held=False, stopped_at=None, expires_at=datetime()):
            return [(state.expires_at, "run")]
        case _:
            return []
    return [*found, *([(state.cancel.deadline, "cancel")] if state.cancel else [])]
