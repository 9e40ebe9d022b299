"""Where the time went: each job's life cut into spans without a gap, and the jobs that made the run as long as it was.

Instants are the store's. Only where a job's steps begin and end is told by the runner's clock, which is aligned with the
store's; it is kept within what the store saw of the attempt.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from uuid import UUID

from msgspec.structs import replace

from domain.envelope import Recorded
from domain.job import events as e
from domain.run import events as run_events
from domain.why.history import ATTEMPT_ENDS, JOB_ENDS, History, JobHistory
from domain.why.reason import Span, Spent
from domain.workflow.calls import caller_of, prefix_of

ENDS = (*ATTEMPT_ENDS, *JOB_ENDS)
TURNS = frozenset({e.JobQueued, e.JobRetried, e.JobAcquired, e.JobStarted, *ATTEMPT_ENDS})
"""The events of a job at which its time begins to go into something else."""
Cut = tuple[datetime, str, str, int]
"""(from then on, cause, name, attempt)."""


def spans(history: History, job: JobHistory, now: datetime) -> tuple[Span, ...]:
    """The job's life from the beginning of its run attempt, one span after the other."""
    return _spans(list(_cuts(history, job)), _over(job), now)


def steps(job: JobHistory, now: datetime) -> tuple[Span, ...]:
    """The steps of all attempts that began, in the order in which they did."""
    begun: dict[tuple[int, int], Span] = {}
    for event in job.events:
        data = event.data
        if isinstance(data, e.StepStarted):
            key = data.epoch, data.index
            begun[key] = Span("steps", _seconds(data.started_at, now), data.started_at, None, job.step_name(data.index), data.attempt)
        elif isinstance(data, e.StepCompleted) and (data.epoch, data.index) in begun:
            started = begun[data.epoch, data.index].started_at
            ended = replace(begun[data.epoch, data.index], ended_at=data.ended_at, seconds=_seconds(started, data.ended_at))
            begun[data.epoch, data.index] = ended
        elif isinstance(data, ENDS):
            open_ = [key for key, span in begun.items() if span.ended_at is None]
            for key in open_:
                begun[key] = replace(begun[key], ended_at=event.meta.at, seconds=_seconds(begun[key].started_at, event.meta.at))
    return tuple(begun.values())


def critical_path(history: History) -> tuple[UUID, ...]:
    """From the job that ended last back over those whose end it waited for, the first one first."""
    ended = {job.id: at for job in history.jobs.values() if (at := _over(job)) is not None}
    in_attempt = [job for node in history.run.nodes.values() for job in node.jobs if job in history.jobs]
    fresh = {job: None for job in in_attempt if history.jobs[job].spec.run_attempt == history.run.run_attempt}
    candidates = [job for job in fresh if job not in ended] or list(fresh)
    path: list[UUID] = []
    while candidates:
        latest = max(candidates, key=lambda job: (ended.get(job, datetime.max.replace(tzinfo=UTC)), history.jobs[job].ran, job))
        path.append(latest)
        keys = history.preceding(history.jobs[latest].spec.key)
        candidates = [job for key in keys for node in history.below(key) for job in node.jobs if job in fresh and job in ended]
    return tuple(reversed(path))


def spent(history: History, path: tuple[UUID, ...], now: datetime) -> tuple[Spent, ...]:
    """How much of the critical path went into each cause, the most first. What a job waited for its needs counts as theirs."""
    total: dict[str, float] = {}
    reached = history.began_at
    for job in path:
        for span in spans(history, history.jobs[job], now):
            end = span.ended_at or now
            if end > reached:
                total[span.cause] = total.get(span.cause, 0) + _seconds(max(span.started_at, reached), end)
                reached = end
    return tuple(Spent(cause, round(seconds, 6)) for cause, seconds in sorted(total.items(), key=lambda item: -item[1]))


def _spans(cuts: list[Cut], over: datetime | None, now: datetime) -> tuple[Span, ...]:
    """Spans between cuts, those without length left out; instants that run backwards are held."""
    found: list[Span] = []
    reached = cuts[0][0]
    for number, (at, cause, name, attempt) in enumerate(cuts):
        last = number == len(cuts) - 1
        end = over if last else cuts[number + 1][0]
        begin = reached = max(reached, at)
        if end is None:
            found.append(Span(cause, _seconds(begin, now), begin, None, name, attempt))
        elif end > begin:
            end = min(end, over) if over is not None else end
            found.append(Span(cause, _seconds(begin, end), begin, end, name, attempt))
    return tuple(found)


def _cuts(history: History, job: JobHistory) -> Iterator[Cut]:
    """Where the job's life changes: before it was made, while the run held it back, and each attempt."""
    created = job.events[0].meta.at
    began = history.began_at if job.spec.run_attempt == history.run.run_attempt else created
    yield from _before(history, job, min(began, created), created)
    for event in history.holds.get(job.id, ()):
        held: run_events.JobHeld = event.data
        if held.reason != "backoff":
            yield event.meta.at, "max_parallel" if held.reason == "max_parallel" else "job_concurrency", held.name, 0
    yield from _attempts(job)


def _before(history: History, job: JobHistory, began: datetime, created: datetime) -> Iterator[Cut]:
    """From the beginning of the run attempt to the job's own: the run's group, the needs, the groups of calls."""
    yield began, "needs", _latest_need(history, job), 0
    if job.spec.run_attempt != history.run.run_attempt:
        return
    prefixes = _prefixes(job.spec.key)
    for event in history.gates:
        if event.meta.at > created:
            return
        match event.data:
            case run_events.RunHeld():
                yield event.meta.at, "run_concurrency", event.data.name, 0
            case run_events.NodeCalled(calls=calls) if len(calls) > 1 and event.data.max_parallel:
                if any(call.prefix in prefixes for call in calls) and not _first(event.data, prefixes):
                    yield event.meta.at, "max_parallel", event.data.node, 0
            case run_events.CallHeld(call=call) if call in prefixes:
                yield event.meta.at, "call_concurrency", event.data.name, 0
            case run_events.RunAdmitted():
                yield event.meta.at, "needs", _latest_need(history, job), 0
            case run_events.CallAdmitted(call=call) if call in prefixes:
                yield event.meta.at, "needs", _latest_need(history, job), 0
            case _:
                pass


def _first(called: run_events.NodeCalled, prefixes: list[str]) -> bool:
    """Whether the call may begin at once."""
    return any(call.prefix in prefixes for call in called.calls[: called.max_parallel])


def _latest_need(history: History, job: JobHistory) -> str:
    """The node that ended last of those that had to be done before; the same for all jobs of a node."""
    key = job.spec.key
    if key not in history.latest_needs:
        history.latest_needs[key] = _last_of(history, history.preceding(key))
    return history.latest_needs[key]


def _last_of(history: History, nodes: tuple[str, ...]) -> str:
    ends = {
        key: max(
            (at for node in history.below(key) for each in node.jobs if (at := _over(history.jobs.get(each))) is not None), default=None
        )
        for key in nodes
        if key in history.run.nodes
    }
    known = {key: at for key, at in ends.items() if at is not None}
    return max(known, key=lambda key: known[key]) if known else ""


def _prefixes(key: str) -> list[str]:
    found = []
    while prefix := prefix_of(key):
        found.append(prefix)
        key = caller_of(prefix)
    return found


def _attempts(job: JobHistory) -> Iterator[Cut]:
    labels = ", ".join(job.spec.labels)
    for event in job.events:
        if type(event.data) not in TURNS:
            continue
        match event.data:
            case e.JobQueued() | e.JobRetried():
                yield event.meta.at, "queue", labels, 0
            case e.JobAcquired(attempt=attempt, runner_name=runner):
                yield event.meta.at, "acquiring", runner, attempt
            case e.JobStarted(attempt=attempt, epoch=epoch):
                yield event.meta.at, "setup", "", attempt
                yield from _stepping(job, event, attempt, epoch)
            case e.AttemptLost(attempt=attempt) | e.AttemptFailed(attempt=attempt) | e.AttemptTimedOut(attempt=attempt):
                yield event.meta.at, "backoff", "", attempt
            case _:
                pass


def _stepping(job: JobHistory, started: Recorded, attempt: int, epoch: int) -> Iterator[Cut]:
    """From the first step's beginning to the last one's end, within what the store saw of the attempt."""
    begun: list[datetime] = []
    ended: list[datetime] = []
    ends: list[datetime] = []
    for event in job.events:
        data = event.data
        if isinstance(data, e.StepStarted):
            if data.epoch == epoch:
                begun.append(data.started_at)
        elif isinstance(data, e.StepCompleted):
            if data.epoch == epoch:
                ended.append(data.ended_at)
        elif isinstance(data, ENDS) and getattr(data, "epoch", 0) == epoch:
            ends.append(event.meta.at)
    if not begun:
        return
    low, high = started.meta.at, ends[0] if ends else None

    def within(at: datetime) -> datetime:
        return max(low, at if high is None else min(at, high))

    yield within(min(begun)), "steps", "", attempt
    if len(ended) == len(begun) and (high is not None or len(ended) >= len(job.spec.steps)):
        yield within(max(ended)), "finishing", "", attempt


def _over(job: JobHistory | None) -> datetime | None:
    end = job.end if job is not None else None
    return end.meta.at if end is not None else None


def _seconds(begin: datetime, end: datetime) -> float:
    return max(0.0, (end - begin).total_seconds())
