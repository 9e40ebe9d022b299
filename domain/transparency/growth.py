"""How the stored tree grows by a page of the log: which entries and nodes are written for it.

Entries are stored in blocks of 256. The last, unfinished block lies in pieces, one a page; who completes it writes it as one,
and the node over it. Of the nodes above only every eighth level is stored: a proof needs others too, and they are made of at
most 256 stored ones. So an event costs 64 bytes and a fraction, written once or twice, and no row is ever changed.
"""

from collections.abc import Sequence

import msgspec

from domain.transparency import entry
from domain.transparency.entry import ENTRY_BYTES
from domain.transparency.merkle import Frontier, Node, leaf_hash, perfect_root

BLOCK_LEVEL = 8
BLOCK = 1 << BLOCK_LEVEL
LEVELS = 8
"""Nodes are stored of each level that is a multiple of this."""


class Piece(msgspec.Struct, frozen=True):
    """Entries that are stored together. first: the index of the first one; position: its place in the log."""

    first: int
    position: int
    entries: bytes


class Change(msgspec.Struct, frozen=True):
    """What one page of the log adds. replaced: the first index of the pieces that a whole block now stands for."""

    pieces: tuple[Piece, ...]
    nodes: tuple[Node, ...]
    replaced: tuple[int, ...]


class Growth:
    """The stored tree's right edge in memory. position: of the last event that it holds, 0 for none."""

    def __init__(self, whole: Frontier | None = None, pieces: Sequence[Piece] = (), position: int = 0) -> None:
        """whole: over all whole blocks; pieces: what is stored of the last one."""
        self._whole = whole or Frontier()
        self._pieces = list(pieces)
        self.position = position

    @property
    def size(self) -> int:
        """How many events the tree holds."""
        return self._whole.size + len(self._open()) // ENTRY_BYTES

    def root(self) -> bytes:
        """The root over all of them."""
        frontier = self._whole.copy()
        for each in entry.split(self._open()):
            frontier.add(leaf_hash(each))
        return frontier.root()

    def take(self, added: bytes) -> Change:
        """Add entries in the order of the log."""
        pieces: list[Piece] = []
        nodes: list[Node] = []
        replaced: list[int] = []
        taken = 0
        while taken < len(added):
            begun = self._open()
            part = added[taken : taken + BLOCK * ENTRY_BYTES - len(begun)]
            position = entry.decode(part[:ENTRY_BYTES]).position
            if len(begun) + len(part) < BLOCK * ENTRY_BYTES:
                piece = Piece(self.size, position, part)
                self._pieces.append(piece)
            else:
                piece = Piece(self._whole.size, self._pieces[0].position if self._pieces else position, begun + part)
                replaced += [each.first for each in self._pieces]
                self._pieces = []
                over = perfect_root([leaf_hash(each) for each in entry.split(piece.entries)])
                nodes += [node for node in self._whole.add(over, BLOCK_LEVEL) if node.level % LEVELS == 0]
            pieces.append(piece)
            taken += len(part)
        if added:
            self.position = entry.decode(added[-ENTRY_BYTES:]).position
        return Change(tuple(pieces), tuple(nodes), tuple(replaced))

    def _open(self) -> bytes:
        """The entries of the last block, which is not whole."""
        return b"".join([piece.entries for piece in self._pieces])
