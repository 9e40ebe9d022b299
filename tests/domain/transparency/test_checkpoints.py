"""Checkpoints in somebody's hand: which check refuses one, and how several stand in one file."""

from dataclasses import dataclass
from hashlib import sha256

import pytest

from domain.transparency import note
from domain.transparency.checkpoints import Refused, joined, opened, parted, signed

LOG, OTHER_LOG = "ledgermill/a/0", "ledgermill/b/0"


@dataclass
class Pen:
    """Something that signs, and is known by its public bytes."""

    public: bytes

    def sign(self, content: bytes) -> bytes:
        return sha256(self.public + content).digest() * 2


def is_signed(key: str, signature: bytes, content: bytes) -> bool:
    return signature == Pen(bytes.fromhex(key)).sign(content)


OURS, THEIRS = Pen(bytes(range(32))), Pen(bytes(32))
KEYS = (note.verifier_key(LOG, OURS.public),)


def checkpoint(origin: str = LOG, pen: Pen = OURS) -> str:
    return signed(origin, 12, bytes(32), 40, public=pen.public, sign=pen.sign).note


def test_what_was_signed_is_opened() -> None:
    """With the size, the root and the position that it names."""
    found = opened(checkpoint(), LOG, KEYS, is_signed)
    assert (found.origin, found.size, found.root, found.position, found.note) == (LOG, 12, bytes(32), 40, checkpoint())
    assert opened(checkpoint(), None, KEYS, is_signed) == found


@pytest.mark.parametrize(
    ("written", "check", "said"),
    [
        ("anything", "note", "a note is a text"),
        (checkpoint().replace("\n12\n", "\n012\n"), "note", "line 2: '012' is no size"),
        (checkpoint().replace("position 40", "place 40"), "note", "no line names the position"),
        (checkpoint(OTHER_LOG), "other_log", f"of the log {OTHER_LOG}, and this one is {LOG}"),
        (checkpoint(pen=THEIRS), "unknown_key", "no known key has signed the checkpoint of 12 events"),
        (checkpoint().replace("\n12\n", "\n13\n"), "signature", "has not signed this checkpoint of 13 events"),
        (checkpoint().replace("position 40", "position 41"), "signature", "has not signed this"),
    ],
)
def test_a_refusal_names_the_check_that_failed(written: str, check: str, said: str) -> None:
    """And what was found there."""
    with pytest.raises(Refused, match=said) as refused:
        opened(written, LOG, KEYS, is_signed)
    assert refused.value.check == check


def test_a_key_of_the_same_name_does_not_vouch_for_another_log() -> None:
    """A signature counts under the origin's own name alone."""
    written = checkpoint(OTHER_LOG)
    with pytest.raises(Refused) as refused:
        opened(written, None, KEYS, is_signed)
    assert refused.value.check == "unknown_key"


def test_several_notes_in_one_file_come_back_as_they_were() -> None:
    """Whatever a crash left at the end, or a reader left out at the beginning."""
    notes = [checkpoint(), checkpoint(OTHER_LOG), checkpoint(pen=THEIRS)]
    content = joined(notes)
    assert parted(content) == notes
    for cut in range(1, len(joined(notes[-1:]))):
        assert parted(content[:-cut]) == notes[:-1]
    assert parted(content[30:])[1:] == notes[1:]
    assert parted("") == []
