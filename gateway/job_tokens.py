"""The credential of a running job: `lmj_`, a text that names the job and the epoch of its lease, sealed by the server.

Nothing of it is stored: it is good for as long as that lease lives, which the job's own stream says, and a job that is
handed out again has another one. The seal (HMAC-SHA-256) is of a key in the data directory, which the gateways of a store
share. It must never open more than its own run's repository.
"""

import base64
import binascii
import hashlib
import hmac
from pathlib import Path
from uuid import UUID

from gateway.auth import ensure_text

PREFIX = "lmj_"
KEY_FILE = "job-key"
ID_BYTES, EPOCH_BYTES, SEAL_BYTES = 16, 4, 32


class JobTokens:
    """Makes and reads them."""

    def __init__(self, key: str) -> None:
        self._key = key.encode()

    def of(self, job: UUID, epoch: int) -> str:
        """The credential of a job in this epoch; the same each time."""
        named = job.bytes + epoch.to_bytes(EPOCH_BYTES, "big")
        return PREFIX + base64.urlsafe_b64encode(named + self._seal(named)).decode().rstrip("=")

    def read(self, text: str) -> tuple[UUID, int] | None:
        """The job and the epoch that a credential names; None where the server has not made it."""
        encoded = text.removeprefix(PREFIX)
        try:
            content = base64.b64decode(encoded.encode() + b"=" * (-len(encoded) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, UnicodeEncodeError):
            return None
        named, seal = content[:-SEAL_BYTES], content[-SEAL_BYTES:]
        if len(named) != ID_BYTES + EPOCH_BYTES or not hmac.compare_digest(seal, self._seal(named)):
            return None
        return UUID(bytes=named[:ID_BYTES]), int.from_bytes(named[ID_BYTES:], "big")

    def _seal(self, named: bytes) -> bytes:
        return hmac.digest(self._key, PREFIX.encode() + named, hashlib.sha256)


def job_tokens(data: Path) -> JobTokens:
    """Those of a data directory, whose key is made at the first start."""
    return JobTokens(ensure_text(data / KEY_FILE))
