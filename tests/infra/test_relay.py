"""Relay, JetStream feed and bridge when the messenger misbehaves: what the store holds arrives, once and in order."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from nats.js.errors import APIError

from domain.envelope import Recorded
from domain.ports import NewEvent, StreamWrite
from infra.bridge import Bridge, subject
from infra.embedded.supervisor import Embedded
from infra.event_store import PostgresEventStore
from infra.feed import PostgresFeed
from infra.jetstream import Message, Names, encode_empty, encode_page, page_headers, session
from infra.jetstream_feed import JetStreamFeed
from infra.relay import Relay
from tests.proxy import Proxy
from tests.samples import heartbeat, meta, stream, write

SLOW_POLL = 600.0
"""So long that what arrives in a test cannot have come by the poll."""


@pytest.fixture
async def wakeup(store: PostgresEventStore) -> AsyncIterator[PostgresFeed]:
    """The store's own feed, which wakes the relay."""
    feed = await PostgresFeed.open(store)
    yield feed
    await feed.close()


@pytest.fixture
def names(prefix: str) -> Names:
    """Names of this test alone."""
    return Names(prefix=prefix)


class Consumer:
    """Collects a feed's events and checks their order."""

    def __init__(self, feed: JetStreamFeed) -> None:
        self.seen: list[Recorded] = []
        self._grown = asyncio.Event()
        self._task = asyncio.create_task(self._run(feed))
        self._task.add_done_callback(lambda _: self._grown.set())

    async def _run(self, feed: JetStreamFeed) -> None:
        after = 0
        async for page in feed.pages(0):
            assert page.previous <= after < page.first
            after = page.last
            self.seen.extend(page.events)
            self._grown.set()

    async def has(self, expected: list[Recorded]) -> None:
        """Wait until as many events as expected have come; they must be those."""
        async with asyncio.timeout(10):
            while len(self.seen) < len(expected) and not self._task.done():
                self._grown.clear()
                await self._grown.wait()
        assert self.seen == expected

    async def stop(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


async def connected(feed: JetStreamFeed) -> None:
    """Wait until the feed receives from JetStream."""
    async with asyncio.timeout(10):
        while not feed._connected:
            await asyncio.sleep(0.005)


async def published(relay: Relay, position: int) -> None:
    """Wait until JetStream has acknowledged that position."""
    async with asyncio.timeout(10):
        while relay.published != position:
            await asyncio.sleep(0.005)


async def append(store: PostgresEventStore, *numbers: int) -> list[Recorded]:
    return [event for number in numbers for event in await store.append([write(stream(number), events=2)])]


async def test_pages_come_through_jetstream(store: PostgresEventStore, wakeup: PostgresFeed, nats_url: str, names: Names) -> None:
    """With a relay a consumer gets new events from JetStream alone, without asking the store."""
    feed = await JetStreamFeed.open(store, nats_url, names, poll_seconds=SLOW_POLL)
    await connected(feed)
    relay = Relay(wakeup, nats_url, names)
    relay.start()
    consumer = Consumer(feed)
    done = await append(store, 1)
    await consumer.has(done)
    done += await append(store, *range(2, 40))
    await consumer.has(done)
    await published(relay, done[-1].position)
    await consumer.stop()
    await relay.close()
    await feed.close()


async def test_doubled_swapped_and_dropped_pages_are_repaired(store: PostgresEventStore, nats_url: str, names: Names) -> None:
    """A hostile messenger: pages twice, in the wrong order, missing, overlapping, empty, garbage."""
    feed = await JetStreamFeed.open(store, nats_url, names, poll_seconds=SLOW_POLL)
    await connected(feed)
    consumer = Consumer(feed)
    async with session(nats_url, "test") as nats:

        async def publish(previous: int, rows: list, body: bytes | None = None) -> None:
            await nats.jetstream.publish(names.pages_subject, encode_page(previous, rows) if body is None else body)

        done: list[Recorded] = []
        for turn in range(8):
            before = await store.head()
            done += await append(store, *range(turn * 10, turn * 10 + 5))
            _, rows = await store.rows(before)
            first, second, third, fourth, fifth = (rows[start : start + 2] for start in range(0, 10, 2))
            await publish(before, first)
            await publish(before, first)
            await publish(third[-1][0], fourth)
            await publish(first[-1][0], second)
            await publish(before, rows[:7])
            await publish(0, [], b"garbage")
            await publish(fourth[-1][0], fifth, encode_empty(fourth[-1][0], fifth))
            await consumer.has(done)
    await consumer.stop()
    await feed.close()


async def test_two_relays_do_no_harm(store: PostgresEventStore, wakeup: PostgresFeed, nats_url: str, names: Names) -> None:
    """Relays that run at once cut pages differently; a consumer sees each event once."""
    relays = [Relay(wakeup, nats_url, names) for _ in range(2)]
    for relay in relays:
        relay.start()
    feed = await JetStreamFeed.open(store, nats_url, names)
    consumer = Consumer(feed)
    done: list[Recorded] = []
    for turn in range(30):
        done += await append(store, turn)
    await consumer.has(done)
    await consumer.stop()
    await feed.close()
    for relay in relays:
        await relay.close()


@pytest.fixture
async def own_nats(tmp_path_factory: pytest.TempPathFactory, servers: Embedded, unused_port: int) -> AsyncIterator[tuple[Proxy, "OwnNats"]]:
    """A NATS server of this test, behind a wire with a fixed address."""
    server = OwnNats(tmp_path_factory.mktemp("nats") / "data", unused_port)
    wire = Proxy.tcp(unused_port, "127.0.0.1", await server.start())
    await wire.up()
    yield wire, server
    await wire.down()
    await server.stop()


class OwnNats:
    """An embedded NATS that a test stops, wipes and starts again."""

    def __init__(self, data: Path, wire_port: int) -> None:
        self.data = data
        self.wire_url = ""
        self._wire_port = wire_port
        self._running: Embedded | None = None

    async def start(self) -> int:
        """Start; returns the port."""
        self._running = await asyncio.to_thread(Embedded.start, self.data, postgres=False)
        url = urlsplit(self._running.nats_url)
        self.wire_url = f"nats://{url.username}@127.0.0.1:{self._wire_port}"
        assert url.port is not None
        return url.port

    async def stop(self) -> None:
        if self._running is not None:
            await asyncio.to_thread(self._running.stop)
            self._running = None


@pytest.fixture
def unused_port() -> int:
    """A port that nobody listens on now."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def test_an_absent_nats_delays_nothing_for_long(
    store: PostgresEventStore, wakeup: PostgresFeed, own_nats: tuple[Proxy, OwnNats], names: Names
) -> None:
    """NATS away from the start, then there, then away and back: consumers get everything throughout."""
    wire, server = own_nats
    await wire.down()
    relay = Relay(wakeup, server.wire_url, names)
    relay.start()
    feed = await JetStreamFeed.open(store, server.wire_url, names)
    consumer = Consumer(feed)
    done = await append(store, 1, 2)
    await consumer.has(done)
    await wire.up()
    await connected(feed)
    done += await append(store, 3, 4)
    await consumer.has(done)
    await wire.down()
    done += await append(store, 5, 6)
    await consumer.has(done)
    await wire.up()
    done += await append(store, 7, 8)
    await consumer.has(done)
    await published(relay, done[-1].position)
    await consumer.stop()
    await relay.close()
    await feed.close()


async def test_a_wiped_stream_is_made_again(
    store: PostgresEventStore, wakeup: PostgresFeed, own_nats: tuple[Proxy, OwnNats], names: Names
) -> None:
    """JetStream's directory is deleted while everything is down: relay and consumers start and miss nothing."""
    _, server = own_nats
    relay = Relay(wakeup, server.wire_url, names)
    relay.start()
    done = await append(store, 1, 2)
    await published(relay, done[-1].position)
    await relay.close()
    await server.stop()
    stored = [folder for folder in server.data.rglob("*") if folder.name == names.pages_stream]
    assert stored, "the server keeps the stream in its data directory"
    for folder in stored:
        shutil.rmtree(folder)
    done += await append(store, 3)
    port = await server.start()
    wire, _ = own_nats
    wire.connect = lambda: asyncio.open_connection("127.0.0.1", port)
    relay = Relay(wakeup, server.wire_url, names)
    relay.start()
    feed = await JetStreamFeed.open(store, server.wire_url, names)
    consumer = Consumer(feed)
    await consumer.has(done)
    await connected(feed)
    done += await append(store, 4, 5)
    await consumer.has(done)
    await published(relay, done[-1].position)
    await consumer.stop()
    await relay.close()
    await feed.close()


async def test_a_stream_deleted_while_up_is_repaired(store: PostgresEventStore, wakeup: PostgresFeed, nats_url: str, names: Names) -> None:
    """The stream vanishes under a running relay and a running consumer."""
    relay = Relay(wakeup, nats_url, names)
    relay.start()
    feed = await JetStreamFeed.open(store, nats_url, names, poll_seconds=0.2)
    consumer = Consumer(feed)
    await connected(feed)
    done = await append(store, 1)
    await consumer.has(done)
    async with session(nats_url, "test") as nats:
        await nats.jetstream.delete_stream(names.pages_stream)
        done += await append(store, 2, 3)
        await consumer.has(done)
        await published(relay, done[-1].position)
        assert (await nats.jetstream.stream_info(names.pages_stream)).config.name == names.pages_stream
    await consumer.stop()
    await relay.close()
    await feed.close()


async def test_a_stream_of_another_log_is_emptied(store: PostgresEventStore, wakeup: PostgresFeed, nats_url: str, names: Names) -> None:
    """A stream that is ahead of the log is not this log's: the relay starts it anew."""
    done = await append(store, 1)
    _, rows = await store.rows(0)
    foreign = [(row[0] + 1_000_000, *row[1:]) for row in rows]
    async with session(nats_url, "test") as nats:
        await nats.ensure_stream(names.pages_stream, names.pages_subject)
        await nats.jetstream.publish(names.pages_subject, encode_page(0, foreign), headers=page_headers(0, 0, foreign))
        relay = Relay(wakeup, nats_url, names)
        relay.start()
        await published(relay, done[-1].position)
        done += await append(store, 2)
        await published(relay, done[-1].position)
        message = await nats.jetstream.get_last_msg(names.pages_stream, names.pages_subject)
        assert (message.headers or {})["Ledgermill-Last"] == str(done[-1].position)
    await relay.close()


async def test_the_bridge_publishes_single_cloud_events(
    store: PostgresEventStore, wakeup: PostgresFeed, nats_url: str, names: Names
) -> None:
    """Outsiders subscribe by tenant, stream type and event type, and get each event with its envelope."""
    done = await append(store, 1)
    bridge = Bridge(store, wakeup, nats_url, names)
    bridge.start()
    async with session(nats_url, "test") as nats:
        async with asyncio.timeout(10):
            while await store.tracked(bridge.agent) < done[-1].position:
                await asyncio.sleep(0.005)
        message = await nats.jetstream.get_msg(names.events_stream, seq=1)
        info = await nats.jetstream.stream_info(names.events_stream)
    await bridge.close()
    assert info.state.messages == len(done)
    assert message.subject == subject(names, done[0]) == f"{names.prefix}.events.0.default.job.HeartbeatRecorded"
    headers = message.headers or {}
    assert (headers["ce-specversion"], headers["ce-type"], headers["ce-id"]) == ("1.0", "HeartbeatRecorded.v1", str(done[0].id))
    assert json.loads(message.data or b"")["epoch"] == heartbeat(1).data.epoch


async def test_the_bridge_publishes_a_page_whatever_names_are_in_it(
    store: PostgresEventStore, wakeup: PostgresFeed, nats_url: str, names: Names
) -> None:
    """A name with blanks, dots and line breaks stays in its place: each event of a page arrives, and nothing else does."""
    hostile = NewEvent(heartbeat().data, meta("a b.c\r\nce-id: mine\r\n\r\nPUB x 1\r\n"))
    done = await store.append([StreamWrite(stream(number), 0, (hostile,)) for number in range(5)])
    bridge = Bridge(store, wakeup, nats_url, names)
    bridge.start()
    async with session(nats_url, "test") as nats:
        async with asyncio.timeout(10):
            while await store.tracked(bridge.agent) < done[-1].position:
                await asyncio.sleep(0.005)
        messages = [await nats.jetstream.get_msg(names.events_stream, seq=number) for number in range(1, 6)]
        info = await nats.jetstream.stream_info(names.events_stream)
    await bridge.close()
    assert info.state.messages == 5
    assert [(message.headers or {})["ce-id"] for message in messages] == [str(event.id) for event in done]
    assert {(message.headers or {})["ce-tenant"] for message in messages} == {"a b.c ce-id: mine  PUB x 1"}
    assert {message.subject.count(".") for message in messages} == {5}
    assert {message.data for message in messages} == {messages[0].data}


async def test_the_bridge_goes_on_where_it_was(store: PostgresEventStore, wakeup: PostgresFeed, nats_url: str, names: Names) -> None:
    """A second bridge publishes what is new, and a repeat within the server's window is not seen."""
    done: list[Recorded] = []
    for turn in range(2):
        done += await append(store, turn)
        bridge = Bridge(store, wakeup, nats_url, names)
        bridge.start()
        async with asyncio.timeout(10):
            while await store.tracked(bridge.agent) < done[-1].position:
                await asyncio.sleep(0.005)
        await bridge.close()
    async with session(nats_url, "test") as nats:
        assert (await nats.jetstream.stream_info(names.events_stream)).state.messages == len(done)


async def test_a_page_of_which_a_message_is_missing_is_published_again(
    store: PostgresEventStore, wakeup: PostgresFeed, nats_url: str, names: Names
) -> None:
    """Only the last message of a page is acknowledged; it is refused where the one before it is not the stream's last."""
    done = await append(store, 1)
    bridge = Bridge(store, wakeup, nats_url, names)
    async with session(nats_url, "test") as nats:
        await nats.ensure_stream(names.events_stream, f"{names.events_subject}.>")
        publish = nats.client.publish_all

        async def losing(messages: Sequence[Message]) -> None:
            """The last message before the acknowledged one is lost on its way."""
            await publish(messages[:-1])

        nats.client.publish_all = losing  # type: ignore[method-assign]  # a fault that the client itself cannot be asked for
        with pytest.raises(APIError, match="wrong last msg ID"):
            await bridge._publish_all(nats, done)
        nats.client.publish_all = publish  # type: ignore[method-assign]  # a fault that the client itself cannot be asked for
        await bridge._publish_all(nats, done)
        assert (await nats.jetstream.stream_info(names.events_stream)).state.messages == len(done)
