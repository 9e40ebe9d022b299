"""What the signer is asked, and what it answers, as one JSON object each: nobody tells it what to sign, only about what.

It reads the log itself, so whoever asks names a run and a job, and gets a statement that anybody could make but only it signs.
"""

from uuid import UUID

import msgspec

from domain.provenance.dsse import Envelope


class SignerAbsent(Exception):  # noqa: N818 - an outcome with a name of its own
    """No signer answers."""


class Asked(msgspec.Struct, frozen=True, tag_field="kind"):
    """The base of all questions."""


class AskProvenance(Asked, frozen=True, tag="provenance"):
    """The provenance of what a run's jobs attest; of one job, where it is named."""

    run: UUID
    job: UUID | None = None


class AskBundle(Asked, frozen=True, tag="bundle"):
    """The manifest of a run's bundle; see domain.bundle. through: up to which position.

    redact: fields of the payload that shall not be in it; then payload is the event's payload, which the log names by digest.
    """

    run: UUID
    through: int
    logs: bool = False
    redact: tuple[str, ...] = ()
    payload: bytes = b""


class AskKeys(Asked, frozen=True, tag="keys"):
    """The public keys."""


Question = AskProvenance | AskBundle | AskKeys


class SignedStatement(msgspec.Struct, frozen=True):
    """The statement about what a job attests, in its envelope."""

    job: UUID
    envelope: Envelope


class Signed(msgspec.Struct, frozen=True, tag="signed", tag_field="kind"):
    """Statements, in the order in which the jobs ended."""

    statements: tuple[SignedStatement, ...]


class SignedManifest(msgspec.Struct, frozen=True, tag="manifest", tag_field="kind"):
    """A bundle's manifest in its envelope, the public key that signed it, and the statements that are in the bundle."""

    envelope: Envelope
    key: bytes
    statements: tuple[SignedStatement, ...]


class Keys(msgspec.Struct, frozen=True, tag="keys", tag_field="kind"):
    """Ed25519 public keys (32 bytes each), the one that signs now first."""

    keys: tuple[bytes, ...]


class Refused(msgspec.Struct, frozen=True, tag="refused", tag_field="kind"):
    """Nothing is signed, and why. state: see domain.refusals."""

    code: str
    message: str
    state: str = ""
    help: str = ""


Answer = Signed | SignedManifest | Keys | Refused
