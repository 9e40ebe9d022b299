"""The shapes of an answer. Scripts and dashboards read them: fields may be added, none is renamed or removed."""

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec


class About(msgspec.Struct, frozen=True, omit_defaults=True):
    """Something that a reason names. kind: "run", "job", "node", "runner", "group", "step" or "workflow"; name: as people know it.

    id: of its stream; None for a node of the plan that is no job yet, for a step and for a file. number: a run's.
    """

    kind: str
    name: str
    id: UUID | None = None
    number: int | None = None


class Reason(msgspec.Struct, frozen=True, omit_defaults=True):
    """One reason. code: from CODES; text: the same for people, in one line.

    since, until: when it began, and when it ends by itself at the latest. about: what stands in the way or did it. facts:
    the inputs of the decision, by code. positions: of the events that say so. help: what would change it. because: the
    reasons behind this one, the most telling first.
    """

    code: str
    text: str
    since: datetime | None = None
    until: datetime | None = None
    about: tuple[About, ...] = ()
    facts: dict[str, Any] = {}
    positions: tuple[int, ...] = ()
    help: str = ""
    because: tuple["Reason", ...] = ()


class Span(msgspec.Struct, frozen=True, omit_defaults=True):
    """A stretch of a job's life. cause: what it went into, see SPANS; name: of the step, the group, the need or the runner.

    seconds: how long; ended_at: None while it lasts, then seconds counts up to now. attempt: 0 before the first.
    """

    cause: str
    seconds: float
    started_at: datetime
    ended_at: datetime | None = None
    name: str = ""
    attempt: int = 0


class JobWhy(msgspec.Struct, frozen=True, omit_defaults=True):
    """A job, or a node of the plan that is no job yet, and its reasons.

    state: "waiting", "queued", "acquired", "running", "backing_off" or "done". reasons: why it is so, the top reason first.
    retries: why there was another attempt, the oldest first. spans: where its time went, one after the other without a gap,
    from the beginning of its run attempt; steps: those of its attempts, which may lie side by side. root: it is a cause of
    the run's end; knock_on: it is a consequence of another's.
    """

    id: UUID
    key: str
    name: str
    state: str
    conclusion: str | None = None
    reasons: tuple[Reason, ...] = ()
    retries: tuple[Reason, ...] = ()
    spans: tuple[Span, ...] = ()
    steps: tuple[Span, ...] = ()
    root: bool = False
    knock_on: bool = False


class Spent(msgspec.Struct, frozen=True):
    """How much of a run's critical path went into one cause, see SPANS."""

    cause: str
    seconds: float


class RunWhy(msgspec.Struct, frozen=True, omit_defaults=True):
    """A run in its last run attempt, and why it stands or ended so.

    state: "pending" (held back), "in_progress" or "done". position: of the last event that counts. reasons: the top reason
    first; of a run that did not succeed, the root causes. roots: the jobs to look at, by id. jobs: each node of the plan, in
    its order. critical_path: the ids of the jobs that nothing could have begun earlier than, the first first; spent: where
    its time went, the most first. unreadable: positions of events that this version cannot read.
    """

    id: UUID
    number: int
    workflow: str
    run_attempt: int
    state: str
    position: int
    conclusion: str | None = None
    reasons: tuple[Reason, ...] = ()
    roots: tuple[UUID, ...] = ()
    jobs: tuple[JobWhy, ...] = ()
    seconds: float = 0
    critical_path: tuple[UUID, ...] = ()
    spent: tuple[Spent, ...] = ()
    unreadable: tuple[int, ...] = ()


class DeliveryWhy(msgspec.Struct, frozen=True, omit_defaults=True):
    """A webhook delivery, and what it came to. key: the forge's own id of it; event: as the forge names it.

    status: "received", "deferred", "ignored", "answered" or "failed". position: of the last event that counts. runs: that it
    started. reasons: for each workflow that it did not start, which filter kept it away; else why it started nothing (yet).
    """

    id: UUID
    provider: str
    event: str
    key: str
    repository: str
    status: str
    position: int
    received_at: datetime
    runs: tuple[About, ...] = ()
    reasons: tuple[Reason, ...] = ()


CODES: dict[str, str] = {
    # why something is not further
    "no_runner": "No runner is registered",
    "no_runner_with_labels": "Runners are registered; none has all of the job's labels",
    "runner_group": "Runners with the labels are there; their group does not serve the repository",
    "runners_offline": "All runners with the labels are offline",
    "runners_paused": "Runners with the labels are there; somebody paused them",
    "runners_draining": "Runners with the labels are there; they finish what they have and take nothing new",
    "runners_busy": "All matching runners work on other jobs",
    "others_first": "A slot is free, and others in line are served before this job",
    "about_to_be_taken": "A matching runner is free and it is this job's turn",
    "needs": "Jobs that this one needs are not done",
    "run_concurrency": "The run waits for its concurrency group",
    "job_concurrency": "The job waits for its concurrency group",
    "call_concurrency": "The call of a workflow that the job is part of waits for a concurrency group",
    "max_parallel": "As many jobs of the matrix are under way as `max-parallel` allows",
    "calls_max_parallel": "As many calls of the matrix are under way as `max-parallel` allows",
    "backoff": "The last attempt ended; the next one waits for its time",
    "starting": "A runner holds the job and has not begun yet",
    "setting_up": "The runner began and no step has",
    "step_running": "A step runs",
    "finishing": "The last step ended; the runner has not reported the end of the job",
    "cancelling": "The runner was asked to cancel the job and has not answered",
    "unreadable": "An event of the stream cannot be read by this version; another one wrote it, or it is damaged",
    # why something was skipped
    "condition": "The `if:` is false",
    "condition_needs": "A job before it did not succeed, and the `if:` asks for that",
    "matrix_left_out": "The run was asked for other combinations of the matrix",
    "skipped_cancelled": "The run, or the call that it is part of, was cancelled before it could begin",
    # why something failed
    "step_failed": "A step failed",
    "setup_failed": "The runner could not set the job up",
    "output_too_large": "The job's outputs are larger than allowed",
    "plan_failed": "The node could not be planned: its matrix, name or labels say something impossible",
    "outputs_failed": "The outputs of a call of a workflow could not be told",
    "lost": "The runner was lost, and no attempt was left",
    "not_started": "Runners took the job and never began, too often in a row",
    "job_timeout": "The job took longer than its `timeout-minutes`",
    "step_timeout": "A step took longer than its `timeout-minutes`",
    "queue_timeout": "No runner took the job in time",
    "failed": "The attempt failed for another reason",
    # why something was cancelled
    "cancelled_by": "Somebody asked for its end",
    "run_cancelled": "The run was cancelled",
    "run_timeout": "The run took longer than a run may take",
    "fail_fast": "Another job or call of the matrix failed, and `fail-fast` ended the others",
    "concurrency_cancelled": "Another run, job or call of the concurrency group took its place",
    # why there was another attempt
    "lease_expired": "The runner's lease ended without a heartbeat",
    "runner_restarted": "The runner restarted and had lost the job",
    "runner_stopped": "The runner was stopped and gave the job back",
    "accept_window": "The runner took the job and did not begin in time",
    # why an event started nothing
    "not_triggered": "The event does not start the workflow; `filter` in the facts says what kept it away",
    "ignored": "The delivery can start nothing here",
    "deferred": "The forge could not be asked; the delivery is tried again",
    "given_up": "The forge could not be asked for a day; the delivery was given up",
    "not_answered": "The delivery is stored, and its answer is under way",
    # ends that need no explanation
    "succeeded": "Everything went well",
    "tolerated": "It did not succeed, and `continue-on-error` lets that pass",
    "carried": "A re-run took it over with its result from an earlier run attempt",
}
"""Every code of a reason, and what it means. A code is never renamed."""

FILTERS: dict[str, str] = {
    "on": "the workflow does not listen to the event",
    "deleted": "the push deletes its branch or tag",
    "skip": "the head commit asks for no run: `[skip ci]` and its like",
    "types": "another activity than those of `types`, or of GitHub's default",
    "branches": "no pattern of `branches` chooses the branch, or only branches are listened to",
    "branches-ignore": "`branches-ignore` chooses the branch",
    "tags": "no pattern of `tags` chooses the tag, or only tags are listened to",
    "tags-ignore": "`tags-ignore` chooses the tag",
    "workflows": "`workflows` does not name the workflow of the run",
    "paths": "no pattern of `paths` chooses a changed file",
    "paths-ignore": "`paths-ignore` chooses all changed files",
    "pattern": "a pattern of a filter says nothing",
    "disabled": "somebody disabled the workflow",
    "invalid": "the file is broken at the event's commit",
    "commit": "the commit of the event is not there any more",
}
"""What keeps an event from starting a workflow: `filter` of `not_triggered` in `plan --json` and `POST /api/v1/runs`.

The last three are found out about webhook deliveries only.
"""

SPANS: dict[str, str] = {
    "run_concurrency": "the run waited for its concurrency group",
    "needs": "waiting for jobs that it needs",
    "call_concurrency": "waiting for a concurrency group of the call that it is part of",
    "max_parallel": "waiting for others of its matrix",
    "job_concurrency": "waiting for its concurrency group",
    "queue": "waiting for a runner",
    "acquiring": "from the acquisition to the runner's start",
    "setup": "from the runner's start to the first step",
    "steps": "from the first step's beginning to the last one's end",
    "finishing": "from the last step's end to the end of the attempt",
    "backoff": "the pause before another attempt",
}
"""What a span's time went into."""
