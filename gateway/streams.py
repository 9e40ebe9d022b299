"""What happens, as it happens: the log of a job and the events of a run as resumable streams.

A stream is a cursor: it sends what lies after it, from the store and the log store, then waits to be woken. Ids are the
cursor (`attempt:line` of a log, the position of a run's events), so a client that comes back with Last-Event-ID (or
`after`) gets every line and event once. It must never send a line that was not masked by the runner.
"""

import re
from collections.abc import Iterable
from uuid import UUID

from domain.envelope import Recorded
from domain.ports import EventStore
from domain.run.events import RunTriggered
from gateway.api.shapes import event_json
from gateway.attempts import Attempts, attempts_of, catch_up
from gateway.http import DIGITS_MAX, Parameter, Request, Route, Send, Stream
from gateway.hub import Follower, Hub
from gateway.ports import Logs
from gateway.problems import problem
from gateway.sse import EventStream
from gateway.tenant_log import TenantLog
from projections.run_history import is_complete, run_history

PAGE_EVENTS = 500

LINE = "^[0-9]{1,6}:[0-9]{1,11}$"
ATTEMPT = Parameter(name="attempt", about="Only this attempt.")
CURSOR = (
    Parameter(name="after", about="Only events after this position."),
    Parameter(name="Last-Event-ID", about="As after, which it goes before.", place="header"),
)
LINE_CURSOR = (
    Parameter(name="after", about="Only what follows this record.", kind="string", pattern=LINE, example="1:40"),
    Parameter(
        name="Last-Event-ID",
        about="As after, which it goes before.",
        kind="string",
        place="header",
        pattern=LINE,
        example="1:40",
    ),
)


class Streams:
    """Serves all readers of this gateway."""

    def __init__(self, store: EventStore, logs: Logs, hub: Hub) -> None:
        self._store = store
        self._logs = logs
        self._hub = hub

    def routes(self) -> list[Route]:
        """The streams' part of the table."""
        return [
            _followed("/api/v1/jobs/{id}/logs/stream", "Follow a job's log", self.follow_log, ATTEMPT, *LINE_CURSOR),
            _followed("/api/v1/runs/{id}/stream", "Follow a run's events", self.follow_run, *CURSOR),
            _followed("/api/v1/events/stream", "Follow the event log", self.follow_all, *CURSOR),
        ]

    async def follow_run(self, request: Request, send: Send) -> None:
        """SSE of a run's events; ids are positions; ends after RunCompleted, unless the run has gone on since."""
        run, log = request.params[0], TenantLog(self._store, request.identity.tenant)
        after = position(request)
        stream = EventStream(request, send)
        with self._hub.follow(run) as follower:
            if not await log.load_only(run, (RunTriggered,)):
                raise problem(404, "run_not_found", f"there is no run {run}", hint="GET /api/v1/runs lists them")
            # What this gateway has heard may lag behind a re-run that it answered: the store says whether the run is over.
            read = max(follower.since, await log.head())
            events = await run_history(log, run, read)
            complete = is_complete(events, run)
            await stream.start()
            while True:
                await stream.events((str(event.position), event_json(event)) for event in events if event.position > after)
                if complete or self._hub.closed:
                    await stream.end(last=complete)
                    return
                await stream.wait(follower)
                buffered = follower.take()
                found = buffered if buffered is not None else await run_history(log, run, self._hub.position)
                events = [event for event in found if event.position > read]
                complete = is_complete(events, run, before=complete)
                read = max([read, *(event.position for event in events)])

    async def follow_all(self, request: Request, send: Send) -> None:
        """SSE of all events of the tenant; ids are positions; ends only with the server."""
        log = TenantLog(self._store, request.identity.tenant)
        after = position(request)
        stream = EventStream(request, send)
        with self._hub.follow(request.identity.tenant) as follower:
            await stream.start()
            after = await self._send_stored(stream, log, after)
            while not self._hub.closed:
                await stream.wait(follower)
                buffered = follower.take()
                if buffered is None:
                    after = await self._send_stored(stream, log, after)
                    continue
                await stream.events(sent(event for event in buffered if event.position > after))
                after = max([after, *(event.position for event in buffered)])
            await stream.end(last=False)

    @staticmethod
    async def _send_stored(stream: EventStream, log: TenantLog, after: int) -> int:
        """Send what the log holds after a position; returns how far that is."""
        more = True
        while more:
            found = await log.page(after, PAGE_EVENTS)
            await stream.events(sent(found.events))
            after, more = found.through, found.more
        return after

    async def follow_log(self, request: Request, send: Send) -> None:
        """SSE of a job's log records, attempt after attempt; ids are attempt:line; ends when the job is done."""
        job, log = request.params[0], TenantLog(self._store, request.identity.tenant)
        only = request.number("attempt", 0)
        attempt, line = log_cursor(request)
        stream = EventStream(request, send)
        with self._hub.follow(job) as follower:
            attempts = await attempts_of(log, job)
            attempt = attempt or only or max(attempts.last, 1)
            await stream.start()
            while True:
                over, done, closed = attempts.is_over(attempt), attempts.done, self._hub.closed
                async for first, records in self._logs.read(job, attempt, line + 1):
                    await stream.records(attempt, first, records)
                    line = first + len(records) - 1
                if over and not only and attempt < attempts.last:
                    attempt, line = attempt + 1, 0
                    continue
                last = done or (over and bool(only))
                if last or closed:
                    await stream.end(last=last)
                    return
                await stream.wait(follower)
                await self._catch_up(attempts, follower, log, job)

    @staticmethod
    async def _catch_up(attempts: Attempts, follower: Follower, log: TenantLog, job: UUID) -> None:
        buffered = follower.take()
        if buffered is None:
            await catch_up(attempts, log, job)
        else:
            attempts.apply(buffered)


def sent(events: Iterable[Recorded]) -> Iterable[tuple[str, bytes]]:
    """Events as a stream carries them: (id, data)."""
    return ((str(event.position), event_json(event)) for event in events)


def _followed(path: str, summary: str, stream: Stream, *parameters: Parameter) -> Route:
    return Route(method="GET", path=path, least="viewer", summary=summary, stream=stream, parameters=parameters)


def position(request: Request) -> int:
    """Where a stream of events goes on: Last-Event-ID, else `after`, else the beginning."""
    text = request.headers.get(b"last-event-id", b"").decode("latin-1") or request.query.get("after", "0")
    if not (text.isascii() and text.isdigit() and len(text) <= DIGITS_MAX):
        raise problem(422, "bad_cursor", f"{text!r} is not a position", hint="send the id of the last event you got")
    return int(text)


def log_cursor(request: Request) -> tuple[int, int]:
    """Where a log's stream goes on: (attempt, line) of the last record that was read, (0, 0) for the beginning."""
    text = request.headers.get(b"last-event-id", b"").decode("latin-1") or request.query.get("after", "")
    if not text:
        return 0, 0
    attempt, _, line = text.partition(":")
    if re.fullmatch(LINE, text) is None:
        raise problem(422, "bad_cursor", f"{text!r} is not attempt:line", hint="send the id of the last record you got")
    return int(attempt), int(line)
