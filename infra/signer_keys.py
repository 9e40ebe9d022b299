"""The signer's keys for provenance: `1.pem`, `2.pem` and so on in one directory; the last one signs, all stay for verification.

Only the signer opens this directory, and where root allows it belongs to a user of its own. It is held by a descriptor, so
that the way there may be closed to the signer itself. A key must never leave the process that reads it.
"""

import os
from pathlib import Path

from infra.signing import SigningKey, signing_key

ENDING = ".pem"


class KeyRing:
    """The keys of a directory. Looked at anew for each use, so that a new key counts at once."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._keys: dict[int, SigningKey] = {}
        if not self._numbers():
            self.rotate()

    def give_to(self, user: int) -> None:
        """From now on only this user (and root) gets at the directory and its keys."""
        for name in [*self._names(), "."]:
            os.chown(name, user, user, dir_fd=self._descriptor, follow_symlinks=False)

    @property
    def owner(self) -> int:
        """The user id that the directory belongs to."""
        return os.fstat(self._descriptor).st_uid

    def rotate(self) -> SigningKey:
        """Make a new key, which signs from now on."""
        number = max(self._numbers(), default=0) + 1
        key = self._read(number)
        status = os.fstat(self._descriptor)
        os.chown(f"{number}{ENDING}", status.st_uid, status.st_gid, dir_fd=self._descriptor, follow_symlinks=False)
        return key

    def current(self) -> SigningKey:
        """The key that signs now."""
        return self._read(max(self._numbers()))

    def all(self) -> list[SigningKey]:
        """The newest first."""
        return [self._read(number) for number in sorted(self._numbers(), reverse=True)]

    def _names(self) -> list[str]:
        return os.listdir(self._descriptor)  # noqa: PTH208 - the directory is known by its descriptor alone

    def _numbers(self) -> list[int]:
        names = [name.removesuffix(ENDING) for name in self._names() if name.endswith(ENDING)]
        return [int(name) for name in names if name.isdecimal()]

    def _read(self, number: int) -> SigningKey:
        key = self._keys.get(number)
        if key is None:
            key = self._keys[number] = signing_key(Path(f"/proc/self/fd/{self._descriptor}/{number}{ENDING}"))
        return key

    def close(self) -> None:
        """Let go of the directory."""
        os.close(self._descriptor)
