"""Recorded decisions of runs, taken again by today's rules: where would a run have planned, admitted or ended otherwise?

As with jobs (domain.job.again), each decision of a run's stream is turned back into the command that it answers, and
`decide` is asked again in the state before it. What it reads besides events is named by digest: the parsed workflow and the
event's payload. A decision that makes jobs is compared with what these were recorded to be as well.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any
from uuid import UUID

import msgspec
from msgspec.structs import replace

from domain.envelope import Recorded, Unreadable
from domain.events import NAMES
from domain.job.again import Again, Otherwise, told
from domain.job.commands import CreateJob
from domain.job.events import JobCreated
from domain.job.evolve import ImpossibleHistoryError
from domain.refusals import Refusal
from domain.run import commands as c
from domain.run import events as e
from domain.run.decide import AnyRunCommand, decide
from domain.run.evolve import evolve
from domain.run.state import Run
from domain.workflow.model import Workflow

FIRST = (
    e.RunTriggered,
    e.JobConcluded,
    e.RunAdmitted,
    e.CallAdmitted,
    e.CallCancellationRequested,
    e.RunCancellationRequested,
    e.RunRerunRequested,
)
"""Events that always begin a decision; others may follow one, too."""
EXPIRED = "the run has taken longer than"
"""What the reason of a run's end begins with that its own limit asked for."""


class Named(msgspec.Struct, frozen=True):
    """What the digests in a run's events stand for, as far as it is known."""

    plans: dict[str, Workflow]
    payloads: dict[str, dict[str, Any]]


def again(events: Iterable[Recorded], named: Named) -> Again:
    """Take every decision of the runs in a log again. events: in order; those of other streams are left aside."""
    streams: dict[UUID, list[Recorded]] = {}
    jobs: dict[UUID, Recorded] = {}
    for event in events:
        if isinstance(event.data, e.RunTriggered):
            streams[event.stream] = [event]
        elif event.stream in streams:
            streams[event.stream].append(event)
        elif isinstance(event.data, JobCreated):
            jobs[event.stream] = event
    taken = [each for stream, recorded in streams.items() for each in _decisions(stream, recorded, jobs, named)]
    differences = sorted((each for each in taken if isinstance(each, Otherwise)), key=lambda each: each.position)
    return Again(sum(each is not None for each in taken), taken.count(None), tuple(differences))


def _decisions(stream: UUID, recorded: Sequence[Recorded], jobs: dict[UUID, Recorded], named: Named) -> Iterator[Otherwise | bool | None]:
    """For each decision: how it differs, True where it does not, None where its command cannot be told."""
    state: Run | None = None
    for events in _parted(recorded):
        if isinstance(events[0].data, Unreadable):
            yield None
            return
        yield _taken(state, events, jobs, named)
        try:
            for event in events:
                state = evolve(stream, state, event.data, event.meta)
        except (ImpossibleHistoryError, KeyError) as error:
            was = told(event.data for event in events)
            yield Otherwise(events[0].position, stream, "evolve", was, (("ImpossibleHistory", str(error)),))
            return


def _parted(recorded: Sequence[Recorded]) -> Iterator[list[Recorded]]:
    """The events of each decision: they share their envelope."""
    events: list[Recorded] = []
    for event in recorded:
        if events and (event.meta != events[0].meta or isinstance(event.data, FIRST)):
            yield events
            events = []
        events.append(event)
    if events:
        yield events


def _taken(state: Run | None, events: Sequence[Recorded], jobs: dict[UUID, Recorded], named: Named) -> Otherwise | bool | None:
    """One decision. Where several commands may have led to it, one that does is enough."""
    answers = [_answer(state, command, events, jobs) for command in _commands(state, events, jobs, named)]
    return True if True in answers else next(iter(answers), None)


def _answer(state: Run | None, command: AnyRunCommand, events: Sequence[Recorded], jobs: dict[UUID, Recorded]) -> Otherwise | bool:
    first = events[0]
    answer = decide(state, command, first.meta)
    name = type(command).__name__
    if isinstance(answer, Refusal):
        return Otherwise(first.position, first.stream, name, told(event.data for event in events), told((answer,)))
    made = [each for each in answer.commands if isinstance(each, CreateJob)]
    known = [jobs[each.job] for each in made if each.job in jobs]
    was = [*events, *known]
    now = [*answer.events, *(each.spec for each in made)]
    then = [_as_then(each, event) for each, event in zip(now, was, strict=False)] + now[len(was) :]
    if then == [event.data for event in was]:
        return True
    return Otherwise(first.position, first.stream, name, told(event.data for event in was), told(then))


def _as_then(now: Any, recorded: Recorded) -> Any:
    """Today's event without what the schema of the recorded one had no place for: fields that came later and may be absent."""
    if type(now) is not type(recorded.data) or recorded.schema == NAMES[type(now)][1]:
        return now
    absent = {}
    for field in msgspec.structs.fields(now):
        default = field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
        if default is not msgspec.NODEFAULT and getattr(recorded.data, field.name) == default:
            absent[field.name] = default
    return replace(now, **absent)


def _commands(state: Run | None, events: Sequence[Recorded], jobs: dict[UUID, Recorded], named: Named) -> list[AnyRunCommand]:
    """The command that these events of one decision answer, or those that may be it; none where they tell too little of it."""
    first, run = events[0].data, events[0].stream
    if isinstance(first, e.RunTriggered):
        return _start(run, events, named)
    if state is None:
        return []
    match first:
        case e.RunCancellationRequested() if first.reason.startswith(EXPIRED):
            return [c.ExpireRun(run)]
        case e.RunCancellationRequested():
            return [c.CancelRun(run, first.reason, first.force)]
        case e.JobAdmitted():
            return [c.AdmitJob(run, first.run_attempt, first.job)]
        case e.JobHeld(reason="backoff"):
            return [c.NoteBackoff(run, first.run_attempt, first.node, first.job)]
        case e.RunClockStopped() | e.RunClockResumed():
            return [c.NoteWaiting(run)]
        case e.RunRerunRequested():
            return _rerun(state, first, jobs)
        case _:
            return _opening(state, first, jobs, named)


def _opening(state: Run, first: Any, jobs: dict[UUID, Recorded], named: Named) -> list[AnyRunCommand]:
    """A command that opens nodes: it reads the workflow and the payload."""
    run, workflow, payload = state.run, named.plans.get(state.plan), named.payloads.get(state.facts.payload)
    if workflow is None or payload is None:
        return []
    match first:
        case e.JobConcluded() if first.job in jobs:
            tolerated = jobs[first.job].data.continue_on_error
            facts = first.run_attempt, first.job, first.node, first.conclusion, tolerated, first.outputs
            return [c.ConcludeJob(run, *facts, workflow, payload)]
        case e.RunAdmitted():
            return [c.AdmitRun(run, first.run_attempt, workflow, payload)]
        case e.CallAdmitted():
            return [c.AdmitCall(run, first.run_attempt, first.call, first.holder, workflow, payload)]
        case e.CallCancellationRequested():
            return [c.CancelCall(run, first.run_attempt, first.call, first.reason, workflow, payload)]
        case e.RunPlanned():
            return [c.PlanRerun(run, workflow, payload)]
        case _:
            return []


def _start(run: UUID, events: Sequence[Recorded], named: Named) -> list[AnyRunCommand]:
    facts: e.RunTriggered = events[0].data
    planned = next((event.data for event in events if isinstance(event.data, e.RunPlanned)), None)
    workflow, payload = named.plans.get(planned.plan) if planned is not None else None, named.payloads.get(facts.payload)
    if planned is None or workflow is None or payload is None:
        return []
    keys = tuple(node.key for node in planned.nodes)
    trigger = c.TriggerRun(
        run=run,
        repository=facts.repository,
        repository_name=facts.repository_name,
        workflow=facts.workflow,
        workflow_path=facts.workflow_path,
        event=facts.event,
        ref=facts.ref,
        sha=facts.sha,
        source=facts.source,
        source_url=facts.source_url,
        plan=planned.plan,
        payload=facts.payload,
        payload_bytes=facts.payload_bytes,
        request=facts.request,
        workflow_ast=workflow,
        payload_json=payload,
        retry=facts.retry,
        head_ref=facts.head_ref,
        base_ref=facts.base_ref,
        inputs=facts.inputs,
        title=facts.title,
        trigger=facts.trigger,
        jobs=() if set(keys) == set(workflow.jobs) else keys,
        matrix=planned.matrix,
        followers=next((event.data for event in events if isinstance(event.data, e.FollowersFixed)), None),
    )
    return [c.StartRun(run, facts.number, trigger)]


def _rerun(state: Run, asked: e.RunRerunRequested, jobs: dict[UUID, Recorded]) -> list[AnyRunCommand]:
    """Which single job was asked for is not recorded: any of those that run again may have been it."""
    if asked.scope != "job":
        return [c.RerunRun(state.run, "all" if asked.scope == "all" else "failed")]
    again = [job for key in asked.jobs if key in state.nodes for job in state.nodes[key].jobs if job not in asked.carried and job in jobs]
    return [c.RerunRun(state.run, "job", jobs[job].data.key, jobs[job].data.instance) for job in again]
