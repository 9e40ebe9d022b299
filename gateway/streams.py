"""What happens, as it happens: the log of a job, the events of a run or of a tenant, and several of these on one connection.

A stream is its topics' cursors: it sends what lies after them, then waits to be woken. Ids are the cursors (`attempt:line`
of a log, a position of events, of several topics a comma list), so a client that comes back with Last-Event-ID (or
`after`) gets every line and event once. A client that takes nothing is dropped, and so is one whose token ends.
"""

import asyncio
import re
from collections.abc import Sequence
from contextlib import ExitStack
from uuid import UUID

from domain.ports import Clock, EventStore
from gateway.batches import Batch, EventBatches, batch
from gateway.http import DIGITS_MAX, Parameter, Request, Route, Send, Stream
from gateway.hub import Follower, Hub, runs_of
from gateway.log_pages import LogPages
from gateway.ports import Logs
from gateway.problems import ProblemError, problem
from gateway.sse import EventStream
from gateway.tenant_log import TenantLog
from gateway.topics import LogTopic, RunEvents, RunTopic, TenantTopic, Topic
from gateway.validity import valid

TOPICS_MAX = 32
LINE = "[0-9]{1,6}:[0-9]{1,11}"
ATTEMPT = Parameter(name="attempt", about="Only this attempt.")
CURSOR = (
    Parameter(name="after", about="Only events after this position."),
    Parameter(name="Last-Event-ID", about="As after, which it goes before.", place="header"),
)


def _text(name: str, about: str, example: str, pattern: str, place: str = "query", *, required: bool = False) -> Parameter:
    return Parameter(name=name, about=about, kind="string", pattern=f"^{pattern}$", example=example, place=place, required=required)


LINE_CURSOR = (
    _text("after", "Only what follows this record.", "1:40", LINE),
    _text("Last-Event-ID", "As after, which it goes before.", "1:40", LINE, "header"),
)
ID = "[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
TOPIC = f"(runs|events|run:{ID}|job:{ID}:logs)"
PLACE = f"({LINE}|[0-9]{{1,{DIGITS_MAX}}})?"
TOPICS = (
    _text(
        "topics",
        f"A comma list of at most {TOPICS_MAX}: runs, events, run:ID, job:ID:logs.",
        "runs",
        f"{TOPIC}(,{TOPIC})*",
        required=True,
    ),
    _text(
        "after",
        "A comma list: for each topic, where it goes on. Empty: the beginning; of runs and events, now.",
        "0",
        f"{PLACE}(,{PLACE})*",
    ),
    _text("Last-Event-ID", "As after, which it goes before.", "0", f"{PLACE}(,{PLACE})*", "header"),
)


class Streams:
    """Serves all readers of this gateway."""

    def __init__(self, store: EventStore, logs: Logs, hub: Hub, clock: Clock) -> None:
        self._store = store
        self._pages = LogPages(logs)
        self._batches = EventBatches()
        self._hub = hub
        self._clock = clock

    def routes(self) -> list[Route]:
        """The streams' part of the table."""
        return [
            _followed("/api/v1/jobs/{id}/logs/stream", "Follow a job's log", self.follow_log, ATTEMPT, *LINE_CURSOR),
            _followed("/api/v1/runs/{id}/stream", "Follow a run's events", self.follow_run, *CURSOR),
            _followed("/api/v1/events/stream", "Follow the event log", self.follow_all, *CURSOR),
            _followed("/api/v1/stream", "Follow several topics on one connection", self.follow_topics, *TOPICS),
        ]

    async def follow_run(self, request: Request, send: Send) -> None:
        """SSE of a run's events; ids are positions; ends after RunCompleted, unless the run has gone on since."""
        await self._follow(request, send, [f"run:{request.params[0]}"], [last_id(request)])

    async def follow_all(self, request: Request, send: Send) -> None:
        """SSE of all events of the tenant; ids are positions; ends only with the server."""
        await self._follow(request, send, ["events"], [last_id(request) or "0"])

    async def follow_log(self, request: Request, send: Send) -> None:
        """SSE of a job's log records, attempt after attempt; ids are attempt:line; ends when the job is done."""
        await self._follow(request, send, [f"job:{request.params[0]}:logs"], [last_id(request)], only=request.number("attempt", 0))

    async def follow_topics(self, request: Request, send: Send) -> None:
        """SSE of several topics, each datum with its topic; ids are their cursors; ends when all of them have ended."""
        names = topic_names(request.query.get("topics", ""))
        given = last_id(request)
        after = given.split(",") if given else [""] * len(names)
        if len(after) != len(names):
            hint = "send the id of the last event you got, with the same topics"
            raise problem(422, "bad_cursor", f"{given!r} tells of {len(after)} topics, there are {len(names)}", hint=hint)
        await self._follow(request, send, names, after, several=True)

    async def _follow(
        self, request: Request, send: Send, names: Sequence[str], after: Sequence[str], *, only: int = 0, several: bool = False
    ) -> None:
        news = asyncio.Event()
        with ExitStack() as stack:
            token = stack.enter_context(valid(self._hub, request.identity, self._clock, news))
            topics = [self._topic(stack, request, name, text, news=news, only=only) for name, text in zip(names, after, strict=True)]
            for topic in topics:
                await topic.open()
            stream = EventStream(request, send, news)
            await stream.start()
            if several:
                await stream.at(cursor(topics))
            while True:
                closed, idle = self._hub.closed, True
                news.clear()  # before it is looked: what comes meanwhile wakes again
                if ended := token.over():
                    await stream.drop(ended)
                    return
                for name, topic in zip(names, topics, strict=True):
                    page = None if topic.over else await topic.page()
                    if page is not None:
                        idle = False
                        await stream.send(joined(name, topic, topics, page) if several else page)
                over = all(topic.over for topic in topics)
                if over or closed:
                    await stream.end(last=over)
                    return
                if idle:
                    await stream.wait()

    def _topic(self, stack: ExitStack, request: Request, name: str, text: str, *, news: asyncio.Event, only: int) -> Topic:
        """The topic of this name, from this cursor on, followed as long as the stack stands."""
        tenant = request.identity.tenant
        log = TenantLog(self._store, tenant)

        def followed(key: UUID | str) -> Follower:
            return stack.enter_context(self._hub.follow(key, news))

        kind, _, identity = name.partition(":")
        if kind == "job":
            job = UUID(identity.removesuffix(":logs"))
            return LogTopic(job, log, self._pages, followed(job), log_cursor(text), only=only)
        after = position(text) if text else None
        if kind == "run":
            run = UUID(identity)
            return RunTopic(run, RunEvents(run, log, self._hub, followed(run), after or 0), self._batches)
        follower = followed(runs_of(tenant) if kind == "runs" else tenant)
        return TenantTopic(tenant, log, follower, after, self._batches, runs=kind == "runs")


def joined(name: str, topic: Topic, topics: Sequence[Topic], page: Batch) -> Batch:
    """A page of one of several topics: data that tell of what, ids that tell of all."""
    at = topics.index(topic)
    before = "".join(f"{each.cursor}," for each in topics[:at]).encode()
    behind = "".join(f",{each.cursor}" for each in topics[at + 1 :]).encode()
    about = name.encode()
    return batch((b"%b%b%b" % (before, identity, behind), b'{"topic":"%b","data":%b}' % (about, data)) for identity, data in page.items())


def cursor(topics: Sequence[Topic]) -> str:
    """Where all of them stand."""
    return ",".join(topic.cursor for topic in topics)


def _followed(path: str, summary: str, stream: Stream, *parameters: Parameter) -> Route:
    return Route(method="GET", path=path, least="viewer", summary=summary, stream=stream, parameters=parameters)


def topic_names(text: str) -> list[str]:
    """The topics of a comma list; 422 names the one that is none."""
    names = text.split(",")
    for name in names:
        if re.fullmatch(TOPIC, name) is None:
            raise _no_topics(f"{name!r} is no topic", "topics are runs, events, run:ID and job:ID:logs, with commas between them")
    if len(names) > TOPICS_MAX:
        raise _no_topics(f"{len(names)} topics are too many", f"give at most {TOPICS_MAX}, and open another stream for others")
    if len(set(names)) < len(names):
        raise _no_topics("a topic is named twice", "name each once")
    return names


def _no_topics(what: str, hint: str) -> ProblemError:
    return problem(422, "bad_query", what, hint=hint, errors=({"pointer": "/query/topics", "message": what},))


def last_id(request: Request) -> str:
    """Where a stream goes on: Last-Event-ID, else `after`, else "", the beginning."""
    return request.headers.get(b"last-event-id", b"").decode("latin-1") or request.query.get("after", "")


def position(text: str) -> int:
    """The cursor of events."""
    if not (text.isascii() and text.isdigit() and len(text) <= DIGITS_MAX):
        raise problem(422, "bad_cursor", f"{text!r} is not a position", hint="send the id of the last event you got")
    return int(text)


def log_cursor(text: str) -> tuple[int, int]:
    """The cursor of a log: (attempt, line) of the last record that was read, (0, 0) for the beginning."""
    if not text:
        return 0, 0
    if re.fullmatch(LINE, text) is None:
        raise problem(422, "bad_cursor", f"{text!r} is not attempt:line", hint="send the id of the last record you got")
    attempt, _, line = text.partition(":")
    return int(attempt), int(line)
