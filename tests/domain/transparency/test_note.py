"""Signed notes and checkpoints: the specification's own example, round trips, and what is refused and why."""

import pytest

from domain.transparency import note

KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
WRITTEN = """\
If you think cryptography is the answer to your problem,
then you don't know what your problem is.

— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=
"""
"""The example that the format is documented with."""

CHECKPOINT = note.Checkpoint("ledgermill.example/shard/1", 1000, bytes(range(32)), ("position 4711",))


def test_the_documented_example() -> None:
    """Its key has the id that its signature names, and it is written as it was read."""
    name, public = note.read_verifier_key(KEY)
    read = note.read_note(WRITTEN)
    assert (name, note.key_id(name, public).hex(), note.verifier_key(name, public)) == ("PeterNeumann", "c74f20a3", KEY)
    (signature,) = read.signatures
    assert (signature.name, signature.key_id.hex(), len(signature.signature)) == ("PeterNeumann", "c74f20a3", 64)
    assert read.text.endswith("problem is.\n")
    assert read.encode() == WRITTEN


def test_a_checkpoint_is_read_as_it_was_written() -> None:
    """Origin, size, root and further lines, under one or several signatures."""
    signatures = (note.Signature("a", b"\0\1\2\3", b"x" * 64), note.Signature("witness", b"\4\5\6\7", b"y" * 72))
    written = note.Note(CHECKPOINT.text(), signatures).encode()
    read = note.read_note(written)
    assert read.signatures == signatures
    assert note.read_checkpoint(read.text) == CHECKPOINT
    assert CHECKPOINT.text().splitlines()[:2] == ["ledgermill.example/shard/1", "1000"]


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (WRITTEN[:-1], "a note is a text"),
        (WRITTEN.replace("\n\n", "\n"), "a note is a text"),
        (WRITTEN.replace("think", "th\tink"), "control characters"),
        (WRITTEN.replace("— ", "- "), "line 4: a signature is written"),
        (WRITTEN.replace("x08go/", "*"), "line 4: the signature is not base64"),
        (WRITTEN[: WRITTEN.index("x08go")] + "AAAA\n", "line 4: the signature is too short"),
    ],
)
def test_what_is_no_note_says_why(written: str, said: str) -> None:
    """With the line that is wrong."""
    with pytest.raises(note.NoteError, match=said):
        note.read_note(written)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a\n1", "ends in a line end"),
        ("a\n1\n", "three lines"),
        ("a\n01\nAA==\n", "line 2: '01' is no size"),
        ("a\n-1\nAA==\n", "line 2"),
        ("a\n1\nAA==\n", "line 3: a root has 32 bytes, this one 1"),
        ("a\n1\n!\n", "line 3: the root is not base64"),
    ],
)
def test_what_is_no_checkpoint_says_why(text: str, said: str) -> None:
    """With the line that is wrong."""
    with pytest.raises(note.NoteError, match=said):
        note.read_checkpoint(text)


@pytest.mark.parametrize(
    "key", ["PeterNeumann", KEY.replace("c74f20a3", "c74f20a4"), KEY.replace("ARpc", "Ahpc"), KEY[:-4], "a+00000000+!"]
)
def test_a_key_that_is_none_is_refused(key: str) -> None:
    """A wrong id, another algorithm, a key cut short."""
    with pytest.raises(note.NoteError):
        note.read_verifier_key(key)
