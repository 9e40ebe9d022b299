"""From an append to those who wait for it: a consumer of JetStream or of the default feed, a row of the status view, a client of SSE.

The clock starts before the append, so the commit is part of every figure. At rest one event comes after the other; under
load 5,000 events a second do, in appends of five. Producer, feeds, relay and projector share one process and one loop, as
in `ledgermill up`. A row counts as seen when another connection can read the view's position past it, looked at every
half millisecond. The client of server-sent events follows the whole log of the gateway whose process commits them, over a
socket, and reads each event's stream out of it. The reference is a bare message from publisher to push consumer, without a commit.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from uuid import UUID, uuid4

import nats
from msgspec.structs import replace
from nats.aio.msg import Msg

from bench import samples
from bench.harness import Figures, Goal, Row, alternate, judge, percentile
from bench.http import Http
from bench.place import Place
from domain.ports import Feed
from gateway.serving import Listening, bind
from gateway.wiring.gateway import gateway
from gateway.wiring.parts import Places, shared
from gateway.wiring.roles import tables
from infra.append_call import StoredRow
from infra.connections import connect, session_name
from infra.direct import Direct, Statement
from infra.event_store import PostgresEventStore
from infra.feed import PostgresFeed
from infra.jetstream import Names
from infra.jetstream_feed import JetStreamFeed
from infra.relay import Relay
from infra.settings import Settings
from projections import positions
from projections.catalogue import VIEWS
from projections.projector import Projector
from projections.rows import Connection
from projections.status import STATUS

AT_REST = 100
RATE = 5_000
PER_APPEND = 5
SECONDS = 1.0
LOOK_SECONDS = 0.0005
REST_SECONDS = 0.003
GRACE_SECONDS = 20.0
BARE = "bare publish to consumer"
COMMIT = "the commit alone"
PLACE = Statement(b"place", b"select views.place('%b')" % STATUS.name.encode())
Seen = dict[UUID, float]
"""When each event's append began, or when it arrived; by stream, of which each event has its own."""


def _goals(name: str, side: str, what: str, p50: float = 5, p99: float = 20, *, beside: str | None = None) -> tuple[Goal, ...]:
    """beside: what stands beside the figures under load."""
    loaded = f"{side} loaded"
    return (
        Goal(
            id=name, case=f"{what}, at rest, p50", unit="ms", must=p50, better="less", side=side, figure="p50", reference=BARE, bound=True
        ),
        Goal(
            id=name, case=f"{what}, at rest, p99", unit="ms", must=p99, better="less", side=side, figure="p99", reference=BARE, bound=True
        ),
        *(
            Goal(
                id=name,
                case=f"{what}, {RATE:,} ev/s, {figure}",
                unit="ms",
                must=must,
                better="less",
                side=loaded,
                figure=figure,
                reference=beside,
                bound=True,
            )
            for figure, must in (("p50", p50), ("p99", p99))
        ),
    )


GOALS = (
    *_goals("commit-consumer", "jetstream", "to a JetStream consumer"),
    *_goals("commit-consumer", "feed", "to the default feed"),
    *_goals("commit-view", "view", "to the status view's row"),
    *_goals("commit-sse", "sse", "to a client of SSE", 10, 40, beside=COMMIT),
)


async def measure(place: Place) -> AsyncIterator[Row]:
    """Each consumer alone, at rest and under load."""
    async with AsyncExitStack() as stack:
        sides: dict[str, Callable[[], Awaitable[Figures]]] = {}
        if place.ids & {"commit-consumer", "commit-view"}:
            store = await PostgresEventStore.open(place.database())
            stack.push_async_callback(store.close)
            feed = await PostgresFeed.open(store)
            stack.push_async_callback(feed.close)
            names = Names(prefix="bench")
            await _relay(stack, feed, place, names)
        if "commit-consumer" in place.ids:
            jetstream = await JetStreamFeed.open(store, place.nats_url, names)
            stack.push_async_callback(jetstream.close)
            for name, source in (("jetstream", jetstream), ("feed", feed)):
                sides[name] = lambda source=source: _consumer(store, source, _at_rest)  # type: ignore[misc]  # a default argument has no type in a lambda
                sides[f"{name} loaded"] = lambda source=source: _consumer(store, source, _loaded)  # type: ignore[misc]  # a default argument has no type in a lambda
        if "commit-view" in place.ids:
            sides["view"] = lambda: _view(store, feed, _at_rest)
            sides["view loaded"] = lambda: _view(store, feed, _loaded)
        if "commit-sse" in place.ids:
            own, http = await stack.enter_async_context(_gateway(place))
            sides["sse"] = lambda: _sse(own, http, _at_rest)
            sides["sse loaded"] = lambda: _sse(own, http, _loaded)
        sides[BARE] = lambda: _bare(place.nats_url)
        rounds = await alternate(sides, place.probe)
    if "commit-sse" in place.ids:
        rounds = [replace(each, figures={**each.figures, COMMIT: _committed(each.figures["sse loaded"])}) for each in rounds]
    for goal in GOALS:
        if goal.id in place.ids:
            yield judge(goal, rounds)


def _committed(figures: Figures) -> Figures:
    """How late the same events were in the log, of what `_sse` measured."""
    return {"p50": figures["commit p50"], "p99": figures["commit p99"]}


class Waiting:
    """Who waits until an event has arrived."""

    def __init__(self) -> None:
        self.seen: Seen = {}
        self._arrived = asyncio.Event()

    def note(self, streams: Iterable[UUID]) -> None:
        """These have arrived now."""
        self.seen.update(dict.fromkeys(streams, time.perf_counter()))
        self._arrived.set()

    async def until(self, streams: Iterable[UUID]) -> None:
        """Return when all of these have arrived."""
        async with asyncio.timeout(GRACE_SECONDS):
            for stream in streams:
                while stream not in self.seen:
                    self._arrived.clear()
                    await self._arrived.wait()


Produce = Callable[[PostgresEventStore, Waiting], Awaitable[Seen]]


async def _consumer(store: PostgresEventStore, source: Feed, produce: Produce) -> Figures:
    """Latencies of a consumer of this feed."""
    waiting = Waiting()

    async def consume(after: int) -> None:
        async with aclosing(source.pages(after)) as pages:  # type: ignore[type-var]  # feeds are generators
            async for page in pages:
                waiting.note(event.stream for event in page.events)

    consumer = asyncio.create_task(consume(await store.head()))
    try:
        return _figures(await produce(store, waiting), waiting.seen)
    finally:
        consumer.cancel()
        await asyncio.gather(consumer, return_exceptions=True)


async def _view(store: PostgresEventStore, feed: PostgresFeed, produce: Produce) -> Figures:
    """Latencies until another connection can read what the projector made."""
    projector = Projector(lambda: connect(store.database_url, session_name("projector")), feed, tuple(VIEWS.values()))
    await projector.prepare()
    waiting = Waiting()
    connection = await connect(store.database_url, session_name("bench"))
    place, committed = Direct(connection), deque[StoredRow]()

    async def look() -> None:
        """Note the events of the log, in their order, as the view's position passes them."""
        while True:
            ((position,),) = await place.run(PLACE)
            arrived = []
            while committed and committed[0][0] <= position:
                arrived.append(committed.popleft()[1])
            if arrived:
                waiting.note(arrived)
            await asyncio.sleep(LOOK_SECONDS)  # a view tells nobody that it has moved

    tasks = [asyncio.create_task(projector.run())]
    try:
        if not await positions.wait(_lent(connection), STATUS.name, await store.head(), GRACE_SECONDS):
            raise TimeoutError("the view does not catch up")
        store.committed.append(committed.extend)
        tasks.append(asyncio.create_task(look()))
        return _figures(await produce(store, waiting), waiting.seen)
    finally:
        if committed.extend in store.committed:
            store.committed.remove(committed.extend)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await connection.close()


async def _relay(stack: AsyncExitStack, feed: PostgresFeed, place: Place, names: Names) -> None:
    """What a server always does beside: publish its commits to JetStream."""
    relay = Relay(feed, place.nats_url, names)
    relay.start()
    stack.push_async_callback(relay.close)


@asynccontextmanager
async def _gateway(place: Place) -> AsyncIterator[tuple[PostgresEventStore, Http]]:
    """A gateway with its socket: the store by which its process commits, and a client of it."""
    data = place.directory / "data"
    data.mkdir(mode=0o700)
    bound = bind("127.0.0.1", 0)
    url = f"http://127.0.0.1:{bound.getsockname()[1]}"
    async with AsyncExitStack() as stack:
        parts = await shared(stack, Settings(data=data), Places(place.database(), None, url))
        await tables(parts)
        made = await gateway(parts)
        assert isinstance(parts.feed, PostgresFeed), "it is the default"
        await _relay(stack, parts.feed, place, Names(prefix="bench-sse"))
        listening = Listening(made.app, bound, None)
        await listening.start()
        stack.push_async_callback(listening.stop)
        stack.push_async_callback(made.quiesce)
        http = Http(url, (data / "token").read_text().strip())
        stack.callback(http.close)
        yield parts.store, http


async def _sse(store: PostgresEventStore, http: Http, produce: Produce) -> Figures:
    """Latencies until a client has the event, and until it is committed."""
    waiting = Waiting()
    path = f"/api/v1/events/stream?after={await store.head()}"

    async def follow() -> None:
        rest = b""
        async with aclosing(http.stream(path)) as pieces:  # type: ignore[type-var]  # it is a generator
            async for piece in pieces:
                *whole, rest = (rest + piece).split(b"\n\n")
                waiting.note(UUID(each.partition(b'"stream":"')[2][:36].decode()) for each in whole if b'"stream":"' in each)

    committed = Waiting()

    def note(rows: Sequence[StoredRow]) -> None:
        committed.note(row[1] for row in rows)

    client = asyncio.create_task(follow())
    store.committed.insert(0, note)
    try:
        began = await produce(store, waiting)
    finally:
        store.committed.remove(note)
        client.cancel()
        await asyncio.gather(client, return_exceptions=True)
    commits = _figures(began, committed.seen)
    return {**_figures(began, waiting.seen), "commit p50": commits["p50"], "commit p99": commits["p99"]}


def _lent(connection: Connection) -> positions.Connections:
    @asynccontextmanager
    async def lend() -> AsyncIterator[Connection]:
        yield connection

    return lend


async def _at_rest(store: PostgresEventStore, waiting: Waiting) -> Seen:
    """One event after the other, each when the one before has arrived."""
    began: Seen = {}
    for _ in range(AT_REST):
        writes = samples.write()
        began[writes[0].stream] = time.perf_counter()
        await store.append(writes)
        await waiting.until([writes[0].stream])
        await asyncio.sleep(REST_SECONDS)  # the rest is what is measured: a feed at rest
    return began


async def _loaded(store: PostgresEventStore, waiting: Waiting) -> Seen:
    """Appends at a fixed rate, whether or not the ones before have arrived; a late start counts as waiting."""
    began: Seen = {}
    appends = []
    start = time.perf_counter()
    for number in range(int(RATE * SECONDS / PER_APPEND)):
        due = start + number * PER_APPEND / RATE
        await asyncio.sleep(max(0.0, due - time.perf_counter()))  # keeps the rate
        writes = samples.write(PER_APPEND)
        began.update(dict.fromkeys((write.stream for write in writes), due))
        appends.append(asyncio.create_task(store.append(writes)))
    await asyncio.gather(*appends)
    await waiting.until(began)
    return began


async def _bare(url: str) -> Figures:
    """JetStream alone: publish, and a push consumer's callback."""
    client = await nats.connect(url)
    jetstream = client.jetstream()
    await jetstream.add_stream(name="bare", subjects=["bare"])
    waiting = Waiting()
    began: Seen = {}

    async def arrived(message: Msg) -> None:
        waiting.note([UUID(bytes=message.data[:16])])
        await message.ack()

    await jetstream.subscribe("bare", cb=arrived, manual_ack=True)
    for _ in range(AT_REST):
        name = uuid4()
        began[name] = time.perf_counter()
        await jetstream.publish("bare", name.bytes + samples.STATE)
        await waiting.until([name])
        await asyncio.sleep(REST_SECONDS)  # the rest is what is measured: a feed at rest
    await jetstream.delete_stream("bare")
    await client.close()
    return _figures(began, waiting.seen)


def _figures(began: Seen, seen: Seen) -> Figures:
    taken = [(seen[stream] - at) * 1e3 for stream, at in began.items()]
    return {"p50": percentile(taken, 0.5), "p99": percentile(taken, 0.99)}
