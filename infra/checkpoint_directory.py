"""The place outside the database that remembers what was signed: a directory, best on another machine's disk.

    checkpoint    the last one, a C2SP note
    checkpoints   all of them, one after the other
    entries       the 64 bytes of each event that they cover, in order: they name what was changed
    keys          the public keys that have signed here, one a line (name+id+key)

Everything is only ever added to, entries before the checkpoint that covers them. What a crash left half-written was never
signed for, and is written over.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from domain.transparency.checkpoints import Held, Signed, joined, parted
from domain.transparency.entry import ENTRY_BYTES

TAIL_BYTES = 64 * 1024
PIECE_BYTES = 16_384 * ENTRY_BYTES


class CheckpointDirectory:
    """See projections.transparency.projector.Outside; and what `audit verify` reads there. One process writes."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._key = ""

    def held(self) -> Held:
        """See the protocol."""
        notes = parted(self._tail().decode(errors="replace"))
        path = self._directory / "entries"
        size = path.stat().st_size // ENTRY_BYTES if path.exists() else 0
        return Held(size, notes[-1] if notes else None, self.keys())

    def extend(self, first: int, entries: bytes) -> None:
        """See the protocol."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(self._directory / "entries", os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
            file.truncate(first * ENTRY_BYTES)
            file.seek(first * ENTRY_BYTES)
            file.write(entries)
            file.flush()
            os.fdatasync(file.fileno())

    def keep(self, checkpoint: Signed, key: str) -> None:
        """See the protocol."""
        if key != self._key:
            self._repair()
            if key not in self.keys():
                self._append("keys", f"{key}\n")
            self._key = key
        self._append("checkpoints", joined([checkpoint.note]))
        draft = self._directory / ".checkpoint"
        draft.write_text(checkpoint.note)
        draft.replace(self._directory / "checkpoint")

    def keys(self) -> tuple[str, ...]:
        """The keys that have signed here."""
        return tuple(self._read("keys").split())

    def notes(self) -> list[str]:
        """All checkpoints, the oldest first."""
        return parted(self._read("checkpoints"))

    def entries(self, first: int) -> Iterator[bytes]:
        """The entries from an index on, many at a time."""
        path = self._directory / "entries"
        if path.exists():
            with path.open("rb") as file:
                file.seek(first * ENTRY_BYTES)
                while piece := file.read(PIECE_BYTES):
                    yield piece[: len(piece) // ENTRY_BYTES * ENTRY_BYTES]

    def _repair(self) -> None:
        """Cut off what a crash left half-written, so that the next checkpoint is not taken for a part of it."""
        content = self._tail()
        notes = parted(content.decode(errors="replace"))
        whole = content.rindex(notes[-1].encode()) + len(notes[-1].encode()) + 1 if notes else 0
        if torn := len(content) - whole:
            path = self._directory / "checkpoints"
            os.truncate(path, path.stat().st_size - torn)

    def _append(self, name: str, text: str) -> None:
        """Add to a file, durably."""
        with os.fdopen(os.open(self._directory / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as file:
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())

    def _read(self, name: str) -> str:
        path = self._directory / name
        return path.read_text() if path.exists() else ""

    def _tail(self) -> bytes:
        """The end of the checkpoints."""
        path = self._directory / "checkpoints"
        if not path.exists():
            return b""
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - TAIL_BYTES))
            return file.read()
