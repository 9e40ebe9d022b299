"""Read routes of the tamper evidence: checkpoints, the keys that sign them, proofs, and what `audit verify` holds together.

Nobody has to believe what these routes say: a proof is checked against a checkpoint, and a checkpoint against its signature
and against the copies that are kept outside. Bytes stand as base64.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import StreamingResponse

from domain.transparency import note
from gateway.api.events import NDJSON, READ_EVENTS
from gateway.api.reads import (
    PER_PAGE,
    POSITION_MAX,
    WAIT_SECONDS,
    After,
    Cursor,
    Listing,
    Mine,
    PerPage,
    Reads,
    bad_cursor,
    least,
    listing,
    page,
    read_cursor,
    respond,
)
from gateway.openapi import tells
from gateway.problems import problem
from projections.rows import Connection
from projections.transparency import proofs, tables
from projections.transparency.proofs import TreeDamaged
from projections.transparency.tables import Kept

LOOK_SECONDS = 0.02

Position = Annotated[int, Path(ge=1, le=POSITION_MAX, description="The position of an event.")]
Size = Annotated[int, Query(ge=0, le=POSITION_MAX, description="How many events the log had.")]


class CheckpointShape(msgspec.Struct, frozen=True):
    """A signed checkpoint. size: how many events it covers, up to `position`; root: of their tree; note: as it was signed (C2SP)."""

    origin: str
    size: int
    position: int
    root: bytes
    at: datetime
    note: str


class KeyShape(msgspec.Struct, frozen=True):
    """A key that signs checkpoints. key: as C2SP writes it, name+id+key; pem: as openssl reads it."""

    key: str
    name: str
    key_id: str
    pem: str
    since: datetime


class TreeShape(msgspec.Struct, frozen=True):
    """The stored tree now. origin: the log's name in its checkpoints; size: how many events it holds."""

    origin: str
    size: int


class ProofShape(msgspec.Struct, frozen=True):
    """That an event is in the log which a checkpoint covers (RFC 9162).

    topic, state: the event as it is stored. entry: position (8 bytes), stream (16), version (8), SHA-256 of topic, zero byte
    and state; the leaf's hash is the SHA-256 of a zero byte and the entry. index, size, hashes: the proof; note: the
    checkpoint of that size, null where none was signed of it: the last one, or the log as it is where that does not cover the event.
    """

    position: int
    stream: UUID
    version: int
    topic: str
    state: bytes
    entry: bytes
    index: int
    size: int
    hashes: tuple[bytes, ...]
    root: bytes
    note: str | None


class ConsistencyShape(msgspec.Struct, frozen=True):
    """That the tree of `second` events begins with that of `first` (RFC 9162)."""

    first: int
    second: int
    first_root: bytes
    second_root: bytes
    hashes: tuple[bytes, ...]


class StoredShape(msgspec.Struct, frozen=True):
    """An event as it is stored."""

    position: int
    stream: UUID
    version: int
    topic: str
    state: bytes


class EntriesShape(msgspec.Struct, frozen=True):
    """Entries of the stored tree, 64 bytes each. first: the index of the first one."""

    first: int
    entries: bytes


def transparency_routes() -> APIRouter:
    """Below `/api/v1/audit`."""
    router = APIRouter(prefix="/api/v1/audit", tags=["audit"])

    @router.get("/checkpoint", summary="The last signed checkpoint of the log", openapi_extra=least("viewer"))
    @tells(CheckpointShape, problems=(404,))
    async def checkpoint(reads: Mine) -> Response:
        async with reads.connections() as connection:
            newest = await tables.checkpoints(connection, None, 1)
        if not newest:
            raise problem(404, "no_checkpoint", "no checkpoint has been signed yet", hint="one is signed some seconds after an event")
        return respond(shape(newest[0]))

    @router.get("/checkpoints", summary="All signed checkpoints, the newest first", openapi_extra=least("viewer"))
    @tells(Listing[CheckpointShape], returns=("Link",))
    async def checkpoints(request: Request, reads: Mine, per_page: PerPage = PER_PAGE, cursor: Cursor = None) -> Response:
        async with reads.connections() as connection:
            found = await tables.checkpoints(connection, size_of(cursor), per_page + 1)
        return page(request, found, per_page, shape=shape, cursor=lambda each: [each.size])

    @router.get("/keys", summary="The keys that have signed checkpoints", openapi_extra=least("viewer"))
    @tells(Listing[KeyShape])
    async def keys(request: Request, reads: Mine) -> Response:
        async with reads.connections() as connection:
            return listing(request, map(key_shape, await tables.keys(connection)))

    @router.get("/tree", summary="The name of the log, and how many events its tree holds", openapi_extra=least("viewer"))
    @tells(TreeShape)
    async def tree(reads: Mine) -> Response:
        async with reads.connections() as connection:
            return respond(TreeShape(await tables.origin(connection), await tables.size(connection)))

    @router.get(
        "/proof/{position}",
        summary="The proof that an event is in the log",
        openapi_extra=least("viewer"),
    )
    @tells(ProofShape, problems=(409,))
    async def proof(
        reads: Mine,
        position: Position,
        size: Annotated[int | None, Query(ge=1, le=POSITION_MAX, description="Of the checkpoint that is in your hands.")] = None,
    ) -> Response:
        return respond(await proved(reads, position, size))

    @router.get("/consistency", summary="The proof that a later log continues an earlier one", openapi_extra=least("viewer"))
    @tells(ConsistencyShape, problems=(409,))
    async def consistency(reads: Mine, first: Size, second: Size) -> Response:
        async with reads.connections() as connection:
            held = await tables.size(connection)
            if not first <= second <= held:
                raise problem(
                    422, "bad_sizes", f"{first} and {second} are no two sizes, one not above the other, of a tree of {held} events"
                )
            try:
                roots = [await proofs.root(connection, each) for each in (first, second)]
                hashes = await proofs.consistency(connection, first, second)
            except TreeDamaged as error:
                raise damaged(error) from error
        return respond(ConsistencyShape(first, second, roots[0], roots[1], hashes))

    @router.get("/log", summary="The whole log as it is stored, a JSON object a line", openapi_extra=least("operator"))
    @tells(StoredShape, lines=True)
    async def log(reads: Mine, after: After = 0) -> Response:
        return StreamingResponse(_stored(reads, after), media_type=NDJSON)

    @router.get("/entries", summary="The entries of the stored tree, some thousand a line", openapi_extra=least("operator"))
    @tells(EntriesShape, lines=True)
    async def entries(reads: Mine, first: Size = 0) -> Response:
        return StreamingResponse(_entries(reads, first), media_type=NDJSON)

    return router


def shape(kept: Kept) -> CheckpointShape:
    """A checkpoint as the API shows it; its fields are those of the note."""
    found = note.read_checkpoint(note.read_note(kept.note).text)
    return CheckpointShape(found.origin, found.size, kept.position, found.root, kept.at, kept.note)


def key_shape(kept: tables.Key) -> KeyShape:
    """A key as the API shows it."""
    name, public = note.read_verifier_key(kept.key)
    return KeyShape(kept.key, name, note.key_id(name, public).hex(), note.public_pem(public), kept.since)


def size_of(cursor: str | None) -> int | None:
    """The size in a cursor."""
    values = read_cursor(cursor)
    if values is None:
        return None
    if len(values) != 1 or not isinstance(values[0], int) or not 0 <= values[0] <= POSITION_MAX:
        raise bad_cursor(cursor)
    return values[0]


def damaged(error: TreeDamaged) -> Exception:
    """409: no proof can be made."""
    return problem(409, "tree_damaged", str(error), hint="ledgermill audit verify names what is missing")


async def proved(reads: Reads, position: int, size: int | None) -> ProofShape:
    """The proof of one event of the caller's tenant."""
    head = await reads.log.head()
    if position > head:
        raise problem(422, "point_ahead", f"position {position} is in the future: the log ends at {head}")
    _, rows = await reads.reading.rows(position - 1, 1)
    if not await reads.log.at(position) or not rows or rows[0][0] != position:
        raise problem(404, "event_not_found", f"there is no event at position {position}", hint="GET /api/v1/events lists them")
    async with reads.connections() as connection:
        newest = await tables.checkpoints(connection, None if size is None else size + 1, 1)
        held = await _held(connection, position)
        if size is None:
            size = newest[0].size if newest and newest[0].position >= position else held
        if size > held:
            raise problem(422, "size_ahead", f"the log has never had {size} events", hint="GET /api/v1/audit/checkpoint")
        try:
            found = await proofs.inclusion(connection, position, size)
            root = await proofs.root(connection, size)
        except TreeDamaged as error:
            raise damaged(error) from error
    if found is None:
        raise problem(
            409,
            "not_covered",
            f"the event at position {position} is not among the first {size} events",
            hint="ask for a larger size, or without one",
        )
    _, stream, version, topic, state = rows[0]
    signed = newest[0].note if newest and newest[0].size == size else None
    return ProofShape(position, stream, version, topic, state, found.entry, found.index, size, found.hashes, root, signed)


async def _held(connection: Connection, position: int) -> int:
    """How many events the tree holds, once it holds the one at this position or two seconds have passed."""
    give_up_at = time.monotonic() + WAIT_SECONDS
    while await tables.position(connection) < position and time.monotonic() < give_up_at:  # noqa: ASYNC110 - see below
        await asyncio.sleep(LOOK_SECONDS)  # the tree tells nobody that it has grown
    return await tables.size(connection)


async def _stored(reads: Reads, after: int) -> AsyncIterator[bytes]:
    head = await reads.log.head()
    encode = msgspec.json.encode
    while after < head:
        _, rows = await reads.reading.rows(after, READ_EVENTS)
        if not rows:
            return
        yield b"".join([encode(StoredShape(*row)) + b"\n" for row in rows])
        after = rows[-1][0]


async def _entries(reads: Reads, first: int) -> AsyncIterator[bytes]:
    async with reads.connections() as connection:
        async for index, content in tables.entries(connection, first):
            yield msgspec.json.encode(EntriesShape(index, content)) + b"\n"
