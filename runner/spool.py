"""What an attempt cannot tell while the control plane is away, on disk: lines, step transitions, outcome.

    WORK/spool/LEASE/lease     who may deliver the rest: job, name and fence
    WORK/spool/LEASE/lines     log lines that the server has not stored, in order
    WORK/spool/LEASE/steps     `jobs/{id}/events` messages, in order
    WORK/spool/LEASE/outcome   the `jobs/{id}/complete` message, once the attempt has ended

Each file is JSON, one object a line. The folder is made at the first refused report and removed when all is delivered,
so it costs nothing while the server answers. It is written without fsync: it outlives this process, not the machine,
whose jobs have died with it. It must never hold an unmasked line, nor lines out of order.
"""

import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Self
from uuid import UUID

import msgspec

from runner import wire

FOLDER = "spool"
LINES_BYTES_MAX = 256 * 1024 * 1024
"""So much of one attempt's log waits on disk; past it the job waits on its full pipe."""
WRITE_BYTES = 64 * 1024
READ_BYTES = 512 * 1024

_encode = msgspec.json.Encoder().encode


class Left(msgspec.Struct, frozen=True):
    """Whose reports a folder holds."""

    job: UUID
    name: str
    fence: wire.Fence


class Backlog:
    """A file of log lines: written at its end, read from its beginning, removed when all of it is stored.

    last: the number of its last line, 0 when it is empty. unread: whether `read` has more. full: it takes no more than
    it has to.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self.last = 0
        self.size = 0
        self.read_to = 0
        self.pending = bytearray()
        self.no_space = False
        self.recover()

    def recover(self) -> None:
        """Take over what an earlier life wrote; of a line that its death cut short nothing is kept."""
        size = os.fstat(self.descriptor).st_size
        start = max(0, size - READ_BYTES)
        tail = os.pread(self.descriptor, READ_BYTES, start)
        whole = tail[: tail.rfind(b"\n") + 1]
        if whole:
            self.size = start + len(whole)
            self.last = decode(whole[whole.rfind(b"\n", 0, -1) + 1 :])[0].line

    @property
    def unread(self) -> bool:
        """Whether lines are left to read."""
        return self.read_to < self.size + len(self.pending)

    @property
    def full(self) -> bool:
        """Whether the job has to wait: the bound is reached, or the disk takes no more."""
        return self.no_space or self.size + len(self.pending) >= LINES_BYTES_MAX

    def append(self, line: wire.Line) -> None:
        """Add a line; it is on disk after `flush`."""
        self.pending += _encode(line)
        self.pending += b"\n"
        self.last = line.line
        if len(self.pending) >= WRITE_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write what was added. What a full disk does not take stays in memory and is tried again."""
        if not self.pending:
            return
        try:
            written = os.pwrite(self.descriptor, self.pending, self.size)
        except OSError:
            written = 0
        self.size += written
        del self.pending[:written]
        self.no_space = bool(self.pending)

    def skip(self) -> None:
        """All that is here is in memory too: do not read it again."""
        self.read_to = self.size + len(self.pending)

    def read(self) -> list[wire.Line]:
        """The next lines, some hundred kilobytes of them; those last that a full disk did not take."""
        self.flush()
        data, wanted = b"", READ_BYTES
        if self.read_to == self.size:
            data, self.pending, self.no_space = bytes(self.pending), bytearray(), False
            return decode(data)
        while b"\n" not in data and len(data) < self.size - self.read_to:
            data = os.pread(self.descriptor, min(wanted, self.size - self.read_to), self.read_to)
            wanted *= 2
        whole = data[: data.rfind(b"\n") + 1]
        self.read_to += len(whole)
        return decode(whole)

    def close(self) -> None:
        """Write what can be written, and leave the file where it is."""
        self.flush()
        os.close(self.descriptor)

    def remove(self) -> None:
        """Close and remove the file."""
        os.close(self.descriptor)
        self.path.unlink(missing_ok=True)


def decode(data: bytes) -> list[wire.Line]:
    """Lines from JSON, one a line."""
    return msgspec.json.decode(b"[" + data[:-1].replace(b"\n", b",") + b"]", type=list[wire.Line])


class Spool:
    """The folder of one attempt. It appears with `begin`; before that nothing is written.

    on_begin: called by each `begin`, so that all that waits in memory goes to disk with what was refused.
    """

    def __init__(self, work: Path, left: Left) -> None:
        self.path = work / FOLDER / left.fence.lease.hex
        self.left = left
        self.open = False
        self.on_begin: list[Callable[[], None]] = []

    @classmethod
    def found(cls, path: Path) -> Self:
        """The folder that an earlier life left. Raises OSError or msgspec.MsgspecError where it makes no sense."""
        spool = cls(path.parent.parent, msgspec.json.decode((path / "lease").read_bytes(), type=Left))
        spool.open = True
        return spool

    def begin(self) -> None:
        """The control plane is away. A disk that takes nothing leaves everything in memory, where it waits too."""
        if not self.open:
            with suppress(OSError):
                self.path.mkdir(mode=0o700, parents=True)
                (self.path / "lease.new").write_bytes(_encode(self.left))
                (self.path / "lease.new").replace(self.path / "lease")
                self.open = True
        for listener in self.on_begin:
            listener()

    def backlog(self) -> Backlog | None:
        """The file of lines; None where there is no disk to write to."""
        if self.open:
            with suppress(OSError):
                return Backlog(self.path / "lines")
        return None

    def add_steps(self, message: wire.Steps) -> None:
        """Keep transitions."""
        if self.open:
            with suppress(OSError), (self.path / "steps").open("ab") as file:
                file.write(_encode(message) + b"\n")

    def set_outcome(self, message: wire.Complete) -> None:
        """Keep the outcome; written last, and whole."""
        if self.open:
            with suppress(OSError):
                (self.path / "outcome.new").write_bytes(_encode(message))
                (self.path / "outcome.new").replace(self.path / "outcome")

    def steps(self) -> list[wire.Steps]:
        """The transitions that were kept; one that was cut short by a kill is left out, with what came after it."""
        found = []
        path = self.path / "steps"
        for line in path.read_bytes().splitlines(keepends=True) if path.exists() else ():
            if not line.endswith(b"\n"):
                break
            found.append(msgspec.json.decode(line, type=wire.Steps))
        return found

    def outcome(self) -> wire.Complete | None:
        """The outcome, where the attempt had ended."""
        path = self.path / "outcome"
        return msgspec.json.decode(path.read_bytes(), type=wire.Complete) if path.exists() else None

    def remove(self) -> None:
        """All is delivered, or nobody wants it."""
        if self.open:
            self.open = False
            shutil.rmtree(self.path, ignore_errors=True)


def leftovers(work: Path) -> list[Spool]:
    """What earlier lives could not deliver; a folder without sense is removed."""
    found = []
    folder = work / FOLDER
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        try:
            found.append(Spool.found(path))
        except (OSError, msgspec.MsgspecError):
            shutil.rmtree(path, ignore_errors=True)
    return found
