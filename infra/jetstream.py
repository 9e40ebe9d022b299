"""Pages of the log as JetStream messages: names, bytes, the stream, one session with the server.

JetStream is the fast messenger and never the only copy: nothing here is needed for correctness, no setting of its
durability matters, and a stream that is gone is simply made again. A page's message holds the stored rows, so the
envelope travels unchanged; a page too large for a message travels without them, and consumers read the store.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from uuid import UUID

import msgspec
from nats.aio.client import Client
from nats.errors import ConnectionClosedError, MaxPayloadError
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import Header, RetentionPolicy, StorageType, StreamConfig
from nats.js.errors import NotFoundError

from domain.ports import Page
from infra import codec
from infra.append_call import StoredRow

logger = logging.getLogger(__name__)

PREFIX = "ledgermill"
BODY_BYTES_MAX = 512 << 10
"""Below the server's default limit of 1 MB a message."""

AGE_SECONDS = 3_600.0
STREAM_BYTES_MAX = 256 << 20
ACK_SECONDS = 5.0
AWAY = (NatsError, OSError, TimeoutError)
"""What a session raises when the server is away or its stream is gone."""

Row = tuple[int, bytes, int, str, bytes]
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[int, int, int, list[Row]]).decode


class Names(msgspec.Struct, frozen=True):
    """What one shard's pages and single events are called. prefix: tells several installations on one server apart."""

    shard: int = 0
    prefix: str = PREFIX

    @property
    def pages_stream(self) -> str:
        """The stream of pages."""
        return f"{self.prefix}-pages-{self.shard}"

    @property
    def pages_subject(self) -> str:
        """The subject of pages."""
        return f"{self.prefix}.pages.{self.shard}"

    @property
    def events_stream(self) -> str:
        """The stream of single events, for outsiders."""
        return f"{self.prefix}-events-{self.shard}"

    @property
    def events_subject(self) -> str:
        """What the subjects of single events begin with."""
        return f"{self.prefix}.events.{self.shard}"


Message = tuple[str, Mapping[str, str], bytes]
"""(subject, headers, body). The subject has no blank, the headers have no line breaks."""


class Publisher(Client):
    """The client with a way to publish many messages at once: one by one they cost it four times as much."""

    async def publish_all(self, messages: Sequence[Message]) -> None:
        """Put messages into the buffer; the next publish sends them, before its own. Raises one of AWAY."""
        if self.is_closed:
            raise ConnectionClosedError
        await self._send_command(b"".join([self._in_wire_form(*message) for message in messages]))

    def _in_wire_form(self, subject: str, headers: Mapping[str, str], body: bytes) -> bytes:
        if len(body) > self.max_payload:
            raise MaxPayloadError
        lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
        head = f"NATS/1.0\r\n{lines}\r\n".encode()
        return b"HPUB %b %d %d\r\n%b%b\r\n" % (subject.encode(), len(head), len(head) + len(body), head, body)


class Session:
    """A connection to the server until it is lost. lost: set then."""

    def __init__(self, client: Publisher, lost: asyncio.Event) -> None:
        self.client = client
        self.lost = lost
        self.jetstream: JetStreamContext = client.jetstream(timeout=ACK_SECONDS)

    async def ensure_stream(self, name: str, subject: str) -> None:
        """Make the stream where it is missing: small, since the store has everything. Raises one of AWAY."""
        try:
            await self.jetstream.stream_info(name)
        except NotFoundError:
            await self.jetstream.add_stream(
                StreamConfig(
                    name=name,
                    subjects=[subject],
                    retention=RetentionPolicy.LIMITS,
                    storage=StorageType.FILE,
                    max_age=AGE_SECONDS,
                    max_bytes=STREAM_BYTES_MAX,
                    duplicate_window=120.0,
                )
            )


@asynccontextmanager
async def session(url: str, name: str) -> AsyncIterator[Session]:
    """Connect as `name`; ends the connection with the block. Raises one of AWAY. Does not reconnect: its user does."""
    lost = asyncio.Event()

    async def closed() -> None:
        lost.set()

    async def error(failure: Exception) -> None:
        logger.debug("nats: %s", failure)

    client = Publisher()
    await client.connect(
        url, name=name, allow_reconnect=False, connect_timeout=2, closed_cb=closed, disconnected_cb=closed, error_cb=error, ping_interval=10
    )
    try:
        yield Session(client, lost)
    finally:
        with contextlib.suppress(*AWAY):
            await client.close()


def encode_page(previous: int, rows: Sequence[StoredRow]) -> bytes:
    """The body of a page's message."""
    return _encode((previous, rows[0][0], rows[-1][0], [(row[0], row[1].bytes, row[2], row[3], bytes(row[4])) for row in rows]))


def encode_empty(previous: int, rows: Sequence[StoredRow]) -> bytes:
    """The body for a page that is too large: its place in the log, without the rows."""
    return _encode((previous, rows[0][0], rows[-1][0], []))


def decode_page(body: bytes) -> Page | None:
    """The page of a message; without events where the rows did not fit. None for bytes that are not a page."""
    try:
        previous, first, last, rows = _decode(body)
    except msgspec.MsgspecError:
        return None
    return Page(previous, first, last, tuple([codec.recorded(row[0], UUID(bytes=row[1]), row[2], row[3], row[4]) for row in rows]))


def page_headers(shard: int, previous: int, rows: Sequence[StoredRow]) -> dict[str, str]:
    """Headers of a page's message: what the server needs against doubles, and the page's place in the log."""
    return {
        Header.MSG_ID.value: f"{shard}-{rows[-1][0]}",
        "Ledgermill-Previous": str(previous),
        "Ledgermill-First": str(rows[0][0]),
        "Ledgermill-Last": str(rows[-1][0]),
    }
