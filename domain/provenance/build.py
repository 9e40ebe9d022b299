"""A run's events to the statement of provenance of one of its jobs.

A statement is about the attempt with which the job succeeded, and rests on events up to its end: what happens later, a re-run
too, changes nothing. Of what the runner told only its subjects get in. It must never take anything from elsewhere.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar
from uuid import UUID

import msgspec

from domain.envelope import Recorded
from domain.job import events as j
from domain.job.subjects import merged
from domain.provenance.assurance import Assurance, assurance
from domain.provenance.source import GITHUB_BUILD_TYPE, OWN_BUILD_TYPE, is_github_build, repository_uri
from domain.provenance.statement import (
    PREDICATE_TYPE,
    STATEMENT_TYPE,
    BuildDefinition,
    Builder,
    Metadata,
    Predicate,
    Resource,
    RunDetails,
    Statement,
)
from domain.refusals import Refusal
from domain.run import events as r
from domain.runner_pool import RunnerRegistered
from domain.workflow.calls import caller_of, prefix_of
from domain.workflow.references import remote

E = TypeVar("E")


class Facts(msgspec.Struct, frozen=True):
    """The events that a statement rests on. triggering_actor: who asked for this run attempt; runner: as it was registered."""

    run: UUID
    job: UUID
    created: j.JobCreated
    triggered: r.RunTriggered
    actor: str
    triggering_actor: str
    planned: r.RunPlanned
    acquired: j.JobAcquired
    runner: RunnerRegistered
    subjects: tuple[j.Subject, ...]
    segments: tuple[j.LogSegmentStored, ...]
    called: tuple[r.NodeCalled, ...]
    first: Recorded
    started: Recorded
    ended: Recorded


Streams = Mapping[UUID, Sequence[Recorded]]
"""The events of a run, its jobs and its runners, by stream, each in order."""


def streams(events: Iterable[Recorded]) -> Streams:
    """The events by stream. events: of a run, its jobs and its runners, in order of positions."""
    found: dict[UUID, list[Recorded]] = {}
    for event in events:
        found.setdefault(event.stream, []).append(event)
    return found


def provenance(log: Streams, job: UUID) -> Statement | Refusal:
    """The statement about what a job attests."""
    facts = gather(log, job)
    return facts if isinstance(facts, Refusal) else _statement(facts)


def attested(log: Streams) -> list[UUID]:
    """The jobs that have provenance, in order of their ends."""
    ends = [(end.position, job) for job, own in log.items() if (end := _end(own)) is not None and _subjects(own, end)]
    return [job for _, job in sorted(ends)]


def _end(own: Sequence[Recorded]) -> Recorded | None:
    return next((event for event in reversed(own) if isinstance(event.data, j.JobSucceeded)), None)


def _subjects(own: Iterable[Recorded], end: Recorded) -> tuple[j.Subject, ...]:
    """What the attempt attests with which the job succeeded."""
    steps = (event.data for event in own if isinstance(event.data, j.StepCompleted) and event.data.attempt == end.data.attempt)
    return merged(each for step in steps for each in step.subjects)


def gather(log: Streams, job: UUID) -> Facts | Refusal:
    """What the log says of a job that succeeded and attests something."""
    own = log.get(job, ())
    if not own or not isinstance(own[0].data, j.JobCreated):
        return Refusal("job_not_found", f"there is no job {job} in this run", state="absent")
    created = own[0].data
    ended = _end(own)
    if ended is None:
        return _none(f"job {created.name} has not succeeded", "only what a job made that succeeded has provenance")
    subjects = _subjects(own, ended)
    if not subjects:
        return _none(f"job {created.name} attests nothing", "name its files in a step: ledgermill attest FILE...")
    attempt = ended.data.attempt
    acquired = next(event for event in own if isinstance(event.data, j.JobAcquired) and event.data.attempt == attempt)
    started = next(event for event in own if isinstance(event.data, j.JobStarted) and event.data.attempt == attempt)
    registered = [each for each in log.get(acquired.data.runner, ()) if isinstance(each.data, RunnerRegistered)]
    runner = [each.data for each in registered if each.position < acquired.position]
    if not runner:
        return _none(f"nothing tells how runner {acquired.data.runner} came to be known")
    run = [event for event in log[created.run] if event.position <= ended.position]
    asked = [each for each in run if isinstance(each.data, r.RunRerunRequested) and each.data.run_attempt == created.run_attempt]
    return Facts(
        run=created.run,
        job=job,
        created=created,
        triggered=run[0].data,
        actor=run[0].meta.actor,
        triggering_actor=(asked or run)[0].meta.actor,
        planned=_of_attempt(run, r.RunPlanned, created)[-1],
        acquired=acquired.data,
        runner=runner[-1],
        subjects=subjects,
        segments=tuple(event.data for event in own if isinstance(event.data, j.LogSegmentStored) and event.data.attempt == attempt),
        called=_callers(run, created),
        first=run[0],
        started=started,
        ended=ended,
    )


def _none(message: str, hint: str = "") -> Refusal:
    return Refusal("no_provenance", message, state="done", help=hint)


def _of_attempt(events: Iterable[Recorded], kind: type[E], created: j.JobCreated) -> list[E]:
    return [event.data for event in events if isinstance(event.data, kind) and event.data.run_attempt == created.run_attempt]  # type: ignore[attr-defined]  # only events of a run attempt are asked for


def _callers(events: Iterable[Recorded], created: j.JobCreated) -> tuple[r.NodeCalled, ...]:
    """The calls that led to the job, the outermost first."""
    by_node = {each.node: each for each in _of_attempt(events, r.NodeCalled, created)}
    found = []
    key = created.key
    while prefix := prefix_of(key):
        key = caller_of(prefix)
        if key in by_node:
            found.append(by_node[key])
    return tuple(reversed(found))


def _statement(facts: Facts) -> Statement:
    run, assured = facts.triggered, assurance(facts.runner)
    github = is_github_build(run, facts.planned)
    return Statement(
        type=STATEMENT_TYPE,
        subject=tuple(Resource(name=each.name, digest={"sha256": each.sha256}) for each in facts.subjects),
        predicate_type=PREDICATE_TYPE,
        predicate=Predicate(
            build_definition=BuildDefinition(
                build_type=GITHUB_BUILD_TYPE if github else OWN_BUILD_TYPE,
                external_parameters=_external(facts, github=github),
                internal_parameters=_internal(facts, assured),
                resolved_dependencies=_dependencies(facts),
            ),
            run_details=RunDetails(
                builder=Builder(id=assured.builder),
                metadata=Metadata(
                    invocation_id=f"urn:ledgermill:run:{facts.run}:attempt:{facts.created.run_attempt}:job:{facts.job}",
                    started_on=facts.started.meta.at,
                    finished_on=facts.ended.meta.at,
                ),
                byproducts=_byproducts(facts),
            ),
        ),
    )


def _external(facts: Facts, *, github: bool) -> dict[str, Any]:
    run = facts.triggered
    workflow = {"ref": run.ref, "repository": repository_uri(run.source_url), "path": run.workflow_path}
    found: dict[str, Any] = {"workflow": workflow}
    if inputs := {name: value for name, value in run.inputs.items() if value not in ("", None)}:
        found["inputs"] = inputs
    if not github:
        found["event"] = {"name": run.event, "payload": {"sha256": run.payload}}
        if facts.planned.matrix:
            found["matrix"] = {name: list(values) for name, values in facts.planned.matrix.items()}
    return found


def _internal(facts: Facts, assured: Assurance) -> dict[str, Any]:
    run, created = facts.triggered, facts.created
    github = {
        "actor_id": facts.actor,
        "event_name": run.event,
        "repository_id": str(run.repository),
        "repository_owner_id": run.repository_name.partition("/")[0],
    }
    if facts.triggering_actor != facts.actor:
        github["triggering_actor_id"] = facts.triggering_actor
    own: dict[str, Any] = {
        "isolation": assured.isolation,
        "level": assured.level,
        "level_reason": assured.reason,
        "run": str(facts.run),
        "run_attempt": created.run_attempt,
        "job": created.key,
        "attempt": facts.acquired.attempt,
        "runner": str(facts.acquired.runner),
        "payload": {"sha256": run.payload},
    }
    if created.matrix:
        own["matrix"] = created.matrix
    return {"github": github, "ledgermill": own}


def _dependencies(facts: Facts) -> tuple[Resource, ...]:
    """The source's commit first; then the files that say what is run."""
    run = facts.triggered
    found = [
        Resource(uri=f"git+{repository_uri(run.source_url)}@{run.ref}", digest={"gitCommit": run.sha}),
        Resource(name=run.workflow_path, digest={"sha256": run.source}),
        Resource(name="plan", digest={"sha256": facts.planned.plan}),
    ]
    for call in facts.called:
        named = remote(call.uses)
        found.append(Resource(name=call.uses, digest={"gitCommit": run.sha if named is None else named.ref}))
    return tuple(found)


def _byproducts(facts: Facts) -> tuple[Resource, ...]:
    logs = [
        Resource(
            name=f"log/{each.segment}",
            digest={"sha256": each.sha256},
            annotations={"first_line": each.first_line, "lines": each.lines},
        )
        for each in facts.segments
    ]
    span = {"first_position": facts.first.position, "last_position": facts.ended.position}
    return (*logs, Resource(name="events", annotations=span))
