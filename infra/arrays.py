"""Postgres arrays in binary form, joined from bytes: the driver's own dumper costs about 1 µs an element, this 0.2 µs.

Used for the arrays of an append and nothing else. Elements are never null.
"""

import struct
from collections.abc import Iterable, Sequence
from typing import ClassVar
from uuid import UUID

from psycopg import adapt, pq

_header = struct.Struct(">iiIii").pack
_length = struct.Struct(">i").pack
_uuid_length = _length(16)


class PostgresArray:
    """An array that is already in wire form. oid: of the array type."""

    __slots__ = ("content",)
    oid: ClassVar[int]

    def __init__(self, content: bytes) -> None:
        self.content = content


class Uuids(PostgresArray):
    """An uuid[]."""

    oid = 2951

    @classmethod
    def of(cls, values: Sequence[UUID]) -> "Uuids":
        """From UUIDs."""
        return cls(_array(2950, len(values), (_uuid_length + value.bytes for value in values)))


class Bigints(PostgresArray):
    """A bigint[]."""

    oid = 1016

    @classmethod
    def of(cls, values: Sequence[int]) -> "Bigints":
        """From integers below 2**63."""
        pairs = [part for value in values for part in (8, value)]
        return cls(_array(20, len(values), (struct.pack(f">{'iq' * len(values)}", *pairs),)))


class Texts(PostgresArray):
    """A text[]."""

    oid = 1009

    @classmethod
    def of(cls, values: Sequence[str]) -> "Texts":
        """From strings without NUL."""
        encoded = [value.encode() for value in values]
        return cls(_array(25, len(values), (_length(len(value)) + value for value in encoded)))


class Bytes(PostgresArray):
    """A bytea[]."""

    oid = 1001

    @classmethod
    def of(cls, values: Sequence[bytes]) -> "Bytes":
        """From bytes."""
        return cls(_array(17, len(values), (_length(len(value)) + value for value in values)))


def _array(element: int, size: int, parts: Iterable[bytes]) -> bytes:
    """One dimension, lower bound 1, no nulls; an empty array has no dimension."""
    if size == 0:
        return struct.pack(">iiI", 0, 0, element)
    return _header(1, 0, element, size, 1) + b"".join(parts)


def register(context: adapt.AdaptersMap) -> None:
    """Teach a connection's adapters to send these types."""
    for kind in (Uuids, Bigints, Texts, Bytes):
        context.register_dumper(kind, type(f"{kind.__name__}Dumper", (_Dumper,), {"oid": kind.oid}))


class _Dumper(adapt.Dumper):
    format = pq.Format.BINARY

    def dump(self, obj: PostgresArray) -> bytes:
        return obj.content
