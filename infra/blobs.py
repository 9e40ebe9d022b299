"""Blobs in a directory, named by their content.

A blob appears under its name only whole and on stable storage: temporary file, fsync, rename, fsync of the directory.
So an event that names a digest may be committed as soon as `put` returns. A blob is never changed.
"""

import asyncio
import hashlib
import os
import re
import secrets
from collections import OrderedDict
from pathlib import Path

KNOWN_MAX = 100_000
DIGEST = re.compile(r"[0-9a-f]{64}")


class FileBlobs:
    """See domain.ports.Blobs. Blob "abcd..." lies in `directory`/ab/cd.... Several processes may share the directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._known: OrderedDict[str, None] = OrderedDict()

    async def put(self, content: bytes) -> str:
        """See the port. Raises OSError when the disk is full; then nothing stands under the digest."""
        digest = hashlib.sha256(content).hexdigest() if len(content) < 1 << 20 else await asyncio.to_thread(_digest, content)
        if digest in self._known:
            self._known.move_to_end(digest)
            return digest
        await asyncio.to_thread(self._write, digest, content)
        self._known[digest] = None
        if len(self._known) > KNOWN_MAX:
            self._known.popitem(last=False)
        return digest

    async def get(self, digest: str) -> bytes:
        """See the port."""
        return await asyncio.to_thread(self._verified, digest)

    def path(self, digest: str) -> Path:
        """Where a blob lies. Raises KeyError for what is not a digest."""
        if not DIGEST.fullmatch(digest):
            raise KeyError(digest)
        return self._directory / digest[:2] / digest[2:]

    def _write(self, digest: str, content: bytes) -> None:
        target = self.path(digest)
        if target.exists() and target.read_bytes() == content:
            _sync_directory(target.parent)
            return
        for folder in (self._directory, target.parent):
            if not folder.exists():
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                _sync_directory(folder.parent)
        temporary = target.parent / f".{target.name[:16]}.{secrets.token_hex(6)}"
        try:
            with temporary.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        _sync_directory(target.parent)

    def _verified(self, digest: str) -> bytes:
        try:
            content = self.path(digest).read_bytes()
        except FileNotFoundError:
            raise KeyError(digest) from None
        if _digest(content) != digest:
            raise ValueError(f"STO011: blob {digest} does not fit its digest: {len(content)} bytes on disk are damaged")
        return content


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _sync_directory(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
