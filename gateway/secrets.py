"""Texts that open doors: `lmt_` access tokens and `lmr_` registration tokens, 256 bits of chance each.

A text names its stream and carries the secret, so it is looked up in the log itself and needs no table that could be behind.
Only the SHA-256 of it is stored; a text is shown once, in the answer to the request that made it. The prefix lets scanners
of repositories find one that was committed by mistake.
"""

import base64
import binascii
import hashlib
import hmac
import secrets
from uuid import UUID

ACCESS, REGISTRATION = "lmt_", "lmr_"
ID_BYTES, SECRET_BYTES = 16, 32


def draw(prefix: str, stream: UUID) -> str:
    """A new text for this stream."""
    return prefix + base64.urlsafe_b64encode(stream.bytes + secrets.token_bytes(SECRET_BYTES)).decode()


def stream_of(prefix: str, text: str) -> UUID | None:
    """The stream that a text names; None where it is no such text."""
    if not text.startswith(prefix):
        return None
    try:
        content = base64.b64decode(text[len(prefix) :].encode(), altchars=b"-_", validate=True)
    except (binascii.Error, UnicodeEncodeError):
        return None
    return UUID(bytes=content[:ID_BYTES]) if len(content) == ID_BYTES + SECRET_BYTES else None


def digest(text: str) -> str:
    """What is stored of a text."""
    return hashlib.sha256(text.encode()).hexdigest()


def fits(text: str, stored: str) -> bool:
    """Whether this is the text of a stored digest; in constant time."""
    return hmac.compare_digest(digest(text), stored)
