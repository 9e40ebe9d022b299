"""What is signed of a bundle: which run, up to which position, and the digest of each line."""

from hashlib import sha256
from uuid import UUID

import msgspec

from domain.provenance.dsse import Envelope

PAYLOAD_TYPE = "application/vnd.ledgermill.bundle.v1+json"
"""The payload type of the envelope around a manifest."""
VERSION = 1

StoredRow = tuple[int, UUID, int, str, bytes]
"""(position, stream, version, topic, state) of an event, as the log holds it."""


class Part(msgspec.Struct, frozen=True, omit_defaults=True):
    """A line of the file. kind: "event", "provenance", "payload", "plan", "source" or "log".

    sha256: of the line, or of the bytes that a blob's line holds. of: the digest by which events name those bytes, where fields
    of them (redacted) were taken out.
    """

    kind: str
    sha256: str
    of: str = ""
    redacted: tuple[str, ...] = ()


class Manifest(msgspec.Struct, frozen=True):
    """What a bundle is of. through: the log's position up to which it tells; parts: lines 2 and on."""

    version: int
    run: UUID
    tenant: str
    workflow: str
    number: int
    through: int
    parts: tuple[Part, ...]


class Header(msgspec.Struct, frozen=True):
    """Line 1. key: the public key (hexadecimal) that signed; whether to trust it, whoever reads has to know."""

    bundle: Envelope
    key: str


class EventLine(msgspec.Struct, frozen=True):
    """An event, its state as text: the very bytes of the log."""

    position: int
    stream: UUID
    version: int
    topic: str
    state: str


class BlobLine(msgspec.Struct, frozen=True):
    """Bytes that events name by their digest. content: Base64 in JSON."""

    kind: str
    content: bytes


class ProvenanceLine(msgspec.Struct, frozen=True):
    """The signed statement about what a job attests."""

    job: UUID
    envelope: Envelope


_encode = msgspec.json.Encoder(order="sorted").encode


def digest(content: bytes) -> str:
    """Lower-case hexadecimal SHA-256."""
    return sha256(content).hexdigest()


def encode(manifest: Manifest) -> bytes:
    """The bytes that are signed."""
    return _encode(manifest)


def header_line(header: Header) -> bytes:
    """Line 1, without its end."""
    return _encode(header)


def event_line(row: StoredRow) -> bytes:
    """The line of a stored event, without its end. Raises UnicodeDecodeError for a state that is no text."""
    position, stream, version, topic, state = row
    return _encode(EventLine(position, stream, version, topic, bytes(state).decode()))


def provenance_line(job: UUID, envelope: Envelope) -> bytes:
    """The line of a statement, without its end."""
    return _encode(ProvenanceLine(job, envelope))


def blob_line(kind: str, content: bytes) -> bytes:
    """The line of a blob, without its end."""
    return _encode(BlobLine(kind, content))
