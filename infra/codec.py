"""Events to stored bytes and back: the only module that knows how an event lies in the log.

A row holds a topic (`JobQueued.v1`: stable name and schema) and a state: JSON of the envelope with the event under
"data". JSON, because the log outlives the code that wrote it and an operator must be able to read it with SQL. One
decoder per topic reads envelope and event in one call. What cannot be read becomes `Unreadable` and keeps its bytes: a
row must never be skipped and never stop a reader.
"""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import partial
from typing import Any, Generic, TypeVar
from uuid import UUID

import msgspec

from domain.envelope import Meta, Recorded, Unreadable
from domain.events import NAMES, REGISTER, UPCASTERS
from domain.ports import NewEvent

T = TypeVar("T")


class Stored(msgspec.Struct, Generic[T], omit_defaults=True, gc=False):
    """The state of a row: the fields of Meta in their order, then the event."""

    at: datetime
    tenant: str
    actor: str
    data: T
    token: str | None = None
    command: UUID | None = None
    cause: UUID | None = None
    correlation: UUID | None = None


TOPICS: dict[type[msgspec.Struct], str] = {shape: f"{name}.v{schema}" for shape, (name, schema) in NAMES.items()}
"""What a row of each type of event is marked with."""

_encode = msgspec.json.Encoder().encode
_envelope = msgspec.json.Decoder(Stored[msgspec.Raw])
_plain = msgspec.json.Decoder(Stored[dict[str, Any]])
_NO_META = Meta(at=datetime.fromtimestamp(0, UTC), tenant="", actor="")

Reader = tuple[str, int, Callable[[bytes], Stored[Any]]]
_readers: dict[str, Reader] = {}


def to_row(event: NewEvent) -> tuple[str, bytes]:
    """(topic, state) of a new event. Raises KeyError when its type is not registered."""
    meta, data = event.meta, event.data
    state = _encode(Stored(meta.at, meta.tenant, meta.actor, data, meta.token, meta.command, meta.cause, meta.correlation))
    return TOPICS[type(data)], state


def recorded(position: int, stream: UUID, version: int, topic: str, state: bytes) -> Recorded:
    """The event of one row, in its newest shape; `data` is `Unreadable` where this code cannot read it."""
    name, schema, read = _readers.get(topic) or _reader(topic)
    try:
        row = read(state)
    except (msgspec.MsgspecError, KeyError, TypeError, ValueError) as error:
        return Recorded(position, stream, version, name, schema, *_malformed(state, error))
    meta = Meta(row.at, row.tenant, row.actor, row.token, row.command, row.cause, row.correlation)
    return Recorded(position, stream, version, name, schema, meta, row.data)


def events(rows: Iterable[tuple[int, UUID, int, str, bytes]]) -> list[Recorded]:
    """The events of rows. Those of one stream share its id as one object: two equal ones are compared by Python, one is not."""
    streams: dict[int, UUID] = {}
    return [recorded(row[0], streams.setdefault(row[1].int, row[1]), *row[2:]) for row in rows]


def _reader(topic: str) -> Reader:
    """The reader of a topic, kept for the next row. Unknown topics are not kept: their number has no bound."""
    name, _, digits = topic.rpartition(".v")
    schema = int(digits) if digits.isdecimal() else 0
    shape, newest = REGISTER.get(name, (None, 0))
    if shape is None or not 0 < schema <= newest:
        reason = "unknown_type" if shape is None or schema == 0 else "newer_schema"
        return (name or topic, schema, partial(_keep, reason))
    if schema == newest:
        reader: Reader = (name, schema, msgspec.json.Decoder(Stored[shape]).decode)  # type: ignore[valid-type]  # a type made at run time
    else:
        reader = (name, schema, partial(_upcast, name, schema, newest, shape))
    _readers[topic] = reader
    return reader


def _upcast(name: str, schema: int, newest: int, shape: type[msgspec.Struct], state: bytes) -> Stored[Any]:
    """Read an old shape as plain JSON and lift it one schema at a time."""
    row = _plain.decode(state)
    data = row.data
    for version in range(schema, newest):
        data = UPCASTERS[name, version](data)
    return Stored(row.at, row.tenant, row.actor, msgspec.convert(data, shape), row.token, row.command, row.cause, row.correlation)


def _keep(reason: str, state: bytes) -> Stored[Any]:
    row = _envelope.decode(state)
    return Stored(row.at, row.tenant, row.actor, Unreadable(reason, bytes(row.data)), row.token, row.command, row.cause, row.correlation)


def _malformed(state: bytes, error: Exception) -> tuple[Meta, Unreadable]:
    """The content of a row whose bytes do not fit its topic; its envelope as far as that can be read."""
    try:
        row = _envelope.decode(state)
        meta = Meta(row.at, row.tenant, row.actor, row.token, row.command, row.cause, row.correlation)
    except msgspec.MsgspecError:
        meta = _NO_META
    return meta, Unreadable("malformed", state, str(error))
