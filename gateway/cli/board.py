"""What is known of the runs that a verb follows: a fold over their events and log lines, for the drawers to look at.

It decides nothing and asks nothing: every value comes from an event or a log record of the streams.
"""

import re
from collections import deque
from typing import Any

import msgspec

Json = dict[str, Any]

MATRIX_VALUE = re.compile(r"\$\{\{\s*matrix\.([\w-]+)\s*\}\}")

MARKERS = {
    "##[group]": "",
    "[command]": "$ ",
    "##[error]": "error: ",
    "##[warning]": "warning: ",
    "##[notice]": "notice: ",
    "##[debug]": "debug: ",
}
"""The runner's markers at the start of a line, and what stands for them in a live display."""

TAIL_LINES = 24
"""Lines kept of each step, so that a failure can be shown with its last words."""

LOST = ("lease_expired", "not_started", "runner_restarted", "setup_failed", "queue_timeout")
"""Reasons that lie in the infrastructure, not in the job."""


Places = dict[tuple[str, str, int], str]
"""`file:line` of a step: by the run's path, the job's key (of a call without its number) and the index of the step."""

CALL_NUMBER = re.compile(r"\.\d+(?=/)")


class StepView(msgspec.Struct):
    """A step as it stands. state: a conclusion, "in_progress" or "queued"; tail: its last lines.

    preamble: its script is being shown. background: its lines come among those of other steps.
    """

    index: int
    name: str
    state: str = "queued"
    exit_code: int | None = None
    message: str = ""
    started_at: str | None = None
    ended_at: str | None = None
    preamble: bool = False
    background: bool = False
    tail: deque[str] = msgspec.field(default_factory=lambda: deque(maxlen=TAIL_LINES))


class JobView(msgspec.Struct):
    """A job as it stands. state: a conclusion, "queued" or "in_progress"; label: its name among all followed jobs."""

    id: str
    run: str
    key: str
    name: str
    label: str
    steps: dict[int, StepView]
    state: str = "queued"
    attempt: int = 0
    runner: str = ""
    reason: str = ""
    message: str = ""
    needs: tuple[str, ...] = ()
    may_fail: bool = False
    failed_step: int | None = None
    started_at: str | None = None
    ended_at: str | None = None

    def step(self, index: int) -> StepView:
        """The step with this index; -1 is setting up."""
        return self.steps.setdefault(index, StepView(index, "Set up job" if index < 0 else f"step {index + 1}"))


class RunView(msgspec.Struct):
    """A run as it stands in its last run attempt. events: how many were seen; nodes: the jobs of the file in order."""

    id: str
    workflow: str
    path: str
    number: int
    url: str
    conclusion: str | None = None
    run_attempt: int = 1
    events: int = 0
    nodes: tuple[str, ...] = ()
    started_at: str | None = None
    ended_at: str | None = None
    jobs: list[JobView] = []

    @property
    def title(self) -> str:
        """The file's name."""
        return self.path.rpartition("/")[2]


class Board:
    """All followed runs."""

    def __init__(self, runs: list[Json], places: Places | None = None) -> None:
        self.places = places or {}
        self.runs: dict[str, RunView] = {}
        self.jobs: dict[str, JobView] = {}
        self._several = len(runs) > 1
        self.add(runs)

    def add(self, runs: list[Json]) -> None:
        """More runs to look at, as the API names them."""
        self._several = self._several or bool(self.runs)
        for run in runs:
            path = str(run.get("workflow_path") or run["workflow"])
            identity = str(run.get("id") or run["run_id"])
            self.runs[identity] = RunView(identity, str(run["workflow"]), path, int(run["number"]), str(run.get("url") or ""), jobs=[])

    def apply(self, run_id: str, event: Json) -> JobView | None:
        """Take in an event; returns the job that it is about."""
        run = self.runs[run_id]
        run.events += 1
        data: Json = event["data"]
        kind, stream = event["type"], str(event["stream"])
        match kind:
            case "RunTriggered":
                run.started_at = event["at"]
            case "RunPlanned":
                run.nodes = tuple(node["key"] for node in data["nodes"])
            case "NodeCalled":
                called = tuple(node["key"] for call in data["calls"] for node in call["nodes"])
                run.nodes = tuple(key for node in run.nodes for key in ((node,) if node != data["node"] else called))
            case "RunRerunRequested":
                carried = set(data.get("carried", ()))
                run.jobs = [job for job in run.jobs if job.id in carried]
                run.run_attempt, run.started_at, run.ended_at, run.conclusion = data["run_attempt"], event["at"], None, None
            case "RunCompleted":
                run.conclusion, run.ended_at = data["conclusion"], event["at"]
            case "JobCreated":
                return self._create(run, stream, data)
            case _:
                job = self.jobs.get(stream)
                if job is not None:
                    _evolve(job, kind, data, event["at"])
                return job
        return None

    def line(self, job_id: str, record: Json) -> tuple[JobView, str | None]:
        """Take in a log line; returns its job and the text worth showing live, None for the runner's own markers.

        What a step is about to run stands in a group at its beginning. Its name says so already, so live displays leave
        the group out; stored logs have it.
        """
        job = self.jobs[job_id]
        step, text = job.step(int(record["step"])), str(record["text"])
        if text.startswith("##[group]Run ") and not step.tail:
            step.preamble = True
        if step.preamble:
            step.preamble = not text.startswith("##[endgroup]")
            return job, None
        shown = _readable(text)
        if shown is not None:
            step.tail.append(shown)
        return job, shown

    def _create(self, run: RunView, stream: str, data: Json) -> JobView:
        matrix = data.get("matrix") or {}
        steps = {
            step["index"]: StepView(step["index"], _named(step["name"], matrix), background=bool(step.get("background")))
            for step in data["steps"]
        }
        label = f"{run.title.rpartition('.')[0]}/{data['name']}" if self._several else data["name"]
        job = JobView(stream, run.id, data["key"], data["name"], label, steps, needs=tuple(data.get("needs", ())))
        job.may_fail = bool(data.get("continue_on_error"))
        self.jobs[stream] = job
        run.jobs.append(job)
        return job


def _readable(text: str) -> str | None:
    if text.startswith("##[endgroup]"):
        return None
    for marker, sign in MARKERS.items():
        if text.startswith(marker):
            return sign + text[len(marker) :]
    return text


def _named(name: str, matrix: Json) -> str:
    """A step's name as planned, with the values of the job's matrix put in."""
    return MATRIX_VALUE.sub(lambda found: str(matrix.get(found[1], found[0])), name)


def _evolve(job: JobView, kind: str, data: Json, at: str) -> None:
    match kind:
        case "JobAcquired":
            job.attempt, job.runner = data["attempt"], data["runner_name"]
            for step in job.steps.values():
                step.state, step.exit_code, step.started_at, step.ended_at = "queued", None, None, None
                step.tail.clear()
        case "JobStarted":
            job.state, job.started_at = "in_progress", job.started_at or at
        case "StepStarted":
            step = job.step(data["index"])
            step.state, step.started_at = "in_progress", data["started_at"]
        case "StepCompleted":
            step = job.step(data["index"])
            step.state, step.exit_code, step.message = data["conclusion"], data.get("exit_code"), data.get("message", "")
            step.started_at, step.ended_at = data["started_at"], data["ended_at"]
        case "AttemptFailed" | "AttemptLost" | "AttemptTimedOut":
            job.reason, job.message = data["reason"], data.get("message", "")
            job.failed_step = data.get("failed_step")
        case "JobRetried":
            job.state = "queued"
        case "JobSucceeded":
            _end(job, "success", "", at)
        case "JobFailed":
            _end(job, "failure", data["reason"], at)
        case "JobTimedOut":
            _end(job, "timed_out", data["reason"], at)
        case "JobSkipped":
            _end(job, "skipped", data["reason"], at)
        case "JobCancelled":
            _end(job, "cancelled", data["reason"], at)
        case _:
            pass


def _end(job: JobView, state: str, reason: str, at: str) -> None:
    job.state, job.reason, job.ended_at = state, reason, at


def is_infrastructure(job: JobView) -> bool:
    """Whether the job failed for a reason that is not its own."""
    return job.state in ("failure", "timed_out") and job.reason in LOST
