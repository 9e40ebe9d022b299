"""Ed25519 keys that sign for this server: one file a key, mode 0600, made at first use.

The file is PKCS#8 in PEM, so that openssl reads it too. A key has no name in its file: who signs with it says under which
name it is published. Its library is loaded when a key is first needed. Nothing here may show a private key.
"""

import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


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
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415 - see above
    from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415 - see above

    if not path.exists():
        _make(path, Ed25519PrivateKey.generate())
    if path.stat().st_mode & 0o077:
        raise SigningKeyError(f"SIG002: {path} can be read by others. Help: make a new key if they may have done so, else chmod 600 {path}")
    try:
        found = load_pem_private_key(path.read_bytes(), password=None)
    except (ValueError, TypeError) as error:
        raise SigningKeyError(f"SIG001: {path} holds no private key in PEM ({error})") from error
    if not isinstance(found, Ed25519PrivateKey):
        raise SigningKeyError(f"SIG001: {path} holds a key of another kind than Ed25519")
    return SigningKey(found)


def read_public_pem(text: str) -> bytes:
    """The 32 bytes of a public key in PEM. Raises SigningKeyError for anything else than an Ed25519 key."""
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415 - see above
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415 - see above
    from cryptography.hazmat.primitives.serialization import load_pem_public_key  # noqa: PLC0415 - see above

    try:
        found = load_pem_public_key(text.encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise SigningKeyError(f"SIG001: this is no public key in PEM ({error})") from error
    if not isinstance(found, Ed25519PublicKey):
        raise SigningKeyError("SIG001: this is a key of another kind than Ed25519")
    return found.public_bytes_raw()


def _make(path: Path, private: "Ed25519PrivateKey") -> None:
    """Put a new key there, whole and durably, unless another process has done so meanwhile."""
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat  # noqa: PLC0415 - see above

    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.parent / f".{path.name}.{secrets.token_hex(6)}"
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
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
