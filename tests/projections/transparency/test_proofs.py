"""Proofs made of the stored tree, held against RFC 9162 by a reading of it that is not ours, and a signature by openssl."""

import hashlib
import random
import shutil
import subprocess
from base64 import b64decode

import pytest

from domain.transparency import entry, note
from domain.transparency.merkle import Tree, leaf_hash, verify_consistency, verify_inclusion
from projections.transparency import proofs, tables
from tests.projections.transparency.conftest import Kept, rows_of


def root_by_definition(index: int, size: int, leaf: bytes, path: tuple[bytes, ...]) -> bytes:
    """The root that an audit path leads to, straight from the recursive definition of PATH(m, D_n)."""
    if size == 1:
        assert path == ()
        return leaf
    half = 2 ** ((size - 1).bit_length() - 1)
    if index < half:
        return hashlib.sha256(b"\1" + root_by_definition(index, half, leaf, path[:-1]) + path[-1]).digest()
    return hashlib.sha256(b"\1" + path[-1] + root_by_definition(index - half, size - half, leaf, path[:-1])).digest()


async def test_the_stored_tree_proves_what_the_whole_tree_proves(kept: Kept) -> None:
    """Every event at every tenth size, and consistency between them; the tree grew by pages while the log did."""
    chance = random.Random(1)
    await kept.append(chance, 300)
    async with kept.growing():
        await kept.append(chance, 500)
    connection = await kept.connection()
    rows = await rows_of(connection)
    tree = Tree()
    for row in rows:
        tree.append(leaf_hash(entry.encode(row)))
    assert await tables.size(connection) == len(rows) == 800
    for size in (1, 255, 256, 257, 511, 512, 700, 799, 800):
        root = await proofs.root(connection, size)
        assert root == tree.root(size)
        for index in chance.sample(range(size), min(size, 12)):
            found = await proofs.inclusion(connection, rows[index][0], size)
            assert found is not None
            assert (found.index, found.entry, found.hashes) == (index, entry.encode(rows[index]), tree.inclusion(index, size))
            leaf = hashlib.sha256(b"\0" + found.entry).digest()
            assert root_by_definition(found.index, found.size, leaf, found.hashes) == root
            assert verify_inclusion(leaf, index, size, found.hashes, root)
        first = chance.randint(1, size)
        assert verify_consistency(first, size, await proofs.consistency(connection, first, size), tree.root(first), root)
    assert await proofs.inclusion(connection, rows[-1][0], 799) is None
    assert await proofs.inclusion(connection, rows[-1][0] + 1, 800) is None
    assert (await proofs.grown(connection)).root() == tree.root()
    await connection.close()


@pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl on this machine")
async def test_openssl_and_the_definition_verify_an_event_under_a_checkpoint(kept: Kept, tmp_path) -> None:
    """From the note's text to the event's bytes, without a line of ours: signature, root, path, leaf, entry."""
    await kept.append(random.Random(2), 60)
    async with kept.growing():
        pass
    connection = await kept.connection()
    row = (await rows_of(connection))[17]
    found = await proofs.inclusion(connection, row[0], 60)
    await connection.close()
    assert found is not None
    text, _, signatures = (kept.path / "checkpoint").read_text().partition("\n\n")
    origin, size, root, *_ = text.split("\n")
    (signature,) = signatures.splitlines()
    (key,) = kept.outside.keys()
    (tmp_path / "text").write_text(text + "\n")
    (tmp_path / "signature").write_bytes(b64decode(signature.split(" ")[2])[4:])
    (tmp_path / "public.pem").write_text(note.public_pem(b64decode(key.split("+", 2)[2])[1:]))
    command = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", "public.pem", "-rawin", "-in", "text", "-sigfile", "signature"]
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode == 0
    (tmp_path / "text").write_text(text.replace("60", "61") + "\n")
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode != 0

    position, stream, version, topic, state = row
    content = hashlib.sha256(topic.encode() + b"\0" + state).digest()
    leaf = hashlib.sha256(b"\0" + position.to_bytes(8) + stream.bytes + version.to_bytes(8) + content).digest()
    assert root_by_definition(found.index, int(size), leaf, found.hashes) == b64decode(root)
    assert origin == key.split("+")[0]
