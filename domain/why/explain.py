"""The answers, put together: each job with its reasons, and the run with what it goes back to."""

from uuid import UUID

from msgspec.structs import replace

from domain.envelope import Recorded
from domain.ids import job_id
from domain.job.state import NAMES, Done
from domain.run import events as run_events
from domain.run.state import Node
from domain.why import ends, times
from domain.why.history import History, JobHistory, history
from domain.why.reason import JobWhy, Reason, RunWhy
from domain.why.surroundings import Surroundings
from domain.why.waiting import SHOWN_MAX, job_waits, node_waits, of_job, run_waits

IDLE = ("needs", "step_running", "setting_up", "starting", "finishing", "about_to_be_taken")
"""Reasons that pass by themselves: others come first."""


def why_run(events: list[Recorded], around: Surroundings) -> RunWhy | None:
    """Why a run stands or ended so. events: of the run and its jobs, in position order; None where it does not exist."""
    told = history(events)
    if told is None:
        return None
    run = told.run
    back = ends.culprits(told)
    jobs = [each for node in run.nodes.values() for each in _of_node(told, node, around, back)]
    roots = _roots(told, back)
    marks = frozenset(roots)
    jobs = [_marked(job, marks, back) for job in jobs]
    path = times.critical_path(told)
    over = [event.meta.at for event in told.attempt_events if isinstance(event.data, run_events.RunCompleted)]
    end = over[-1] if over and run.conclusion is not None else around.now
    state = "done" if run.conclusion is not None else "pending" if run.held else "in_progress"
    return RunWhy(
        id=run.run,
        number=run.facts.number,
        workflow=run.facts.workflow_path,
        run_attempt=run.run_attempt,
        state=state,
        position=told.position,
        conclusion=run.conclusion,
        reasons=_unreadable(told) + _run_reasons(told, jobs, roots, around),
        roots=roots,
        jobs=tuple(jobs),
        seconds=max(0.0, (end - told.began_at).total_seconds()),
        critical_path=path,
        spent=times.spent(told, path, around.now),
        unreadable=tuple(told.unreadable),
    )


def why_job(events: list[Recorded], job: UUID, around: Surroundings) -> JobWhy | None:
    """Why one job, or pending node by the id that it would have, stands or ended so. events: of its whole run."""
    told = history(events)
    if told is None:
        return None
    back = ends.culprits(told)
    for node in told.run.nodes.values():
        for each in _of_node(told, node, around, back, job):
            if each.id == job:
                return _marked(each, frozenset(_roots(told, back)), back)
    earlier = told.jobs.get(job)  # of an earlier run attempt
    return None if earlier is None or earlier.state is None else _job(told, earlier, around)


def _of_node(told: History, node: Node, around: Surroundings, back: dict[UUID, tuple[UUID, ...]], only: UUID | None = None) -> list[JobWhy]:
    """The node's jobs, or `only` one of them; a node that is pending stands for itself."""
    if node.calls:
        return []
    known = [told.jobs[job] for job in node.jobs if job in told.jobs and only in (None, job)]
    if known:
        return [_with_roots(told, _job(told, job, around, carried=job.spec.run_attempt != told.run.run_attempt), back) for job in known]
    planned = node.planned
    identity = job_id(told.run.run, told.run.run_attempt, planned.key, "")
    if told.run.conclusion is not None or node.phase != "pending":
        return []
    return [JobWhy(identity, planned.key, planned.name or planned.key, "waiting", reasons=(node_waits(told, node, around),))]


def _job(told: History, job: JobHistory, around: Surroundings, *, carried: bool = False) -> JobWhy:
    state = job.state
    assert state is not None, "a job begins with its creation"  # noqa: S101 - a fact, not a check
    conclusion = None
    if isinstance(state, Done):
        reason, conclusion = ends.job_ended(told, job), state.conclusion
        if carried:
            text = f"taken over from run attempt {job.spec.run_attempt}: {reason.text}"
            reason = Reason("carried", text, reason.since, because=(reason,))
        elif job.spec.continue_on_error and state.conclusion == "failure":
            reason = ends.tolerated(reason)
    else:
        reason = job_waits(told, job, around)
    return JobWhy(
        id=job.id,
        key=job.spec.key,
        name=job.spec.name,
        state=NAMES[type(state)],
        conclusion=conclusion,
        reasons=(reason,),
        retries=ends.retries(job),
        spans=times.spans(told, job, around.now),
        steps=times.steps(job, around.now),
    )


def _with_roots(told: History, job: JobWhy, back: dict[UUID, tuple[UUID, ...]]) -> JobWhy:
    """Behind the reason of a consequence stand those of the jobs that it goes back to."""
    others = [told.jobs[each] for each in back.get(job.id, ()) if each != job.id and each in told.jobs]
    if not others or job.reasons[0].because:
        return job
    because = tuple(of_job(each, ends.job_ended(told, each)) for each in others[:SHOWN_MAX])
    return replace(job, reasons=(replace(job.reasons[0], because=because),))


def _marked(job: JobWhy, roots: frozenset[UUID], back: dict[UUID, tuple[UUID, ...]]) -> JobWhy:
    others = [each for each in back.get(job.id, ()) if each != job.id]
    return replace(job, root=job.id in roots, knock_on=bool(others))


def _roots(told: History, back: dict[UUID, tuple[UUID, ...]]) -> tuple[UUID, ...]:
    """The jobs that the run's end goes back to: those that spoilt it themselves, in plan order."""
    if told.run.conclusion not in ("failure", "cancelled"):
        return ()
    bad = [job for node in told.run.nodes.values() for job, result in node.jobs.items() if result in ("failure", "cancelled")]
    found = dict.fromkeys(culprit for job in bad for culprit in back.get(job, ()))
    failed = [job for job in found if _conclusion(told, job) in ("failure", "timed_out")]
    return tuple(failed) if told.run.conclusion == "failure" else tuple(found)


def _conclusion(told: History, job: UUID) -> str:
    state = told.jobs[job].state
    return state.conclusion if isinstance(state, Done) else ""


def _run_reasons(told: History, jobs: list[JobWhy], roots: tuple[UUID, ...], around: Surroundings) -> tuple[Reason, ...]:
    run = told.run
    if run.conclusion is None:
        if run.held:
            return (run_waits(told, around),)
        live = [(job, job.reasons[0]) for job in jobs if job.state != "done" and job.reasons[0].code != "needs"]
        shown = [of_job(told.jobs[job.id], reason) if job.id in told.jobs else reason for job, reason in live]
        return tuple(sorted(shown, key=lambda reason: reason.code in IDLE)[:SHOWN_MAX])
    asked = [event for event in told.attempt_events if isinstance(event.data, run_events.RunCancellationRequested)]
    if run.conclusion == "cancelled" and asked:
        return (ends.run_cancelled(told, asked[0]),)
    reasons = [of_job(told.jobs[job], ends.job_ended(told, told.jobs[job])) for job in roots]
    calls = [event for event in told.attempt_events if isinstance(event.data, run_events.CallConcluded) and event.data.message]
    reasons += [Reason("outputs_failed", event.data.message, event.meta.at, positions=(event.position,)) for event in calls]
    if reasons:
        return tuple(reasons[:SHOWN_MAX])
    skipped = [job for job in jobs if job.conclusion == "skipped"]
    if run.conclusion == "skipped" and skipped:
        return tuple(of_job(told.jobs[job.id], job.reasons[0]) for job in skipped[:SHOWN_MAX])
    text = f"all {len(jobs)} jobs are done" + (f", {len(skipped)} of them skipped" if skipped else "")
    return (Reason("succeeded", text, positions=(told.position,)),)


def _unreadable(told: History) -> tuple[Reason, ...]:
    if not told.unreadable:
        return ()
    text = f"the event at position {told.unreadable[0]} cannot be read by this version; what follows in its stream is not told here"
    return (Reason("unreadable", text, positions=tuple(told.unreadable)),)
