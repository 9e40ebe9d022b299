"""The secrets of repositories, outside the log: one file a repository below the data directory, mode 0600.

A webhook secret that is replaced stays valid for a day, so that the forge can be told the new one at leisure. It must
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
    """The webhook secrets of the repositories of one data directory. Several processes may share it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def valid(self, repository: UUID, now: datetime) -> tuple[str, ...]:
        """The secrets that count now, the newest first."""
        return tuple(each.secret for each in self._read(repository) if each.until is None or each.until > now)

    def replace(self, repository: UUID, secret: str, now: datetime) -> bool:
        """Make it the newest secret, durably; the one before counts for ROTATION from now. False where it is the newest already."""
        kept = self._read(repository)
        if kept and kept[0].secret == secret:
            return False
        before = tuple(Kept(each.secret, now + ROTATION) for each in kept[:1])
        self._write(repository, (Kept(secret), *before))
        return True

    def remove(self, repository: UUID) -> None:
        """Forget them."""
        self._path(repository).unlink(missing_ok=True)

    def _read(self, repository: UUID) -> tuple[Kept, ...]:
        try:
            return _DECODER.decode(self._path(repository).read_bytes())
        except FileNotFoundError:
            return ()

    def _write(self, repository: UUID, kept: tuple[Kept, ...]) -> None:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = self._directory / f".{repository}.{secrets.token_hex(6)}"
        try:
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(msgspec.json.encode(kept))
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self._path(repository))
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
        descriptor = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _path(self, repository: UUID) -> Path:
        return self._directory / f"{repository}.json"
