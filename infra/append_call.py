"""The call of the shard's append function: rows to parameters. Both writers, the appender and the recorder, use it."""

import asyncio
from collections.abc import Sequence
from uuid import UUID

import msgspec

from domain.ports import Tracking
from infra.arrays import Bigints, Bytes, PostgresArray, Texts, Uuids
from infra.direct import Statement

Row = tuple[UUID, int, str, bytes]
"""(stream, version, topic, state)"""

StoredRow = tuple[int, UUID, int, str, bytes]
"""(position, stream, version, topic, state)"""

STREAM_CONFLICT = "LM001"
AGENT_CONFLICT = "LM002"
UNIQUE_VIOLATION = "23505"


class Request(msgspec.Struct, eq=False):
    """Rows that commit together. expected: the version of each of their streams before. done: gets the first position."""

    rows: list[Row]
    expected: dict[UUID, int]
    tracking: Tracking | None
    bytes: int
    give_up_at: float
    done: asyncio.Future[int]


class BrokenSequenceError(ValueError):
    """The rows of one stream in one append do not follow each other."""


def statement(shard: int) -> str:
    """SQL with nine binary parameters; gives one row with the first position."""
    return f"select public.append_events_{int(shard)}({', '.join(['%b'] * 9)})"


def prepared(shard: int) -> Statement:
    """The same statement for a connection that is asked directly."""
    oids = (kind.oid for kind in (Uuids, Bigints, Texts, Bytes, Uuids, Bigints, Texts, Bigints, Bigints))
    sql = f"select public.append_events_{int(shard)}({', '.join(f'${number}' for number in range(1, 10))})"
    return Statement(b"append", sql.encode(), tuple(oids))


def parameters(rows: Sequence[Row], tracking: Sequence[Tracking] = ()) -> tuple[PostgresArray, ...]:
    """The arguments. Raises BrokenSequenceError for versions of a stream that leave a hole or start below 1."""
    streams = [row[0] for row in rows]
    versions = [row[1] for row in rows]
    reached: dict[UUID, int] = {}
    continued: list[UUID] = []
    expected: list[int] = []
    for stream, version in zip(streams, versions, strict=True):
        before = reached.get(stream)
        if before is None:
            if version > 1:
                continued.append(stream)
                expected.append(version - 1)
            elif version < 1:
                raise BrokenSequenceError(f"version {version} of {stream}: versions count from 1")
        elif version != before + 1:
            raise BrokenSequenceError(f"version {version} of {stream} follows {before}")
        reached[stream] = version
    return (
        Uuids.of(streams),
        Bigints.of(versions),
        Texts.of([row[2] for row in rows]),
        Bytes.of([row[3] for row in rows]),
        Uuids.of(continued),
        Bigints.of(expected),
        Texts.of([move.agent for move in tracking]),
        Bigints.of([move.before for move in tracking]),
        Bigints.of([move.after for move in tracking]),
    )
