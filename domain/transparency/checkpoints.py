"""Checkpoints of the log: the text that is signed, and whether a note in somebody's hand is one of this log.

The name of the key is the origin, the log's own name, as C2SP asks for. One further line names the position of the last event
that the checkpoint covers, for people: positions have holes, sizes have not.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise

import msgspec

from domain.transparency import note
from domain.transparency.note import Checkpoint, Note, NoteError, Signature

IsSigned = Callable[[str, bytes, bytes], bool]
"""(public key in hexadecimal, signature, content) -> whether it is one."""

POSITION = "position "


class Refused(Exception):  # noqa: N818 - an outcome with a name of its own
    """A note is not a checkpoint of this log. check: which one failed: "note", "other_log", "unknown_key" or "signature"."""

    def __init__(self, check: str, message: str) -> None:
        self.check = check
        super().__init__(message)


class Signed(msgspec.Struct, frozen=True):
    """A checkpoint whose signature holds. position: of the last event that it covers; note: as it was signed."""

    origin: str
    size: int
    root: bytes
    position: int
    note: str


class Held(msgspec.Struct, frozen=True):
    """What a place outside the database holds. entries: how many; note: the last checkpoint; keys: that have signed there, as published."""

    entries: int
    note: str | None
    keys: tuple[str, ...]


def signed(origin: str, size: int, root: bytes, position: int, *, public: bytes, sign: Callable[[bytes], bytes]) -> Signed:
    """A new checkpoint."""
    text = Checkpoint(origin, size, root, (f"{POSITION}{position}",)).text()
    signature = Signature(origin, note.key_id(origin, public), sign(text.encode()))
    return Signed(origin, size, root, position, Note(text, (signature,)).encode())


def opened(written: str, origin: str | None, keys: Sequence[str], is_signed: IsSigned) -> Signed:
    """The checkpoint that a note is. origin: of the log that it should be of, if that is known; keys: as they are published.

    Raises Refused, and NoteError where a key is none.
    """
    known = {(name, note.key_id(name, public)): public for name, public in map(note.read_verifier_key, keys)}
    # 1. it is a note, and a checkpoint
    try:
        read = note.read_note(written)
        found = note.read_checkpoint(read.text)
        position = _position(found)
    except NoteError as error:
        raise Refused("note", f"this is no checkpoint: {error}") from error
    # 2. of this log
    if origin is not None and found.origin != origin:
        raise Refused("other_log", f"the checkpoint is of the log {found.origin}, and this one is {origin}")
    # 3. by a key that is known as the log's
    ours = [each for each in read.signatures if each.name == found.origin and (each.name, each.key_id) in known]
    if not ours:
        signers = ", ".join(f"{each.name}+{each.key_id.hex()}" for each in read.signatures)
        raise Refused("unknown_key", f"no known key has signed the checkpoint of {found.size} events; it names {signers}")
    # 4. which has signed this text
    for each in ours:
        if not is_signed(known[each.name, each.key_id].hex(), each.signature, read.text.encode()):
            raise Refused("signature", f"the key {each.name}+{each.key_id.hex()} has not signed this checkpoint of {found.size} events")
    return Signed(found.origin, found.size, found.root, position, written)


def joined(notes: Sequence[str]) -> str:
    """Notes one after the other, an empty line behind each."""
    return "".join(f"{each}\n" for each in notes)


def parted(content: str) -> list[str]:
    """The notes of such a text, or of the end of one. What was not written to its end is left out."""
    blocks = content.split("\n\n")[:-1]
    return [f"{text}\n\n{by}\n" for text, by in pairwise(blocks) if by.startswith(note.DASH)]


def _position(found: Checkpoint) -> int:
    for line in found.extensions:
        digits = line.removeprefix(POSITION)
        if line.startswith(POSITION) and digits.isascii() and digits.isdigit() and len(digits) < 20:
            return int(digits)
    raise NoteError("no line names the position of its last event")
