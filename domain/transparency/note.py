"""Checkpoints as signed notes, as C2SP (signed-note, tlog-checkpoint) writes them: text, a blank line, a line for each signature.

    ORIGIN
    1000
    AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=

    — KEY-NAME BASE64

What is signed is the text with its last line end. A signature's first four bytes name the key.
"""

from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from hashlib import sha256

import msgspec

ED25519 = b"\x01"
"""The signature type of Ed25519; 32 bytes of public key follow it."""
_SPKI = bytes.fromhex("302a300506032b6570032100")
"""What stands before the 32 bytes of an Ed25519 key in a SubjectPublicKeyInfo."""
DASH = "— "
KEY_ID_BYTES = 4
ROOT_BYTES = 32


class NoteError(ValueError):
    """Not a note, or not a checkpoint; says which line is wrong and how."""


class Signature(msgspec.Struct, frozen=True):
    """A line of signature. name: of the key; key_id: its first four bytes; signature: what follows them."""

    name: str
    key_id: bytes
    signature: bytes


class Note(msgspec.Struct, frozen=True):
    """A text with signatures. text: ends in a line end, and holds no character that is not printable but line ends."""

    text: str
    signatures: tuple[Signature, ...]

    def encode(self) -> str:
        """As it is written down."""
        lines = [f"{DASH}{each.name} {_base64(each.key_id + each.signature)}\n" for each in self.signatures]
        return f"{self.text}\n{''.join(lines)}"


class Checkpoint(msgspec.Struct, frozen=True):
    """The size and root of the tree of the log that origin names. extensions: further lines, which other readers ignore."""

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    def text(self) -> str:
        """What is signed."""
        return "".join(f"{line}\n" for line in (self.origin, str(self.size), _base64(self.root), *self.extensions))


def key_id(name: str, public_key: bytes) -> bytes:
    """The four bytes by which signatures name an Ed25519 key."""
    return sha256(f"{name}\n".encode() + ED25519 + public_key).digest()[:KEY_ID_BYTES]


def verifier_key(name: str, public_key: bytes) -> str:
    """An Ed25519 key as it is published: `name+id+key`."""
    return f"{name}+{key_id(name, public_key).hex()}+{_base64(ED25519 + public_key)}"


def public_pem(public_key: bytes) -> str:
    """An Ed25519 key as openssl reads it (RFC 8410)."""
    return f"-----BEGIN PUBLIC KEY-----\n{_base64(_SPKI + public_key)}\n-----END PUBLIC KEY-----\n"


def read_verifier_key(text: str) -> tuple[str, bytes]:
    """(name, public key) of a published Ed25519 key. Raises NoteError."""
    parts = text.split("+", 2)
    if len(parts) != 3:
        raise NoteError("a key is written as name+id+key")
    name, identity, encoded = parts
    raw = _bytes(encoded, "the key")
    if raw[:1] != ED25519 or len(raw) != 33:
        raise NoteError("the key is no Ed25519 key")
    if key_id(name, raw[1:]).hex() != identity:
        raise NoteError(f"the id {identity} is not that of the key, which is {key_id(name, raw[1:]).hex()}")
    return name, raw[1:]


def read_note(written: str) -> Note:
    """A note as it was written down. Raises NoteError."""
    text, blank, signed = written.rpartition("\n\n")
    if not blank or not signed.endswith("\n"):
        raise NoteError("a note is a text, a blank line, and a line for each signature")
    if any(ord(character) < 32 and character != "\n" for character in written):
        raise NoteError("a note holds no control characters")
    signatures = [_signature(line, number) for number, line in enumerate(signed[:-1].split("\n"), written[: -len(signed)].count("\n") + 1)]
    return Note(f"{text}\n", tuple(signatures))


def read_checkpoint(text: str) -> Checkpoint:
    """The checkpoint that a note's text is. Raises NoteError."""
    if not text.endswith("\n"):
        raise NoteError("a checkpoint ends in a line end")
    lines = text[:-1].split("\n")
    if len(lines) < 3 or not lines[0]:
        raise NoteError("a checkpoint has three lines: origin, size, root")
    origin, size, root, *extensions = lines
    if not (size.isascii() and size.isdigit()) or (size != "0" and size[0] == "0"):
        raise NoteError(f"line 2: {size!r} is no size")
    raw = _bytes(root, "line 3: the root")
    if len(raw) != ROOT_BYTES:
        raise NoteError(f"line 3: a root has {ROOT_BYTES} bytes, this one {len(raw)}")
    return Checkpoint(origin, int(size), raw, tuple(extensions))


def _signature(line: str, number: int) -> Signature:
    name, blank, encoded = line.removeprefix(DASH).partition(" ")
    if not line.startswith(DASH) or not blank or not name or "+" in name:
        raise NoteError(f"line {number}: a signature is written as {DASH}name signature")
    raw = _bytes(encoded, f"line {number}: the signature")
    if len(raw) <= KEY_ID_BYTES:
        raise NoteError(f"line {number}: the signature is too short")
    return Signature(name, raw[:KEY_ID_BYTES], raw[KEY_ID_BYTES:])


def _bytes(text: str, what: str) -> bytes:
    try:
        return b64decode(text, validate=True)
    except (Base64Error, ValueError) as error:
        raise NoteError(f"{what} is not base64") from error


def _base64(content: bytes) -> str:
    return b64encode(content).decode()
