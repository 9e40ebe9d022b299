"""The directory of one embedded server inside the data directory: whose it is, which user its server runs as, and when it is free.

Postgres refuses to run as root. Started by root, a server runs as the owner of its directory, by default `nobody`: no account is made.
Only this directory changes hands; the data directory stays its creator's with mode 0700.
"""

import fcntl
import os
import pwd
import shutil
import time
from pathlib import Path

from infra.embedded.error import EmbeddedError
from infra.embedded.lock import unusable

PREDECESSOR_SECONDS_MAX = 20.0
LOG_BYTES_MAX = 8 * 1024 * 1024
NOBODY = 65534


class Home:
    """path, uid and gid of the server (None: we are no root, it runs as we do), log: where its output goes."""

    def __init__(self, data: Path, name: str) -> None:
        """Make the directory, or take the one that is there. EMB008 when the file system refuses."""
        self.name = name
        self.path = data / name
        self.log = data / "logs" / f"{name}.log"
        self._running = -1
        try:
            new = _make(self.path)
            _make(self.log.parent)
            self.uid, self.gid = self._user(new)
            if new and self.uid is not None and self.gid is not None:
                os.chown(self.path, self.uid, self.gid)
        except OSError as error:
            raise unusable(data, error) from error

    def _user(self, new: bool) -> tuple[int | None, int | None]:
        owner = self.path.stat()
        if os.geteuid() != 0:
            if owner.st_uid != os.geteuid():
                raise PermissionError(1, f"belongs to user {owner.st_uid}, you are {os.geteuid()}", str(self.path))
            return None, None
        if not new and owner.st_uid != 0:
            return owner.st_uid, owner.st_gid
        try:
            nobody = pwd.getpwnam("nobody")
        except KeyError:
            return NOBODY, NOBODY
        return nobody.pw_uid, nobody.pw_gid

    def directory(self, name: str) -> Path:
        """A directory of mode 0700 inside, the server's own."""
        path = self.path / name
        _make(path)
        self.hand_over(path)
        return path

    def hand_over(self, path: Path) -> None:
        """Make the server's user the owner of one path inside."""
        if self.uid is not None and self.gid is not None:
            os.chown(path, self.uid, self.gid)

    def wait_until_free(self) -> int:
        """The descriptor of a lock that every process of this server inherits, so that it is free when the last of them has ended.

        The predecessor of a killed owner may still be shutting down; EMB010 when it does not end.
        """
        if self._running < 0:
            self._running = os.open(self.path / "running", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        give_up = time.monotonic() + PREDECESSOR_SECONDS_MAX
        while True:
            try:
                fcntl.flock(self._running, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > give_up:
                    raise self._occupied() from None
                time.sleep(0.01)  # another process holds it for a moment, and tells nobody
            else:
                return self._running

    def open_log(self) -> int:
        """A descriptor that appends; a log that has grown too long becomes `NAME.log.1` first."""
        if self.log.exists() and self.log.stat().st_size > LOG_BYTES_MAX:
            self.log.rename(self.log.with_suffix(".log.1"))
        return os.open(self.log, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def programs_for_all(self, roots: tuple[Path, ...], version: str) -> tuple[Path, ...]:
        """The same directories, or copies inside this one when their modes keep the server's user out (installed with umask 077)."""
        if self.uid is None or all(_open_to_all(root) for root in roots):
            return roots
        target = self.path / f"programs-{version}"
        if not target.exists():
            fresh = self.path / "programs.new"
            shutil.rmtree(fresh, ignore_errors=True)
            for root in roots:
                shutil.copytree(root, fresh / _place(root, roots), symlinks=True)
            for directory, _, files in os.walk(fresh):
                for path in (Path(directory), *(Path(directory, file) for file in files)):
                    if not path.is_symlink():
                        path.chmod(path.stat().st_mode | (path.stat().st_mode & 0o500) >> 6 | 0o004)
            fresh.rename(target)
        return tuple(target / _place(root, roots) for root in roots)

    def close(self) -> None:
        """Give the lock back; idempotent."""
        if self._running >= 0:
            os.close(self._running)
            self._running = -1

    def _occupied(self) -> EmbeddedError:
        return EmbeddedError(
            "EMB010",
            f"the {self.name} server of an earlier owner of {self.path.parent} has not ended within {PREDECESSOR_SECONDS_MAX:g} s",
            because=f"a process still holds {self.path / 'running'}",
            help=f"fuser -v {self.path / 'running'}   names it; stop it, then start again",
        )


def private_data_directory(data: Path) -> Path:
    """The absolute path of DIR with mode 0700, made when missing. Never changes the mode of a directory that holds another's files."""
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        data = data.resolve()
        if data.stat().st_mode & 0o077:
            if any(data.iterdir()) and not (data / "lock").exists():
                raise PermissionError(1, "it is open to others and holds files that are not ours (chmod 700 it if they are)", str(data))
            data.chmod(0o700)
    except OSError as error:
        raise unusable(data, error) from error
    return data


def _make(path: Path) -> bool:
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        return False
    return True


def _place(root: Path, roots: tuple[Path, ...]) -> Path:
    return root.relative_to(os.path.commonpath([path.parent for path in roots]))


def _open_to_all(root: Path) -> bool:
    """Whether a stranger who stands in root can read and run what is in it. Every directory is asked, and one file of each."""
    for directory, _, files in os.walk(root):
        sample = [Path(directory, file) for file in files[:1]]
        if Path(directory).stat().st_mode & 0o005 != 0o005 or not all(path.stat().st_mode & 0o004 for path in sample):
            return False
    return True
