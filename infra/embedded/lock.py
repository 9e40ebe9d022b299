"""One server per data directory: an advisory lock (flock) on `DIR/lock`, whose text says who holds it.

The kernel drops the lock when its process ends, however it ends, so a stale file never locks anybody out and its text is only
believed while the lock is held. The file must never be replaced by rename: the lock lives on the inode.
"""

import fcntl
import json
import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from infra.embedded.error import EmbeddedError

FILE = "lock"
PROBE_SECONDS_MAX = 0.25  # somebody who only asks for the owner holds a shared lock for microseconds


class Owner(NamedTuple):
    """Who holds a data directory. pid is None only in the instant before the holder has written its name.

    database_url, nats_url: the servers that it works on, once it serves.
    """

    pid: int | None
    url: str | None
    since: datetime | None
    database_url: str | None = None
    nats_url: str | None = None

    def __str__(self) -> str:
        """`pid 4711, since 2026-11-21 09:12 UTC, http://127.0.0.1:7300`."""
        since = self.since and f"since {self.since:%Y-%m-%d %H:%M} UTC"
        return ", ".join(part for part in (f"pid {self.pid or 'unknown'}", since, self.url) if part)


class DataLock:
    """The held lock. Made by `acquire` only; `release` is idempotent."""

    def __init__(self, descriptor: int, data: Path) -> None:
        self.data = data
        self._descriptor = descriptor
        self._since = datetime.now(UTC)
        self.announce(None)

    def announce(self, url: str | None, database_url: str | None = None, nats_url: str | None = None) -> None:
        """Write where the server listens and what it works on, beside pid and time, for those whom the lock turns away.

        Only the owner of the directory can read it.
        """
        said = {"pid": os.getpid(), "url": url, "since": self._since.isoformat(), "database_url": database_url, "nats_url": nats_url}
        text = json.dumps(said).encode()
        os.pwrite(self._descriptor, text, 0)
        os.ftruncate(self._descriptor, len(text))

    def release(self) -> None:
        """Let the next server in."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def acquire(data: Path) -> DataLock:
    """Take the directory or raise EMB003 with the owner; EMB008 when the file system refuses."""
    try:
        descriptor = os.open(data / FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise unusable(data, error) from error
    give_up = time.monotonic() + PROBE_SECONDS_MAX
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return DataLock(descriptor, data)
        except BlockingIOError:
            if time.monotonic() > give_up:
                holder = _read(descriptor)
                os.close(descriptor)
                raise taken(data, holder) from None
            time.sleep(0.01)  # whoever asks for the owner holds it for microseconds
        except OSError as error:
            os.close(descriptor)
            raise unusable(data, error) from error


def owner(data: Path) -> Owner | None:
    """Who serves from this directory now; None when nobody does or the directory does not exist. EMB008 when it is another user's."""
    try:
        descriptor = os.open(data / FILE, os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise unusable(data, error) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read(descriptor)
    else:
        return None
    finally:
        os.close(descriptor)


def taken(data: Path, holder: Owner) -> EmbeddedError:
    """EMB003."""
    return EmbeddedError(
        "EMB003",
        f"another ledgermill server uses {data} ({holder})",
        help="use it (ledgermill status), stop it (ledgermill down), or choose --data DIR",
    )


def unusable(data: Path, error: OSError) -> EmbeddedError:
    """EMB008."""
    return EmbeddedError(
        "EMB008",
        f"the data directory {data} cannot be used",
        because=f"{error.strerror}: {error.filename or data}",
        help="choose a directory of your own on a local file system with --data DIR, or use --database-url and --nats-url",
    )


def _read(descriptor: int) -> Owner:
    try:
        text = json.loads(os.pread(descriptor, 4096, 0))
        return Owner(text["pid"], text["url"], datetime.fromisoformat(text["since"]), text.get("database_url"), text.get("nats_url"))
    except (ValueError, KeyError):
        return Owner(None, None, None)
