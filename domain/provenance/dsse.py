"""DSSE envelopes: a payload with its type and signatures over both (PAE), so that no payload can be taken for another kind.

Everything is held to its one spelling: a Base64 text with other unused bits is refused, though it decodes to the same bytes.
"""

from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Callable, Mapping
from hashlib import sha256

import msgspec

IsSigned = Callable[[bytes, bytes, bytes], bool]
"""(public key, signature, content): whether the key's owner has signed this. Ed25519: 32 bytes of key."""


class EnvelopeError(ValueError):
    """The envelope is refused. check: "envelope" (its form), "type", "key" (none of the known ones) or "signature"."""

    def __init__(self, check: str, message: str) -> None:
        self.check = check
        super().__init__(message)


class Signature(msgspec.Struct, frozen=True):
    """keyid: names the key, see `key_id`; sig: Base64."""

    keyid: str
    sig: str


class Envelope(msgspec.Struct, frozen=True, rename="camel"):
    """payload: Base64."""

    payload: str
    payload_type: str
    signatures: tuple[Signature, ...]


_DECODER = msgspec.json.Decoder(Envelope)
_ENCODER = msgspec.json.Encoder(order="sorted")


def key_id(public: bytes) -> str:
    """How signatures name an Ed25519 key: the hexadecimal SHA-256 of its 32 bytes."""
    return sha256(public).hexdigest()


def pae(payload_type: str, payload: bytes) -> bytes:
    """The bytes that are signed."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def enveloped(payload_type: str, payload: bytes, public: bytes, signature: bytes) -> Envelope:
    """An envelope with one signature over `pae`."""
    return Envelope(b64encode(payload).decode(), payload_type, (Signature(key_id(public), b64encode(signature).decode()),))


def encode(envelope: Envelope) -> bytes:
    """As one line of JSON, without the line end."""
    return _ENCODER.encode(envelope)


def read_envelope(content: bytes) -> Envelope:
    """An envelope from its JSON. Raises EnvelopeError."""
    try:
        return _DECODER.decode(content)
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise EnvelopeError("envelope", f"this is no DSSE envelope: {error}") from error


def opened(envelope: Envelope, payload_type: str, keys: Mapping[str, bytes], is_signed: IsSigned) -> bytes:
    """The payload, once its type is this one and each signature is of a known key and good. keys: by `key_id`. Raises EnvelopeError."""
    if envelope.payload_type != payload_type:
        raise EnvelopeError("type", f"payloadType: {envelope.payload_type!r} is not {payload_type}")
    if not envelope.signatures:
        raise EnvelopeError("signature", "signatures: there is none")
    payload = payload_of(envelope)
    for number, each in enumerate(envelope.signatures):
        public = keys.get(each.keyid)
        if public is None:
            known = ", ".join(sorted(keys)) or "none"
            raise EnvelopeError("key", f"signatures[{number}]: the key {each.keyid!r} is not known; known: {known}")
        if not is_signed(public, _exactly(f"signatures[{number}].sig", each.sig), pae(payload_type, payload)):
            raise EnvelopeError("signature", f"signatures[{number}]: key {each.keyid} did not sign this payload and type")
    return payload


def payload_of(envelope: Envelope) -> bytes:
    """The payload of an envelope that nobody has checked: good for showing, never for deciding. Raises EnvelopeError."""
    return _exactly("payload", envelope.payload)


def _exactly(where: str, text: str) -> bytes:
    try:
        content = b64decode(text, validate=True)
    except (Base64Error, ValueError) as error:
        raise EnvelopeError("envelope", f"{where} is not Base64: {error}") from error
    if b64encode(content).decode() != text:
        raise EnvelopeError("envelope", f"{where} is not the one Base64 spelling of its bytes")
    return content
