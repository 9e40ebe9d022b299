"""The tree that grows by pages and keeps one node in 256: at every size it has the root of the whole tree in memory."""

from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from domain.transparency import entry
from domain.transparency.entry import Row
from domain.transparency.growth import BLOCK, LEVELS, Growth, Piece
from domain.transparency.merkle import Frontier, Tree, folded, leaf_hash, perfect

STREAM = UUID(int=7)


def rows(first: int, count: int) -> list[Row]:
    """Rows with holes between their positions."""
    return [(3 * number + 1, STREAM, number + 1, "JobStarted.v1", b"%d" % number) for number in range(first, first + count)]


def test_an_entry_says_all_that_a_row_says() -> None:
    """No two rows have one entry: neither place nor content may differ, nor slip from topic to state."""
    row: Row = (5, STREAM, 2, "JobQueued.v1", b'{"at":1}')
    others: list[Row] = [
        (6, *row[1:]),
        (5, UUID(int=8), *row[2:]),
        (5, STREAM, 3, *row[3:]),
        (5, STREAM, 2, "JobQueued.v2", row[4]),
        (5, STREAM, 2, row[3], b'{"at":2}'),
        (5, STREAM, 2, "JobQueued.v", b"1" + row[4]),
    ]
    assert len({entry.encode(each) for each in [row, *others]}) == len(others) + 1
    read = entry.decode(entry.encode(row))
    assert (read.position, read.stream, read.version, read.digest) == (5, STREAM, 2, entry.digest("JobQueued.v1", row[4]))
    assert len(entry.encode(row)) == entry.ENTRY_BYTES == 64


@settings(max_examples=30)
@given(st.lists(st.one_of(st.integers(1, 3), st.integers(1, 700)), min_size=1, max_size=12))
def test_whatever_the_pages_the_tree_is_the_same(pages: list[int]) -> None:
    """Roots, the position, and what is stored: each entry once, whole blocks in one piece, every eighth level of nodes."""
    growth, tree = Growth(), Tree()
    stored: dict[int, Piece] = {}
    nodes = {}
    done = 0
    for count in pages:
        page = rows(done, count)
        added = b"".join(map(entry.encode, page))
        change = growth.take(added)
        for first in change.replaced:
            del stored[first]
        stored |= {piece.first: piece for piece in change.pieces}
        nodes |= {(node.level, node.index): node.hash for node in change.nodes}
        for row in page:
            tree.append(leaf_hash(entry.encode(row)))
        done += count
        assert growth.root() == tree.root()
        assert (growth.size, growth.position) == (done, page[-1][0])
    assert b"".join(stored[first].entries for first in sorted(stored)) == b"".join(map(entry.encode, rows(0, done)))
    assert all(piece.position == 3 * piece.first + 1 for piece in stored.values())
    assert sum(len(piece.entries) == BLOCK * 64 for piece in stored.values()) == done // BLOCK
    assert {level % LEVELS for level, _ in nodes} <= {0}
    assert sorted(index for level, index in nodes if level == 8) == list(range(done // BLOCK))


def test_a_frontier_goes_on_from_its_peaks() -> None:
    """At each size up to 70, and it tells of every node that it completes."""
    leaves = [leaf_hash(b"%d" % number) for number in range(70)]
    whole, tree = Frontier(), Tree()
    for size, leaf in enumerate(leaves, 1):
        tree.append(leaf)
        for node in whole.add(leaf):
            assert node.hash == tree._levels[node.level][node.index]
        again = Frontier(size, [tree._levels[level][index] for level, index in perfect(0, size)])
        assert whole.root() == tree.root() == again.root() == whole.copy().root()
        assert folded([tree._levels[level][index] for level, index in perfect(0, size)]) == tree.root()
