"""How a registered runner says who it is: a JWT of its own making, signed with its key, good for a few minutes (RFC 7523).

The key never leaves the machine and is in no request; what travels ends by itself. It must never be read by a job: the
file is its owner's alone.
"""

import base64
import os
import time
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import msgspec

AUDIENCE = "ledgermill"
LIFETIME_SECONDS = 300
RENEWED_SECONDS = 200
HEADER = {"alg": "EdDSA", "typ": "JWT"}


class Claims(msgspec.Struct, frozen=True):
    """What a runner says. iss: its id; iat, exp: seconds since 1970 by its own clock."""

    iss: UUID
    aud: str
    iat: int
    exp: int


class Credential(msgspec.Struct, frozen=True, kw_only=True):
    """What a runner keeps of its registration, in a file of mode 0600. key: its private key (Ed25519 seed), hexadecimal.

    url: see runner.server.Server.
    """

    url: str
    runner: UUID
    name: str
    labels: tuple[str, ...]
    key: str
    ephemeral: bool = False
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None


def encoded(content: bytes) -> str:
    """base64url without padding."""
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


PREFIX = encoded(msgspec.json.encode(HEADER)) + "."
"""How every assertion begins: there is one way to sign."""


def new_key() -> tuple[str, str]:
    """A private key and its public key, hexadecimal."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415 - see `assertions`

    key = Ed25519PrivateKey.generate()
    return key.private_bytes_raw().hex(), key.public_key().public_bytes_raw().hex()


def assertions(runner: UUID, key: str, clock: Callable[[], float] = time.time) -> Callable[[], str]:
    """Gives the assertion to send now; a new one every few minutes."""
    # Imported by those who have a key: the runners of the server's own machine have none, and start faster.
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415 - as above

    signer = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(key))
    made: tuple[float, str] = (float("-inf"), "")

    def current() -> str:
        nonlocal made
        now = clock()
        if not 0 <= now - made[0] < RENEWED_SECONDS:
            claims = Claims(iss=runner, aud=AUDIENCE, iat=int(now), exp=int(now) + LIFETIME_SECONDS)
            signed = PREFIX + encoded(msgspec.json.encode(claims))
            made = now, f"{signed}.{encoded(signer.sign(signed.encode()))}"
        return made[1]

    return current


def keep(credential: Credential, file: Path) -> None:
    """Write the file, readable by its owner only, as a whole or not at all."""
    partial = file.with_name(f".{file.name}.{os.getpid()}")
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as written:
        written.write(msgspec.json.format(msgspec.json.encode(credential)) + b"\n")
        written.flush()
        os.fsync(written.fileno())
    partial.replace(file)


def read(file: Path) -> Credential:
    """The credential in a file. Raises OSError, and msgspec.DecodeError where it holds something else."""
    return msgspec.json.decode(file.read_bytes(), type=Credential)
