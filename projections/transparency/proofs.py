"""Proofs from the stored tree: an event is in the log that a checkpoint speaks of, and a later checkpoint's log continues an earlier one's.

A hash that is not stored is made of at most 256 that are. Nothing here is believed by whoever verifies a proof.
"""

import msgspec

from domain.transparency import entry
from domain.transparency.entry import ENTRY_BYTES
from domain.transparency.growth import BLOCK, LEVELS, Growth, Piece
from domain.transparency.merkle import (
    EMPTY_ROOT,
    Frontier,
    Span,
    consistency_spans,
    folded,
    inclusion_spans,
    leaf_hash,
    perfect,
    perfect_root,
)
from projections.rows import Connection
from projections.transparency import tables


class Inclusion(msgspec.Struct, frozen=True):
    """That the entry of an event is in the tree of a size. index: of its leaf, from 0; hashes: the audit path (RFC 9162)."""

    index: int
    size: int
    entry: bytes
    hashes: tuple[bytes, ...]


class TreeDamaged(Exception):  # noqa: N818 - an outcome with a name of its own
    """The stored tree lacks what a proof needs: somebody has taken it away."""


async def inclusion(connection: Connection, position: int, size: int) -> Inclusion | None:
    """The proof for the event at a position in the tree of that size; None where that tree does not hold it. Raises TreeDamaged."""
    found = await tables.piece_of(connection, position)
    if found is None:
        return None
    for offset, content in enumerate(entry.split(found.entries)):
        index = found.first + offset
        if entry.decode(content).position == position and index < size:
            hashes = [await _span(connection, span) for span in inclusion_spans(index, size)]
            return Inclusion(index, size, content, tuple(hashes))
    return None


async def consistency(connection: Connection, first: int, second: int) -> tuple[bytes, ...]:
    """The proof that the tree of size `second` continues that of size `first`. Raises ValueError for sizes that no such proof is of."""
    return tuple([await _span(connection, span) for span in consistency_spans(first, second)])


async def root(connection: Connection, size: int) -> bytes:
    """The root of the tree when it had that size. Raises TreeDamaged."""
    return await _span(connection, (0, size)) if size else EMPTY_ROOT


async def grown(connection: Connection) -> Growth:
    """The right edge, to go on from. Raises TreeDamaged."""
    last = await tables.last_piece(connection)
    if last is None:
        return Growth()
    size = last.first + len(last.entries) // ENTRY_BYTES
    whole = size // BLOCK * BLOCK
    peaks = [await _perfect(connection, level, index) for level, index in perfect(0, whole)]
    rest: list[Piece] = await tables.pieces(connection, whole, whole + BLOCK)
    return Growth(Frontier(whole, peaks), rest, entry.decode(last.entries[-ENTRY_BYTES:]).position)


async def _span(connection: Connection, span: Span) -> bytes:
    return folded([await _perfect(connection, level, index) for level, index in perfect(*span)])


async def _perfect(connection: Connection, level: int, index: int) -> bytes:
    """The hash of one perfect subtree, from the nearest stored level below it."""
    stored = level // LEVELS * LEVELS
    begin, end = index << (level - stored), (index + 1) << (level - stored)
    if stored:
        hashes = await tables.nodes(connection, stored, begin, end)
    else:
        block = begin // BLOCK * BLOCK
        content = b"".join([piece.entries for piece in await tables.pieces(connection, block, block + BLOCK)])
        hashes = [leaf_hash(each) for each in entry.split(content[(begin - block) * ENTRY_BYTES : (end - block) * ENTRY_BYTES])]
    if len(hashes) != end - begin:
        raise TreeDamaged(f"the stored tree lacks {end - begin - len(hashes)} hashes of level {stored} from {begin} on")
    return perfect_root(hashes)
