"""A bundle's file to what it holds, refused at the first line that is not what was signed."""

from collections.abc import Callable, Mapping
from typing import TypeVar
from uuid import UUID

import msgspec

from domain.bundle.manifest import (
    PAYLOAD_TYPE,
    VERSION,
    BlobLine,
    EventLine,
    Header,
    Manifest,
    Part,
    ProvenanceLine,
    StoredRow,
    digest,
)
from domain.provenance.dsse import Envelope, EnvelopeError, IsSigned, key_id, opened

T = TypeVar("T")


class BundleError(ValueError):
    """The file is refused. check: "form", "key", "signature", "version", "truncated" or "edited"; line: counts from 1."""

    def __init__(self, check: str, line: int, message: str) -> None:
        self.check = check
        self.line = line
        super().__init__(message)


class Bundle(msgspec.Struct, frozen=True):
    """What a sound bundle holds. key: the public key that signed it. blobs: by the digest that events name them by."""

    manifest: Manifest
    key: bytes
    rows: tuple[StoredRow, ...]
    blobs: dict[str, bytes]
    provenance: dict[UUID, Envelope]


_HEADER = msgspec.json.Decoder(Header)
_MANIFEST = msgspec.json.Decoder(Manifest)
_EVENT = msgspec.json.Decoder(EventLine)
_BLOB = msgspec.json.Decoder(BlobLine)
_PROVENANCE = msgspec.json.Decoder(ProvenanceLine)


def read(content: bytes, is_signed: IsSigned, keys: Mapping[str, bytes] | None = None) -> Bundle:
    """The bundle in a file's bytes. keys: those that are trusted, by id; None: the one that it names itself. Raises BundleError."""
    lines = content.split(b"\n")
    header = _decoded(_HEADER.decode, lines[0], 1, "this is no bundle of a run: line 1 holds no manifest")
    key = _key(header, keys)
    try:
        payload = opened(header.bundle, PAYLOAD_TYPE, {key_id(key): key}, is_signed)
    except EnvelopeError as error:
        check = "form" if error.check in ("envelope", "type") else error.check
        raise BundleError(check, 1, f"the manifest: {error}") from error
    manifest = _decoded(_MANIFEST.decode, payload, 1, "the manifest cannot be read")
    if manifest.version != VERSION:
        raise BundleError("version", 1, f"the bundle is of version {manifest.version}, and this program reads version {VERSION}")
    _complete(lines, manifest)
    rows: list[StoredRow] = []
    blobs: dict[str, bytes] = {}
    provenance: dict[UUID, Envelope] = {}
    for number, (part, line) in enumerate(zip(manifest.parts, lines[1:], strict=False), 2):
        if part.kind == "event":
            event = _sound(_EVENT.decode, part, line, number)
            rows.append((event.position, event.stream, event.version, event.topic, event.state.encode()))
        elif part.kind == "provenance":
            statement = _sound(_PROVENANCE.decode, part, line, number)
            provenance[statement.job] = statement.envelope
        else:
            blobs[part.of or part.sha256] = _blob(part, line, number)
    return Bundle(manifest, key, tuple(rows), blobs, provenance)


def _key(header: Header, keys: Mapping[str, bytes] | None) -> bytes:
    try:
        key = bytes.fromhex(header.key)
    except ValueError as error:
        raise BundleError("form", 1, "the key is not hexadecimal") from error
    if keys is not None and key_id(key) not in keys:
        raise BundleError("key", 1, f"the bundle is signed by the key {key_id(key)}, which is not trusted here")
    return key


def _complete(lines: list[bytes], manifest: Manifest) -> None:
    """As many lines as were signed, the last one with its end, and nothing behind it."""
    wanted = len(manifest.parts) + 1
    whole = len(lines) - 1
    if whole < wanted:
        raise BundleError("truncated", whole + 1, f"the file ends in line {whole + 1}, and {wanted} lines were signed")
    if whole > wanted or lines[-1]:
        raise BundleError("edited", wanted + 1, f"{wanted} lines were signed, and more follow")


def _sound(decode: Callable[[bytes], T], part: Part, line: bytes, number: int) -> T:
    if digest(line) != part.sha256:
        raise BundleError("edited", number, f"line {number} ({part.kind}) is not what was signed{_place(line)}")
    return _decoded(decode, line, number, f"line {number} ({part.kind}) cannot be read")


def _blob(part: Part, line: bytes, number: int) -> bytes:
    blob = _decoded(_BLOB.decode, line, number, f"line {number} ({part.kind}) is not what was signed", "edited")
    if blob.kind != part.kind or digest(blob.content) != part.sha256:
        raise BundleError("edited", number, f"line {number} ({part.kind}) is not what was signed")
    return blob.content


def _place(line: bytes) -> str:
    """Which event a line says it is of, where it can still be read."""
    try:
        event = _EVENT.decode(line)
    except msgspec.MsgspecError:
        return ""
    return f": it says position {event.position}, stream {event.stream}, version {event.version}"


def _decoded(decode: Callable[[bytes], T], content: bytes, line: int, message: str, check: str = "form") -> T:
    try:
        return decode(content)
    except msgspec.MsgspecError as error:
        raise BundleError(check, line, f"{message}: {error}") from error
