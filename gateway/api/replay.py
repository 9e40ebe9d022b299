"""Time travel and proof: a run as it stood at any moment, and its views compared with the fold of its events."""

import contextlib
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from fastapi import APIRouter, Query, Request, Response

from domain import invariants
from domain.envelope import Recorded
from domain.job.events import JobAcquired
from domain.run.events import RunPlanned, RunTriggered
from gateway.api.reads import Mine, Reads, RunName, least, respond
from gateway.api.runs import run_id
from gateway.api.shapes import JobShape, RunShape, grouped, job_shape, run_shape
from gateway.body import decoded
from gateway.openapi import tells
from gateway.problems import problem
from projections.catalogue import VIEWS
from projections.fold import Parked
from projections.parking import ParkedStream
from projections.queue import QueueRow
from projections.run_history import run_history
from projections.runners import RunnerRow
from projections.state import LeaseState, LogState, QueueFold, QueueState, RunState, run_state, until
from projections.status import AttemptRow
from projections.verify import Difference, Verification, verify_run, verify_store

STORE_POSITIONS_MAX = 200_000
"""Up to this size the whole store is proved along with a run: it takes about two seconds."""

QUEUE_PAGE = 10_000
"""So many events are folded at once on the way to a moment of the queue."""

Scope = Literal["run", "store"]


class Compared(msgspec.Struct, frozen=True):
    """One difference: what the view holds, and what the events say. column: None where the whole row is one too many or few."""

    view: str
    table: str
    key: str
    column: str | None
    stored: Any
    rebuilt: Any


class Replayed(msgspec.Struct, frozen=True):
    """The answer to a replay. scope: "store" when every row of every view was compared, else "run".

    breaches: of the invariants, as domain.invariants tells them. parked: streams of this run that wait in a view, which
    therefore does not show all of it; parked_elsewhere: how many others do. clean: no differences, no breaches, none parked.
    """

    run_id: UUID
    scope: Scope
    position: int
    events: int
    rows: int
    views: tuple[str, ...]
    clean: bool
    differences: tuple[Compared, ...]
    breaches: tuple[Any, ...]
    parked: tuple[ParkedStream, ...]
    parked_elsewhere: int


class SourcesShape(msgspec.Struct, frozen=True):
    """What the decisions of a run read besides its events, by digest: parsed workflows, and payloads of events.

    missing: digests of what is not there any more.
    """

    plans: dict[str, Any]
    payloads: dict[str, Any]
    missing: tuple[str, ...]


class ReplayRequest(msgspec.Struct, frozen=True):
    """scope: "run" or "store"; by default the whole store where it is small enough."""

    scope: Scope | None = None


_REQUEST = msgspec.json.Decoder(ReplayRequest)
POINT = r"^([0-9]{1,18}|[0-9]{4}-[0-9]{2}-[0-9]{2}.+)$"
Point = Annotated[str | None, Query(description="A position or an instant.", json_schema_extra={"pattern": POINT})]


class StateShape(msgspec.Struct, frozen=True):
    """A run as it stood; see projections.state. run: null before its first event."""

    position: int
    events: int
    run: RunShape | None
    jobs: tuple[JobShape, ...]
    attempts: tuple[AttemptRow, ...]
    leases: tuple[LeaseState, ...]
    queue: tuple[QueueRow, ...]
    runners: tuple[RunnerRow, ...]
    logs: tuple[LogState, ...]
    parked: tuple[Parked, ...]


def replay_routes() -> APIRouter:
    """State and replay below /api/v1/runs."""
    router = APIRouter(prefix="/api/v1/runs", tags=["replay"])

    @router.get("/{id}/state", summary="The run as it stood at a position or time, by default now", openapi_extra=least("viewer"))
    @tells(StateShape, problems=(409,))
    async def state(reads: Mine, run: RunName, at: Point = None) -> Response:
        identity = await run_id(reads, run)
        return respond(shown(await state_at(reads, identity, at), reads.public_url))

    @router.get("/{id}/sources", summary="What the decisions of a run read besides its events", openapi_extra=least("viewer"))
    @tells(SourcesShape, problems=(409,))
    async def sources(reads: Mine, run: RunName) -> Response:
        return respond(await sources_of(reads, await run_id(reads, run)))

    @router.post(
        "/{id}/replay",
        summary="Fold the events again and compare every row of the views; prove the invariants",
        openapi_extra=least("viewer"),
    )
    @tells(Replayed, body=ReplayRequest, problems=(409,))
    async def replay(request: Request, reads: Mine, run: RunName) -> Response:
        wanted = decoded(_REQUEST, await request.body() or b"{}")
        return respond(await verified(reads, await run_id(reads, run), wanted.scope))

    return router


async def history(reads: Reads, run: UUID) -> list[Recorded]:
    """All events of a run up to now."""
    return await run_history(reads.log, run, await reads.log.head())


async def state_at(reads: Reads, run: UUID, at: str | None) -> RunState:
    """A run at a position or time, with the runners that had held a job of it by then."""
    position, instant = await moment(reads, at)
    through = await reads.log.head() if position is None else position
    events = until(await run_history(reads.log, run, through), at=instant)
    runners = dict.fromkeys(event.data.runner for event in events if isinstance(event.data, JobAcquired))
    if runners:
        events += until(await reads.log.load_streams(list(runners), through), at=instant)
        events.sort(key=lambda event: event.position)
    return run_state(events)


async def sources_of(reads: Reads, run: UUID) -> SourcesShape:
    """The parsed workflows and the payload that a run's events name."""
    said = await reads.log.load_only(run, (RunTriggered, RunPlanned))
    plans = {event.data.plan: None for event in said if isinstance(event.data, RunPlanned)}
    payloads = {event.data.payload: None for event in said if isinstance(event.data, RunTriggered)}
    found: dict[str, msgspec.Raw] = {}
    for digest in (*plans, *payloads):
        with contextlib.suppress(KeyError):
            found[digest] = msgspec.Raw(await reads.reading.blobs.get(digest))
    return SourcesShape(
        plans={digest: found[digest] for digest in plans if digest in found},
        payloads={digest: found[digest] for digest in payloads if digest in found},
        missing=tuple(digest for digest in (*plans, *payloads) if digest not in found),
    )


async def queue_at(reads: Reads, at: str) -> QueueState:
    """The tenant's queue at a position or time: the log is folded from its beginning, some 200,000 events a second."""
    position, instant = await moment(reads, at)
    fold, after = QueueFold(), 0
    while True:
        found = await reads.log.page(after, QUEUE_PAGE)
        fold.apply(until(found.events, position=position, at=instant))
        after = found.through
        late = position is not None and after >= position
        if late or not found.more or (instant is not None and found.events and found.events[-1].meta.at > instant):
            return fold.state()


async def moment(reads: Reads, at: str | None) -> tuple[int | None, datetime | None]:
    """A position or an instant of the past; 422 for one that the log has not reached."""
    position, instant = point(at)
    if position is not None and position > (head := await reads.log.head()):
        raise problem(422, "point_ahead", f"position {position} is in the future: the log ends at {head}", hint="leave out `at`")
    return position, instant


def point(at: str | None) -> tuple[int | None, datetime | None]:
    """A position or an instant."""
    if at is None:
        return None, None
    if at.isascii() and at.isdigit():
        return int(at), None
    try:
        instant = datetime.fromisoformat(at)
    except ValueError:
        instant = None
    if instant is None or instant.tzinfo is None:
        raise problem(
            422, "bad_point", f"at={at} is neither a position nor a time", hint="give digits, or a time such as 2026-11-21T10:00:00Z"
        )
    return None, instant


def shown(state: RunState, base_url: str) -> StateShape:
    """A state in the shapes of the API."""
    by_job = grouped(state.attempts, state.steps)
    return StateShape(
        position=state.position,
        events=state.events,
        run=run_shape(state.run, base_url) if state.run else None,
        jobs=tuple(job_shape(job, *by_job[job.id]) for job in state.jobs),
        attempts=tuple(state.attempts),
        leases=tuple(state.leases),
        queue=tuple(state.queue),
        runners=tuple(state.runners),
        logs=tuple(state.logs),
        parked=tuple(state.parked),
    )


async def verified(reads: Reads, run: UUID, scope: Scope | None) -> Replayed:
    """Prove a run, and the whole store with it where that was asked for or is cheap."""
    head = await reads.log.head()
    if scope == "store" and not reads.operator:
        raise problem(403, "wrong_role", "only an operator may prove the whole store", hint='ask for {"scope": "run"}')
    scope = scope or ("store" if head <= STORE_POSITIONS_MAX and reads.operator else "run")
    await reads.reached(head, *VIEWS)
    events = await history(reads, run)
    views = tuple(VIEWS.values())
    own = await verify_run(reads.connections, reads.reading.store, views, run, events)
    if scope == "run":
        # a cause may lie outside the run (a runner that was lost), so causes are not judged on a part of the log
        return _replayed(run, scope, events, own, [breach for breach in invariants.check(events) if breach.invariant != 8])
    whole = await verify_store(reads.connections, reads.reading.store, views)
    log = [event async for event in everything(reads, head)]
    return _replayed(run, scope, events, whole, invariants.check(log))


async def everything(reads: Reads, head: int) -> Any:
    """The log up to a position."""
    after = 0
    while after < head and (found := await reads.reading.store.read(after, 10_000)) is not None:
        for event in found.events:
            if event.position <= head:
                yield event
        after = found.last


def _replayed(run: UUID, scope: Scope, events: Sequence[Recorded], found: Verification, breaches: Sequence[Any]) -> Replayed:
    streams = {event.stream for event in events}
    parked = tuple(each for each in found.parked if each.stream in streams or each.run_id == run)
    return Replayed(
        run_id=run,
        scope=scope,
        position=found.position,
        events=found.events,
        rows=found.rows,
        views=tuple(VIEWS),
        clean=not found.differences and not breaches and not parked,
        differences=tuple(map(_compared, found.differences)),
        breaches=tuple(breaches),
        parked=parked,
        parked_elsewhere=len(found.parked) - len(parked),
    )


def _compared(each: Difference) -> Compared:
    key = ", ".join(f"{column}={value}" for column, value in each.key.items())
    return Compared(each.view, each.table, f"{each.table}({key})", each.column, each.found, each.expected)
