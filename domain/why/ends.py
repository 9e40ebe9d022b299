"""Why a job ended as it did, and which other job that goes back to."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

from msgspec.structs import replace

from domain.envelope import Recorded
from domain.job import events as e
from domain.job.state import Done
from domain.run import events as run_events
from domain.run.state import Node
from domain.why.history import ATTEMPT_ENDS, History, JobHistory, named
from domain.why.reason import About, Reason
from domain.workflow.calls import key_in, prefix_of

CODES_OF_FAILURE = {"step_failed", "setup_failed", "output_too_large", "job_timeout", "step_timeout", "queue_timeout"}
LOST = {
    "lease_expired": "lease_expired",
    "not_started": "accept_window",
    "runner_restarted": "runner_restarted",
    "runner_stopped": "runner_stopped",
}


def job_ended(history: History, job: JobHistory) -> Reason:
    """Why a job that is done ended so."""
    end = job.end
    assert end is not None, "a job that is done has an end"  # noqa: S101 - a fact, not a check
    match end.data:
        case e.JobSucceeded():
            attempt = end.data.attempt
            text = "all steps succeeded" + (f" in attempt {attempt}" if attempt > 1 else "")
            return Reason("succeeded", text, end.meta.at, positions=(end.position,))
        case e.JobSkipped():
            return _skipped(history, job, end)
        case e.JobCancelled():
            return _cancelled(history, job, end)
        case e.JobFailed() | e.JobTimedOut():
            return _failed(history, job, end)
        case _:
            raise AssertionError(f"{end.type} ends no job")


def _skipped(history: History, job: JobHistory, end: Recorded) -> Reason:
    data: e.JobSkipped = end.data
    facts = {"condition": data.condition, "parts": [{"text": part.text, "value": part.value} for part in data.trace]}
    values = named([f"{part.text} is {part.value}" for part in data.trace if part.text != data.condition], 4)
    shown = f"`if: {data.condition}` is false" + (f": {values}" if values else "")
    match data.reason:
        case "cancelled":
            asked = _run_cancellation(history)
            because = () if asked is None else (asked,)
            text = "it was cancelled before it could begin"
            return Reason("skipped_cancelled", text, end.meta.at, positions=(end.position,), because=because)
        case "needs":
            missing = [history.run.nodes[key] for key in _missing(history, job)]
            results = named([f"{node.planned.key} ({node.result})" for node in missing])
            about = tuple(About("node", node.planned.key) for node in missing)
            text = f"needs {results}" if missing else shown
            return Reason("condition_needs", text, end.meta.at, about=about, facts=facts, positions=(end.position,))
        case _ if history.run.matrix and data.condition.startswith("matrix "):
            return Reason("matrix_left_out", f"the run was asked for {data.condition} only", end.meta.at, positions=(end.position,))
        case _:
            return Reason("condition", shown, end.meta.at, facts=facts, positions=(end.position,))


def _missing(history: History, job: JobHistory) -> list[str]:
    """The transitive needs that did not succeed, as the skip recorded them."""
    data = job.end.data if job.end is not None else None
    if not isinstance(data, e.JobSkipped):
        return []
    names = [part.text.removeprefix("needs.").removesuffix(".result") for part in data.trace if part.text.startswith("needs.")]
    keys = [key_in(prefix_of(job.spec.key), name) for name in names]
    return [key for key in dict.fromkeys(keys) if key in history.run.nodes and history.run.nodes[key].result not in ("", "success")]


def _failed(history: History, job: JobHistory, end: Recorded) -> Reason:
    data: e.JobFailed | e.JobTimedOut = end.data
    ended = job.last(*ATTEMPT_ENDS)
    if data.attempt == 0 and isinstance(data, e.JobFailed):
        return _unplanned(history, job, end)
    if data.reason == "queue_timeout" or ended is None:
        text = "no runner took it before the end of the queue's time limit"
        help_ = f"a runner with the labels {', '.join(job.spec.labels)} was missing or busy all the time"
        return Reason("queue_timeout", text, end.meta.at, facts={"labels": list(job.spec.labels)}, positions=(end.position,), help=help_)
    positions = (ended.position, end.position)
    runner = (_runner(job, ended.data.attempt),)
    match ended.data:
        case e.AttemptLost(reason=reason):
            behind = Reason(LOST.get(reason, "lost"), _how_lost(job, ended), ended.meta.at, about=runner, positions=(ended.position,))
            code = "not_started" if reason == "not_started" else "lost"
            text = f"its runner was lost in attempt {ended.data.attempt} ({reason}), and no attempt was left"
            return Reason(code, text, end.meta.at, about=runner, facts=_count(job), positions=positions, because=(behind,))
        case e.AttemptTimedOut(reason="step_timeout"):
            late = [event for event in _steps_of(job, ended) if event.data.deadline is not None and event.data.deadline <= ended.meta.at]
            names = [job.step_name(event.data.index) for event in late] or ["it"]
            text = f"step {named(names)} took longer than its timeout-minutes"
            steps = tuple(About("step", name) for name in names)
            return Reason("step_timeout", text, end.meta.at, about=(*steps, *runner), facts=_count(job), positions=positions)
        case e.AttemptTimedOut():
            seconds = job.spec.timeout_seconds
            open_ = [job.step_name(event.data.index) for event in _steps_of(job, ended)]
            text = f"the job took longer than its {seconds / 60:g} minutes" + (f", in step {named(open_)}" if open_ else "")
            facts = {**_count(job), "timeout_seconds": seconds}
            steps = tuple(About("step", name) for name in open_)
            return Reason("job_timeout", text, end.meta.at, about=(*steps, *runner), facts=facts, positions=positions)
        case e.AttemptFailed():
            return _step_failed(job, ended, end)
        case _:
            raise AssertionError(f"{ended.type} ends no attempt")


def _step_failed(job: JobHistory, ended: Recorded, end: Recorded) -> Reason:
    data: e.AttemptFailed = ended.data
    code = data.reason if data.reason in CODES_OF_FAILURE else "failed"
    bad = [
        event
        for event in job.events
        if isinstance(event.data, e.StepCompleted) and event.data.epoch == data.epoch and event.data.conclusion == "failure"
    ]
    index = data.failed_step if data.failed_step is not None else (bad[0].data.index if bad else None)
    step = next((event for event in bad if event.data.index == index), None)
    facts = _count(job)
    message = data.message or (step.data.message if step is not None else "")
    if index is None:
        text = f"{data.reason}: {message}" if message else data.reason
        return Reason(code, text, end.meta.at, about=(_runner(job, data.attempt),), facts=facts, positions=(ended.position, end.position))
    exit_code = step.data.exit_code if step is not None else None
    facts |= {"step": index, "exit_code": exit_code, "message": message}
    text = f"step {job.step_name(index)} failed"
    text += f" with exit code {exit_code}" if exit_code is not None else ""
    text += f": {message}" if message else ""
    about = (About("step", job.step_name(index)), _runner(job, data.attempt))
    positions = tuple(event.position for event in (step, ended, end) if event is not None)
    return Reason(code, text, end.meta.at, about=about, facts=facts, positions=positions, help=f"ledgermill logs {job.id} --failed")


def _unplanned(history: History, job: JobHistory, end: Recorded) -> Reason:
    said = [event for event in history.events if isinstance(event.data, run_events.NodeFailed) and event.data.job == job.id]
    message = said[-1].data.message if said else "the node could not be planned"
    return Reason("plan_failed", message, end.meta.at, positions=tuple(event.position for event in (*said[-1:], end)))


def _cancelled(history: History, job: JobHistory, end: Recorded) -> Reason:
    """Who wanted its end: a person, the run, a sibling that failed, or another holder of its concurrency group."""
    asked = job.last(e.JobCancellationRequested) or end
    reason: str = asked.data.reason
    facts, positions = {"reason": reason}, tuple(dict.fromkeys((asked.position, end.position)))
    cause = history.cause_of(asked)
    if asked.meta.command is not None:
        text = f"{asked.meta.actor} cancelled it: {reason}"
        return Reason("cancelled_by", text, asked.meta.at, facts={**facts, "actor": asked.meta.actor}, positions=positions)
    match cause.data if cause is not None else None:
        case run_events.RunCancellationRequested():
            behind = _run_cancellation(history)
            because = () if behind is None else (behind,)
            return Reason("run_cancelled", f"the run was cancelled: {reason}", asked.meta.at, positions=positions, because=because)
        case run_events.JobConcluded(job=sibling) if sibling in history.jobs:
            about = (About("job", history.jobs[sibling].spec.name, sibling),)
            return Reason(
                "fail_fast", f"{about[0].name} failed, and fail-fast ended the others", asked.meta.at, about=about, positions=positions
            )
        case run_events.CallConcluded(call=call):
            text = f"{call} failed, and fail-fast ended the others"
            return Reason("fail_fast", text, asked.meta.at, about=(About("node", call),), facts=facts, positions=positions)
        case _:
            return Reason("concurrency_cancelled", reason, asked.meta.at, facts=facts, positions=positions)


def run_cancelled(history: History, event: Recorded) -> Reason:
    """Why a run was cancelled. event: its RunCancellationRequested."""
    data: run_events.RunCancellationRequested = event.data
    facts, positions = {"reason": data.reason}, (event.position,)
    if event.meta.command is not None:
        text = f"{event.meta.actor} cancelled the run: {data.reason}"
        return Reason("cancelled_by", text, event.meta.at, facts={**facts, "actor": event.meta.actor}, positions=positions)
    limits = [
        each.data.expires_at for each in history.attempt_events if isinstance(each.data, run_events.RunPlanned | run_events.RunAdmitted)
    ]
    late = [limit for limit in limits if limit is not None and event.meta.at >= limit]
    code = "run_timeout" if late else "concurrency_cancelled"
    return Reason(code, data.reason, event.meta.at, facts=facts, positions=positions)


def _run_cancellation(history: History) -> Reason | None:
    asked = [event for event in history.attempt_events if isinstance(event.data, run_events.RunCancellationRequested)]
    return run_cancelled(history, asked[0]) if asked else None


def culprits(history: History) -> dict[UUID, tuple[UUID, ...]]:
    """For each job that is done and did not succeed, the jobs that this goes back to: itself, where it is a cause."""
    found: dict[UUID, tuple[UUID, ...]] = {}
    for node in history.run.nodes.values():  # in plan order: needs come first
        for job in _of(history, node):
            found[job.id] = tuple(dict.fromkeys(_culprits(history, job, found)))
    return found


def _of(history: History, node: Node) -> list[JobHistory]:
    """The node's jobs that did not succeed, those last that a sibling's failure ended."""
    jobs = [history.jobs[job] for job in node.jobs if job in history.jobs]
    bad = [job for job in jobs if isinstance(job.state, Done) and job.state.conclusion != "success"]
    return sorted(bad, key=lambda job: job.state.conclusion == "cancelled" if isinstance(job.state, Done) else False)


def _culprits(history: History, job: JobHistory, found: dict[UUID, tuple[UUID, ...]]) -> Iterator[UUID]:
    reason = job_ended(history, job)
    match reason.code:
        case "condition_needs":
            jobs = [each for key in _missing(history, job) for node in history.below(key) for each in _of(history, node)]
            yield from (culprit for each in jobs for culprit in found.get(each.id, (each.id,)))
        case "fail_fast":
            for about in reason.about:
                if about.id is not None:
                    yield from found.get(about.id, (about.id,))
                else:
                    nodes = [inner for node in history.run.nodes_of(about.name) for inner in history.below(node.planned.key)]
                    yield from (each.id for node in nodes for each in _of(history, node) if node.result == "failure")
        case _:
            yield job.id


def _steps_of(job: JobHistory, ended: Recorded) -> list[Recorded]:
    """The steps that were open when an attempt ended."""
    epoch = ended.data.epoch
    done = {each.data.index for each in job.events if isinstance(each.data, e.StepCompleted) and each.data.epoch == epoch}
    begun = [each for each in job.events if isinstance(each.data, e.StepStarted) and each.data.epoch == epoch]
    return [each for each in begun if each.data.index not in done]


def _how_lost(job: JobHistory, ended: Recorded) -> str:
    data: e.AttemptLost = ended.data
    name = _runner(job, data.attempt).name
    match data.reason:
        case "lease_expired":
            beats = [
                event.meta.at
                for event in job.events
                if isinstance(event.data, e.HeartbeatRecorded | e.JobStarted | e.JobAcquired) and event.data.epoch == data.epoch
            ]
            ago = f", last heard of {(ended.meta.at - beats[-1]).total_seconds():.0f} s before" if beats else ""
            return f"the lease of runner {name} ended at {ended.meta.at.isoformat()}{ago}"
        case "not_started":
            return f"runner {name} took it and did not begin in time"
        case "runner_restarted":
            return f"runner {name} restarted and had lost the job"
        case "runner_stopped":
            return f"runner {name} was stopped and gave the job back"
        case _:
            return f"runner {name} was lost: {data.reason}"


def _runner(job: JobHistory, attempt: int) -> About:
    acquired = [event.data for event in job.events if isinstance(event.data, e.JobAcquired) and event.data.attempt == attempt]
    return About("runner", acquired[-1].runner_name, acquired[-1].runner) if acquired else About("runner", "")


def _count(job: JobHistory) -> dict[str, object]:
    policy = job.spec.retry
    attempt = job.state.life.attempt if job.state is not None else 0
    return {"attempt": attempt, "attempts_max": policy.attempts_max, "retries": list(policy.on)}


def retries(job: JobHistory) -> tuple[Reason, ...]:
    """Why there were further attempts, the oldest first: what ended the one before, and until when the pause lasted."""
    found = []
    for event in job.events:
        data: Any = event.data
        if not isinstance(data, ATTEMPT_ENDS) or data.retry_at is None:
            continue
        what, code = _ended(job, event)
        pause = (data.retry_at - event.meta.at).total_seconds()
        text = f"attempt {data.attempt} of at most {job.spec.retry.attempts_max}: {what}; again after {pause:.1f} s"
        facts = {"attempt": data.attempt, "attempts_max": job.spec.retry.attempts_max, "reason": data.reason, "pause_seconds": pause}
        about = (_runner(job, data.attempt),)
        found.append(Reason(code, text, event.meta.at, data.retry_at, about, facts, (event.position,)))
    return tuple(found)


def _ended(job: JobHistory, event: Recorded) -> tuple[str, str]:
    match event.data:
        case e.AttemptLost(reason=reason):
            return _how_lost(job, event), LOST.get(reason, "lost")
        case e.AttemptFailed():
            failed = _step_failed(job, event, event)
            return failed.text, failed.code
        case _:
            return f"it took too long ({event.data.reason})", event.data.reason


def tolerated(reason: Reason) -> Reason:
    """The end of a job whose `continue-on-error` lets its failure pass."""
    return replace(reason, code="tolerated", text=f"continue-on-error lets it pass: {reason.text}", because=(reason,))
