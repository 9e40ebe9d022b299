"""Ed25519 keys that sign for this server: one file a key, mode 0600, made at first use.

The file is PKCS#8 in PEM as RFC 8410 has it, so that openssl reads and writes it too; around the 32 bytes of such a key all bytes
are fixed, so no parser is loaded for it. A key has no name in its file: who signs with it says under which name it is published.
Nothing here may show a private key.
"""

import os
import secrets
from base64 import b64decode, b64encode
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

PRIVATE = ("PRIVATE KEY", bytes.fromhex("302e020100300506032b657004220420"))
PUBLIC = ("PUBLIC KEY", bytes.fromhex("302a300506032b6570032100"))
"""The label of a PEM file, and what stands in it before the 32 bytes of the key."""
KEY_BYTES = 32


class SigningKeyError(ValueError):
    """A file that should hold a key does not, or shows it to others; says which, why, and what helps."""


class SigningKey:
    """A key pair. public: its 32 public bytes."""

    def __init__(self, private: "Ed25519PrivateKey") -> None:
        self._private = private
        self.public = private.public_key().public_bytes_raw()

    def sign(self, content: bytes) -> bytes:
        """The signature, 64 bytes."""
        return self._private.sign(content)


def signing_key(path: Path) -> SigningKey:
    """The key in this file, which is made where it is not there; of several processes that make it one wins, and all get that one.

    Raises SigningKeyError for a file that holds no Ed25519 key or that others may read, OSError where it cannot be read or made.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415 - loaded by who signs

    if not path.exists():
        _make(path)
    if path.stat().st_mode & 0o077:
        raise SigningKeyError(f"SIG002: {path} can be read by others. Help: make a new key if they may have done so, else chmod 600 {path}")
    return SigningKey(Ed25519PrivateKey.from_private_bytes(_read(path.read_text(errors="replace"), *PRIVATE, what=str(path))))


def read_public_pem(text: str) -> bytes:
    """The 32 bytes of a public key in PEM. Raises SigningKeyError for anything else than an Ed25519 key."""
    return _read(text, *PUBLIC, what="this")


def _read(text: str, label: str, prefix: bytes, *, what: str) -> bytes:
    """The key between the lines of a PEM text."""
    begin, end = f"-----BEGIN {label}-----\n", f"\n-----END {label}-----"
    inner = text.strip().removeprefix(begin).removesuffix(end)
    try:
        content = b64decode(inner, validate=True)
    except ValueError:
        content = b""
    if text.strip() != begin + inner + end or len(content) != len(prefix) + KEY_BYTES:
        raise SigningKeyError(f"SIG001: {what} holds no Ed25519 {label.lower()} in PEM")
    if not content.startswith(prefix):
        raise SigningKeyError(f"SIG001: {what} holds a key of another kind than Ed25519")
    return content[-KEY_BYTES:]


def _make(path: Path) -> None:
    """Put a new key there, whole and durably, unless another process has done so meanwhile."""
    label, prefix = PRIVATE
    content = b64encode(prefix + secrets.token_bytes(KEY_BYTES)).decode()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.parent / f".{path.name}.{secrets.token_hex(6)}"
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(f"-----BEGIN {label}-----\n{content}\n-----END {label}-----\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            path.hardlink_to(draft)
        except FileExistsError:
            return
    finally:
        draft.unlink(missing_ok=True)
    descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
