"""Why a job, a node of the plan or a run is not further than it is."""

from datetime import datetime
from uuid import UUID

import msgspec
from msgspec.structs import replace

from domain.ids import call_id
from domain.job import events as job_events
from domain.job.state import Acquired, BackingOff, Queued, Running, Waiting
from domain.run import events as run_events
from domain.run.state import CallState, Node
from domain.why.history import History, JobHistory, named
from domain.why.reason import About, Reason
from domain.why.runners import no_runner
from domain.why.surroundings import Surroundings
from domain.workflow.calls import caller_of, prefix_of

SHOWN_MAX = 10


def job_waits(history: History, job: JobHistory, around: Surroundings) -> Reason:
    """Why a job that is not done is not further. job.state: anything but Done."""
    state, last = job.state, job.events[-1]
    match state:
        case Waiting():
            return _held(history, job, around)
        case Queued():
            since = job.last(job_events.JobQueued, job_events.JobRetried) or last
            ahead, drain = around.ahead.get(job.id, 0), around.drain_seconds.get(job.id)
            reason = no_runner(state.life.spec.labels, state.life.fair_key, around.runners, ahead, drain)
            return _at(reason, since.meta.at, state.expires_at, since.position)
        case BackingOff():
            return _backoff(job, state)
        case Acquired() | Running():
            return _in_progress(job, state)
        case _:
            raise AssertionError(f"job {job.id} is done or was never created")


def _at(reason: Reason, since: datetime, until: datetime | None, *positions: int) -> Reason:
    return replace(reason, since=since, until=until, positions=(*positions, *reason.positions))


def _held(history: History, job: JobHistory, around: Surroundings) -> Reason:
    """The run holds the job back: `max-parallel` or its concurrency group."""
    node = history.run.nodes[job.spec.key]
    held = node.held.get(job.id)
    said = history.holds.get(job.id)
    since, position = (said[-1].meta.at, said[-1].position) if said else (job.events[0].meta.at, job.events[0].position)
    if held is not None and held.reason == "concurrency" and held.group is not None:
        return _group(history, around, _Hold("job_concurrency", held.group, held.name, job.id, since, position))
    under_way = [
        each for each, result in node.jobs.items() if not result and (each not in node.held or node.held[each].reason == "backoff")
    ]
    limit = held.limit if held is not None else 0
    about = tuple(About("job", history.jobs[each].spec.name, each) for each in under_way if each in history.jobs)
    text = f"waiting for others of its matrix: max-parallel is {limit}"
    return Reason("max_parallel", text, since, about=about, facts={"limit": limit, "under_way": len(under_way)}, positions=(position,))


class _Hold(msgspec.Struct, frozen=True):
    """What waits for a group: `me`, since the event at this position."""

    code: str
    group: UUID
    name: str
    me: UUID
    since: datetime
    position: int


def _group(history: History, around: Surroundings, hold: _Hold) -> Reason:
    code, group, name, me, since, position = msgspec.structs.astuple(hold)
    holder = around.groups.get(group)
    facts: dict[str, object] = {"group": name}
    if holder is None:
        return Reason(code, f"waiting for concurrency group {name}", since, facts=facts, positions=(position,))
    ahead = holder.pending.index(me) if me in holder.pending else 0
    who = "another part of this run" if holder.run == history.run.run else f"run {holder.number} of {holder.workflow_path}"
    text = f"waiting for concurrency group {name} held by {who}" + (f", {ahead} wait longer" if ahead else "")
    about = [About("group", name, group), About("run", holder.workflow_path, holder.run, holder.number)]
    about += [About("job", holder.node, holder.job)] if holder.job is not None else []
    facts |= {"held_since": holder.since, "ahead": ahead}
    help_ = f"wait for its end, or cancel it: ledgermill cancel {holder.run}"
    return Reason(code, text, since, about=tuple(about), facts=facts, positions=(position,), help=help_)


def _backoff(job: JobHistory, state: BackingOff) -> Reason:
    policy, life = state.life.spec.retry, state.life
    ended = job.last(job_events.AttemptLost, job_events.AttemptFailed, job_events.AttemptTimedOut) or job.events[-1]
    text = f"attempt {life.attempt} ended ({ended.data.reason}); attempt {life.attempt + 1} begins at {state.retry_at.isoformat()}"
    facts = {"attempt": life.attempt, "counted": life.counted, "attempts_max": policy.attempts_max}
    return Reason("backoff", text, ended.meta.at, state.retry_at, facts=facts, positions=(ended.position,))


def _in_progress(job: JobHistory, state: Acquired | Running) -> Reason:
    acquired = job.last(job_events.JobAcquired) or job.events[-1]
    runner = About("runner", acquired.data.runner_name, state.lease.runner)
    if state.cancel is not None:
        asked = job.last(job_events.JobCancellationRequested) or acquired
        text = f"runner {runner.name} was asked to cancel it ({state.cancel.reason}) and has until {state.cancel.deadline.isoformat()}"
        facts = {"reason": state.cancel.reason}
        return Reason("cancelling", text, asked.meta.at, state.cancel.deadline, (runner,), facts, (asked.position,))
    if isinstance(state, Acquired):
        text = f"runner {runner.name} took it and has not begun; it has until {state.accept_by.isoformat()}"
        return Reason("starting", text, acquired.meta.at, state.accept_by, (runner,), positions=(acquired.position,))
    begun = [event for event in job.events if isinstance(event.data, job_events.StepStarted) and event.data.epoch == state.lease.epoch]
    running = [event for event in begun if event.data.index in state.open_steps]
    if running:
        names = [job.step_name(event.data.index) for event in running]
        steps = tuple(About("step", name) for name in names)
        text = f"step {named(names)} is running on {runner.name}"
        return Reason(
            "step_running",
            text,
            running[0].data.started_at,
            state.deadline,
            (*steps, runner),
            positions=tuple(event.position for event in running),
        )
    if begun or state.done_steps:
        last = job.last(job_events.StepCompleted) or job.events[-1]
        left = len(state.life.spec.steps) - len(state.done_steps)
        if left:
            text = f"runner {runner.name} is between steps; {left} are left"
            return Reason("step_running", text, last.meta.at, state.deadline, (runner,), {"left": left}, (last.position,))
        text = f"all steps ended; runner {runner.name} has not reported the end yet"
        return Reason("finishing", text, last.meta.at, state.deadline, (runner,), positions=(last.position,))
    text = f"runner {runner.name} sets the job up"
    started = job.last(job_events.JobStarted) or acquired
    return Reason("setting_up", text, started.meta.at, state.deadline, (runner,), positions=(started.position,))


def node_waits(history: History, node: Node, around: Surroundings) -> Reason:
    """Why a node that is still pending is not opened: the run, a call that it is part of, or its needs."""
    if history.run.held and history.run.concurrency is not None:
        return run_waits(history, around)
    for prefix in _enclosing(node.planned.key):
        reason = _call_waits(history, prefix, around)
        if reason is not None:
            return reason
    open_ = [key for key in node.planned.needs if history.run.nodes[key].phase != "done"]
    about = tuple(About("node", key) for key in open_)
    because = tuple(_frontier(history, open_, around)[:SHOWN_MAX])
    said = history.planned
    return Reason("needs", f"waiting for {named(open_)}", said.meta.at, about=about, positions=(said.position,), because=because)


def run_waits(history: History, around: Surroundings) -> Reason:
    """The whole run waits for its concurrency group."""
    held = history.run.concurrency
    assert held is not None, "only a run with a group waits for it"  # noqa: S101 - a fact, not a check
    said = [event for event in history.events if isinstance(event.data, run_events.RunHeld)][-1]
    run = history.run.run
    return _group(history, around, _Hold("run_concurrency", held.group, held.name, run, said.meta.at, said.position))


def _enclosing(key: str) -> list[str]:
    """The calls that a node is part of, the outermost first."""
    found = []
    while prefix := prefix_of(key):
        found.append(prefix)
        key = caller_of(prefix)
    return found[::-1]


def _call_waits(history: History, prefix: str, around: Surroundings) -> Reason | None:
    run = history.run
    node = run.nodes[caller_of(prefix)]
    call = node.calls.get(prefix)
    if call is None or call.result:
        return None
    left = [each for each, state in node.calls.items() if not state.result]
    called = [event for event in history.events if isinstance(event.data, run_events.NodeCalled) and event.data.node == node.planned.key]
    if prefix not in left[: node.max_parallel or len(left)]:
        text = f"waiting for others of its matrix: max-parallel is {node.max_parallel}"
        about = tuple(About("node", each) for each in left[: node.max_parallel])
        facts = {"limit": node.max_parallel, "under_way": len(about)}
        return Reason("calls_max_parallel", text, called[-1].meta.at, about=about, facts=facts, positions=(called[-1].position,))
    if not call.held:
        return None
    group = call.claims[-1]
    said = [event for event in history.events if isinstance(event.data, run_events.CallHeld) and event.data.call == prefix][-1]
    me = _holder(history, call, group.of)
    return _group(history, around, _Hold("call_concurrency", group.group, group.name, me, said.meta.at, said.position))


def _holder(history: History, call: CallState, of: str) -> UUID:
    return call_id(history.run.run, history.run.run_attempt, call.planned.prefix, of)


def _frontier(history: History, keys: list[str], around: Surroundings) -> list[Reason]:
    """What these nodes, which are not done, wait for at the end of the chain: the reasons of jobs, or what holds a node back."""
    found: list[Reason] = []
    seen: set[str] = set()
    todo = list(keys)
    while todo and len(found) < SHOWN_MAX:
        each = todo.pop(0)
        node = history.run.nodes[each]
        if each in seen or node.phase == "done":
            continue
        seen.add(each)
        if node.calls:
            todo.extend(child.planned.key for prefix in node.calls for child in history.run.nodes_of(prefix))
        elif node.phase == "open":
            live = [history.jobs[job] for job, result in node.jobs.items() if not result and job in history.jobs]
            found.extend(of_job(job, job_waits(history, job, around)) for job in live)
        elif needs := [need for need in node.planned.needs if history.run.nodes[need].phase != "done"]:
            todo.extend(needs)
        else:
            found.append(node_waits(history, node, around))
    return found


def of_job(job: JobHistory, reason: Reason) -> Reason:
    """The same reason, told from outside the job."""
    return replace(reason, text=f"{job.spec.name}: {reason.text}", about=(About("job", job.spec.name, job.id), *reason.about))
