"""The Merkle tree of RFC 9162 with SHA-256: roots, inclusion proofs and consistency proofs, made and verified.

A tree only grows. It keeps the hash of each perfect subtree, two for each leaf in all, so that appending costs one hash or
two and a proof of any size the tree had costs a few dozen. Verifying needs no tree.
"""

from collections.abc import Sequence
from hashlib import sha256

import msgspec

EMPTY_ROOT = sha256(b"").digest()
"""The root of a tree without leaves."""


_leaf = sha256(b"\x00").copy
_node = sha256(b"\x01").copy
"""A hash that has begun is copied: to begin one takes OpenSSL longer than all the rest."""


def leaf_hash(content: bytes) -> bytes:
    """The hash of a leaf: the prefix keeps a leaf from being taken for a node."""
    hashing = _leaf()
    hashing.update(content)
    return hashing.digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of an inner node."""
    hashing = _node()
    hashing.update(left + right)
    return hashing.digest()


Span = tuple[int, int]
"""Leaves begin .. end - 1, of which a proof holds one hash."""


def inclusion_spans(index: int, size: int) -> tuple[Span, ...]:
    """Of what the proof for a leaf is made (RFC 9162, 2.1.3.1). Raises ValueError for a leaf that the tree has not."""
    if not 0 <= index < size:
        raise ValueError(f"leaf {index} is not in a tree of {size} leaves")
    spans: list[Span] = []
    begin, end = 0, size
    while end - begin > 1:
        middle = begin + _split(end - begin)
        if index < middle:
            spans.append((middle, end))
            end = middle
        else:
            spans.append((begin, middle))
            begin = middle
    return tuple(reversed(spans))


def consistency_spans(first: int, second: int) -> tuple[Span, ...]:
    """Of what the proof between two sizes is made (RFC 9162, 2.1.4.1). Raises ValueError where the first is the larger one."""
    if not 0 <= first <= second:
        raise ValueError(f"a tree of {first} leaves is no beginning of one of {second}")
    if first in (0, second):
        return ()
    spans: list[Span] = []
    begin, end, whole = 0, second, True
    while first != end:
        middle = begin + _split(end - begin)
        if first <= middle:
            spans.append((middle, end))
            end = middle
        else:
            spans.append((begin, middle))
            begin, whole = middle, False
    return tuple(reversed(spans if whole else [*spans, (begin, end)]))


def perfect(begin: int, end: int) -> list[tuple[int, int]]:
    """The perfect subtrees that a span consists of, from the left, as (level, index): 2**level leaves, the index-th of that level.

    A span of a proof begins where all of them can: at a multiple of the largest.
    """
    found = []
    while begin < end:
        level = (end - begin).bit_length() - 1
        found.append((level, begin >> level))
        begin += 1 << level
    return found


def folded(hashes: Sequence[bytes]) -> bytes:
    """The hash over a span, from those of its perfect subtrees."""
    *others, found = hashes
    for each in reversed(others):
        found = node_hash(each, found)
    return found


def perfect_root(hashes: Sequence[bytes]) -> bytes:
    """The root over nodes of one level, as many as a power of two."""
    while len(hashes) > 1:
        pairs = iter(hashes)
        hashes = [node_hash(left, right) for left, right in zip(pairs, pairs, strict=True)]
    return hashes[0]


class Node(msgspec.Struct, frozen=True):
    """The hash of a perfect subtree: 2**level leaves, the index-th of that level."""

    level: int
    index: int
    hash: bytes


class Frontier:
    """The right edge of a tree that grows: its size and root, in as many hashes as the size has bits."""

    def __init__(self, size: int = 0, peaks: Sequence[bytes] = ()) -> None:
        """peaks: the hashes of the perfect subtrees that a tree of this size consists of, from the left."""
        self._peaks = [(level, peak) for (level, _), peak in zip(perfect(0, size), peaks, strict=True)]
        self.size = size

    def copy(self) -> "Frontier":
        """One that grows by itself."""
        return Frontier(self.size, [peak for _, peak in self._peaks])

    def add(self, found: bytes, level: int = 0) -> list[Node]:
        """Append a perfect subtree of 2**level leaves, of which the size is a multiple; returns it and all that it completes."""
        self.size += 1 << level
        nodes = [Node(level, (self.size >> level) - 1, found)]
        while self._peaks and self._peaks[-1][0] == level:
            found = node_hash(self._peaks.pop()[1], found)
            level += 1
            nodes.append(Node(level, (self.size >> level) - 1, found))
        self._peaks.append((level, found))
        return nodes

    def root(self) -> bytes:
        """The root now."""
        return folded([peak for _, peak in self._peaks]) if self._peaks else EMPTY_ROOT


class Tree:
    """A tree that grows by leaf hashes. Sizes and indexes count leaves, an index from 0."""

    def __init__(self) -> None:
        self._levels: list[list[bytes]] = [[]]

    @property
    def size(self) -> int:
        """How many leaves it has."""
        return len(self._levels[0])

    def append(self, leaf: bytes) -> None:
        """Add a leaf's hash, and all perfect subtrees that it completes."""
        level = 0
        self._levels[0].append(leaf)
        while len(self._levels[level]) % 2 == 0:
            if level + 1 == len(self._levels):
                self._levels.append([])
            left, right = self._levels[level][-2:]
            self._levels[level + 1].append(node_hash(left, right))
            level += 1

    def root(self, size: int | None = None) -> bytes:
        """The root when the tree had so many leaves, by default now. Raises ValueError for a size that it never had."""
        size = self._known(self.size if size is None else size)
        return self._subtree(0, size) if size else EMPTY_ROOT

    def inclusion(self, index: int, size: int | None = None) -> tuple[bytes, ...]:
        """The proof that leaf `index` is in the tree of that size."""
        size = self._known(self.size if size is None else size)
        return tuple([self._subtree(*span) for span in inclusion_spans(index, size)])

    def consistency(self, first: int, second: int | None = None) -> tuple[bytes, ...]:
        """The proof that the tree of size `second` is that of size `first`, only longer."""
        second = self._known(self.size if second is None else second)
        return tuple([self._subtree(*span) for span in consistency_spans(first, second)])

    def _known(self, size: int) -> int:
        if not 0 <= size <= self.size:
            raise ValueError(f"the tree has {self.size} leaves, and never had {size}")
        return size

    def _subtree(self, begin: int, end: int) -> bytes:
        """The hash over leaves begin .. end - 1; begin is a multiple of the next power of two."""
        return folded([self._levels[level][index] for level, index in perfect(begin, end)])


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """Whether the proof shows that this leaf hash stands at `index` of the tree with this size and root (RFC 9162, 2.1.3.2)."""
    if not 0 <= index < size:
        return False
    place, last, found = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            return False
        if place & 1 or place == last:
            found = node_hash(sibling, found)
            place, last = _shifted(place, last)
        else:
            found = node_hash(found, sibling)
        place, last = place >> 1, last >> 1
    return last == 0 and found == root


def verify_consistency(first: int, second: int, proof: Sequence[bytes], first_root: bytes, second_root: bytes) -> bool:
    """Whether the proof shows that the second tree begins with the first one (RFC 9162, 2.1.4.2)."""
    if not 0 <= first <= second:
        return False
    if first == second:
        return not proof and first_root == second_root
    if first == 0:
        return not proof and first_root == EMPTY_ROOT
    path = [first_root, *proof] if first & (first - 1) == 0 else list(proof)
    if not path:
        return False
    place, last = first - 1, second - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    old = new = path[0]
    for sibling in path[1:]:
        if last == 0:
            return False
        if place & 1 or place == last:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            place, last = _shifted(place, last)
        else:
            new = node_hash(new, sibling)
        place, last = place >> 1, last >> 1
    return last == 0 and old == first_root and new == second_root


def _shifted(place: int, last: int) -> tuple[int, int]:
    """Up to where the node is a right child, or the first one of its level."""
    while place and not place & 1:
        place, last = place >> 1, last >> 1
    return place, last


def _split(count: int) -> int:
    """The largest power of two that is smaller than `count`."""
    return 1 << ((count - 1).bit_length() - 1)
