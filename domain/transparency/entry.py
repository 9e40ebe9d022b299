"""What the tree's leaf says of one stored event: 64 bytes, of which the leaf's hash is taken.

    position (8 bytes) | stream (16) | version (8) | SHA-256 over topic, a zero byte, state (32)

Topic and state are the bytes of the row as it lies in the log, so any change of the row is another leaf: of what happened
(type, payload), of the envelope (who, when, why), of its place in its stream or in the log. The digest keeps a leaf small
enough to be kept outside the database, where it can name what was changed; and it proves an event whose content is gone.
"""

import struct
from collections.abc import Iterable, Iterator
from hashlib import sha256
from uuid import UUID

import msgspec

Row = tuple[int, UUID, int, str, bytes]
"""(position, stream, version, topic, state), as the log stores them."""

_FORM = struct.Struct(">q16sq32s")
ENTRY_BYTES = _FORM.size


class Entry(msgspec.Struct, frozen=True):
    """One leaf. digest: of the event's content."""

    position: int
    stream: UUID
    version: int
    digest: bytes


def digest(topic: str, state: bytes) -> bytes:
    """What stands for the content of an event. A topic holds no zero byte, so no two contents have one text."""
    return sha256(topic.encode() + b"\0" + state).digest()


def encode(row: Row) -> bytes:
    """The 64 bytes of a row. Whoever keeps the tree has the database compute the same (projections.transparency.tables)."""
    position, stream, version, topic, state = row
    return _FORM.pack(position, stream.bytes, version, digest(topic, state))


def decode(content: bytes) -> Entry:
    """The entry that these 64 bytes are."""
    position, stream, version, found = _FORM.unpack(content)
    return Entry(position, UUID(bytes=stream), version, found)


def split(content: bytes) -> list[bytes]:
    """The entries that stand one after the other."""
    return [content[begin : begin + ENTRY_BYTES] for begin in range(0, len(content), ENTRY_BYTES)]


def each(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The entries of all pieces."""
    for piece in pieces:
        yield from split(piece)
