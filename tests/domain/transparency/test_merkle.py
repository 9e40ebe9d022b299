"""The tree against published roots, against the recursive definition of RFC 9162, and against whoever changes a bit."""

from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.transparency.merkle import EMPTY_ROOT, Tree, leaf_hash, node_hash, verify_consistency, verify_inclusion

LEAVES = [
    bytes.fromhex(each) for each in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
ROOTS = (
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)
"""The leaves and roots that Certificate Transparency's implementations test with."""


def grown(leaves: list[bytes]) -> Tree:
    """The tree over these leaves."""
    tree = Tree()
    for leaf in leaves:
        tree.append(leaf_hash(leaf))
    return tree


def defined(leaves: list[bytes]) -> bytes:
    """The root as the RFC defines it."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return leaf_hash(leaves[0])
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return node_hash(defined(leaves[:split]), defined(leaves[split:]))


def test_the_published_roots() -> None:
    """Of each size, also looked back at from the full tree."""
    tree = grown(LEAVES)
    assert tree.root(0) == EMPTY_ROOT == bytes.fromhex("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
    for size, root in enumerate(ROOTS, 1):
        assert grown(LEAVES[:size]).root().hex() == tree.root(size).hex() == root


def test_the_proofs_of_the_rfcs_own_example() -> None:
    """Seven leaves, d0 to d6, as RFC 9162 draws them: which nodes each proof holds."""
    d = [bytes([n]) for n in range(7)]
    tree = grown(d)
    a, b, c, dd, e, f, j = (leaf_hash(each) for each in d)
    g, h, i = node_hash(a, b), node_hash(c, dd), node_hash(e, f)
    k, last = node_hash(g, h), node_hash(i, j)
    assert tree.inclusion(0) == (b, h, last)
    assert tree.inclusion(3) == (c, g, last)
    assert tree.inclusion(4) == (f, j, k)
    assert tree.inclusion(6) == (i, k)
    assert tree.consistency(3) == (c, dd, g, last)
    assert tree.consistency(4) == (last,)
    assert tree.consistency(6) == (i, j, k)


def test_every_proof_of_every_size_verifies_and_none_elsewhere() -> None:
    """Up to 33 leaves: roots as defined; each proof holds for its place alone."""
    leaves = [bytes([n]) * n for n in range(33)]
    tree = grown(leaves)
    for size in range(1, 34):
        root = tree.root(size)
        assert root == defined(leaves[:size])
        for index in range(size):
            proof = tree.inclusion(index, size)
            assert verify_inclusion(leaf_hash(leaves[index]), index, size, proof, root)
            assert not verify_inclusion(leaf_hash(leaves[index] + b"x"), index, size, proof, root)
            assert not verify_inclusion(leaf_hash(leaves[index]), (index + 1) % size, size, proof, root) or size == 1
        for first in range(size + 1):
            proof = tree.consistency(first, size)
            assert verify_consistency(first, size, proof, tree.root(first), root)
            assert not verify_consistency(first, size, proof, tree.root(first), sha256(root).digest()) or first == 0


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_changed_bit_anywhere_is_found(data: st.DataObject) -> None:
    """In a leaf, in either root, in any hash of a proof; and a proof that is longer or shorter."""
    leaves = data.draw(st.lists(st.binary(max_size=8), min_size=2, max_size=70))
    tree = grown(leaves)
    size = len(leaves)
    index = data.draw(st.integers(0, size - 1))
    first = data.draw(st.integers(1, size - 1))
    leaf, root, old = leaf_hash(leaves[index]), tree.root(), tree.root(first)
    inclusion, consistency = tree.inclusion(index), tree.consistency(first)
    assert verify_inclusion(leaf, index, size, inclusion, root)
    assert verify_consistency(first, size, consistency, old, root)
    bit = data.draw(st.integers(0, 255))

    def flipped(content: bytes) -> bytes:
        changed = bytearray(content)
        changed[bit // 8] ^= 1 << bit % 8
        return bytes(changed)

    assert not verify_inclusion(flipped(leaf), index, size, inclusion, root)
    assert not verify_inclusion(leaf, index, size, inclusion, flipped(root))
    assert not verify_consistency(first, size, consistency, flipped(old), root)
    assert not verify_consistency(first, size, consistency, old, flipped(root))
    for number in range(len(inclusion)):
        assert not verify_inclusion(leaf, index, size, (*inclusion[:number], flipped(inclusion[number]), *inclusion[number + 1 :]), root)
    for number in range(len(consistency)):
        forged = (*consistency[:number], flipped(consistency[number]), *consistency[number + 1 :])
        assert not verify_consistency(first, size, forged, old, root)
    assert not verify_inclusion(leaf, index, size, inclusion[:-1], root)
    assert not verify_inclusion(leaf, index, size, (*inclusion, root), root)
    assert not verify_consistency(first, size, (*consistency, root), old, root)
    assert not verify_consistency(first, size, consistency[:-1], old, root)


def test_what_the_tree_never_had_is_refused() -> None:
    """A size, a leaf, a beginning; and a verifier says no to numbers that mean nothing."""
    tree = grown(LEAVES)
    for ask in (lambda: tree.root(9), lambda: tree.inclusion(8), lambda: tree.inclusion(3, 3), lambda: tree.consistency(5, 4)):
        with pytest.raises(ValueError, match=r"leaves|leaf"):
            ask()
    assert not verify_inclusion(b"", 0, 0, (), EMPTY_ROOT)
    assert not verify_consistency(3, 2, (), EMPTY_ROOT, EMPTY_ROOT)
    assert not verify_consistency(3, 8, (), tree.root(3), tree.root(8))
