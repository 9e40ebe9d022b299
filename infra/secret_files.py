"""The secrets of repositories' webhooks and of subscriptions, outside the log: one file each below the data directory, mode 0600.

A secret that is replaced stays valid for a day, so that the other side can be told the new one at leisure. It must
never write a secret anywhere else, nor name one in an error.
"""

import os
import secrets
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

import msgspec

ROTATION = timedelta(days=1)


class Kept(msgspec.Struct, frozen=True, omit_defaults=True):
    """A secret. until: when it ends, None for the newest one."""

    secret: str
    until: datetime | None = None


_DECODER = msgspec.json.Decoder(tuple[Kept, ...])


class SecretFiles:
    """The secrets of one kind of owner in one data directory. Several processes may share it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def valid(self, owner: UUID, now: datetime) -> tuple[str, ...]:
        """The secrets that count now, the newest first."""
        return tuple(each.secret for each in self._read(owner) if each.until is None or each.until > now)

    def replace(self, owner: UUID, secret: str, now: datetime) -> bool:
        """Make it the newest secret, durably; the one before counts for ROTATION from now. False where it is the newest already."""
        kept = self._read(owner)
        if kept and kept[0].secret == secret:
            return False
        before = tuple(Kept(each.secret, now + ROTATION) for each in kept[:1])
        self._write(owner, (Kept(secret), *before))
        return True

    def remove(self, owner: UUID) -> None:
        """Forget them."""
        self._path(owner).unlink(missing_ok=True)

    def _read(self, owner: UUID) -> tuple[Kept, ...]:
        try:
            return _DECODER.decode(self._path(owner).read_bytes())
        except FileNotFoundError:
            return ()

    def _write(self, owner: UUID, kept: tuple[Kept, ...]) -> None:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = self._directory / f".{owner}.{secrets.token_hex(6)}"
        try:
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(msgspec.json.encode(kept))
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self._path(owner))
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
        descriptor = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _path(self, owner: UUID) -> Path:
        return self._directory / f"{owner}.json"
