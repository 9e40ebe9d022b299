"""The embedded Postgres: how its cluster is made, started and recognised. Listens on a Unix socket in a directory of mode 0700 only.

A cluster appears whole or not at all: initdb writes beside its place without fsync, the files are synced together, then renamed.
Afterwards fsync stays on. The server's working directory is its cluster, so it names the socket relatively and no path is too long for it.
"""

import os
import shutil
import signal
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ClassVar
from urllib.parse import quote

from infra.embedded.binaries import PostgresPrograms
from infra.embedded.error import EmbeddedError
from infra.embedded.home import Home

DATABASE = USER = "ledgermill"
PORT = 5432
SOCKET_PATH_BYTES_MAX = 100  # the kernel's limit is 108 with the final zero, the client library's 107
SYNC_THREADS = 16

# Written into postgresql.conf once, so that an administrator can change them there. They keep an idle server small; none of them
# weakens what a commit promises. Dynamic shared memory as files: nothing is left in /dev/shm, and containers have little of it.
SETTINGS = {
    "shared_buffers": "48MB",
    "dynamic_shared_memory_type": "mmap",
    "max_logical_replication_workers": "0",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
}
SETTINGS_SINCE = {18: {"io_method": "sync"}}  # the default keeps three more processes


class Postgres:
    """A keeper's Service. url is libpq's, valid while the owner lives."""

    death_signal: ClassVar[signal.Signals] = signal.SIGINT  # "fast shutdown": roll back, checkpoint, end
    stop_seconds_max: ClassVar[float] = 10.0
    failure_code: ClassVar[str] = "EMB004"
    environment: ClassVar[Mapping[str, str]] = {}

    def __init__(self, data: Path, programs: PostgresPrograms) -> None:
        self.home = Home(data, "postgres")
        self.cluster = self.home.path / "cluster"
        self._programs = programs
        self.reach = self.home.programs_for_all(programs.roots, programs.version)
        self._bin = self.reach[0] / programs.bin.relative_to(programs.roots[0])
        self._socket = self.home.directory("socket")
        self._socket_descriptor = os.open(self._socket, os.O_PATH | os.O_CLOEXEC)

    @property
    def url(self) -> str:
        """postgresql://ledgermill@/ledgermill?host=..."""
        directory = str(self._socket)
        if len(os.fsencode(directory)) + len(f"/.s.PGSQL.{PORT}") > SOCKET_PATH_BYTES_MAX:
            directory = f"/proc/{os.getpid()}/fd/{self._socket_descriptor}"
        return f"postgresql://{USER}@/{DATABASE}?host={quote(directory, safe='')}&port={PORT}"

    def prepare(self, run: Callable[[list[str], bytes], None]) -> None:
        """Make the cluster when there is none; refuse one of another major version (EMB007)."""
        if not self.cluster.exists():
            self._make_cluster(run)
        version = (self.cluster / "PG_VERSION").read_text().strip()
        if version != str(self._programs.major):
            raise EmbeddedError(
                "EMB007",
                f"{self.cluster} was made by Postgres {version}; the programs in {self._programs.bin} are {self._programs.version}",
                help=f"set LEDGERMILL_PG_BIN to the directory of a Postgres {version}, or choose another --data DIR",
            )

    def command(self) -> list[str]:
        """Where it listens is forced here; everything else is in postgresql.conf."""
        self._remove_stale_lock_files()
        forced = {"listen_addresses": "", "unix_socket_directories": "../socket", "unix_socket_permissions": "0700", "port": PORT}
        return [str(self._bin / "postgres"), "-D", str(self.cluster), *(f"--{name}={value}" for name, value in forced.items())]

    def ready(self, pid: int) -> bool:
        """Line 1 of postmaster.pid is the server's process id, line 8 its state."""
        try:
            lines = (self.cluster / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return len(lines) >= 8 and lines[0].strip() == str(pid) and lines[7].strip() == "ready"

    def _make_cluster(self, run: Callable[[list[str], bytes], None]) -> None:
        fresh = self.home.path / "cluster.new"
        if fresh.exists():
            shutil.rmtree(fresh)
        self.home.directory("cluster.new")
        settings = SETTINGS | {
            name: value for since, more in SETTINGS_SINCE.items() if self._programs.major >= since for name, value in more.items()
        }
        flags = ["--no-sync", "--no-instructions", f"--username={USER}", "--auth=trust", "--locale=C.UTF-8", "--encoding=UTF8"]
        chosen = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        run([str(self._bin / "initdb"), "-D", str(fresh), *flags, *chosen], b"")
        run(
            [str(self._bin / "postgres"), "--single", "-F", "-D", str(fresh), "template1"],
            f"CREATE DATABASE {DATABASE} STRATEGY file_copy\n".encode(),
        )
        if not self._has_database(fresh):
            raise EmbeddedError("EMB004", f"the database {DATABASE} could not be made in {fresh}", help=f"read {self.home.log}")
        _sync_tree(fresh)
        fresh.rename(self.cluster)
        _sync(self.home.path)
        _sync(self.home.path.parent)

    def _has_database(self, cluster: Path) -> bool:
        """Single-user mode ends with 0 also after an error. initdb makes three databases, each a directory of base/."""
        return len([path for path in (cluster / "base").iterdir() if path.name.isdigit()]) == 4

    def _remove_stale_lock_files(self) -> None:
        """Postgres believes its lock files as soon as any process has their id: a zombie, or a stranger after a reboot, locks it out.

        No server of an earlier owner lives (we hold their lock); but somebody may have started this cluster by hand (EMB010).
        """
        file = self.cluster / "postmaster.pid"
        try:
            pid = int(file.read_text().split("\n", 1)[0])
        except (FileNotFoundError, ValueError):
            pid = 0
        if pid > 0 and _is_postgres_in(pid, self.cluster):
            raise EmbeddedError(
                "EMB010",
                f"a Postgres that ledgermill did not start (pid {pid}) runs on {self.cluster}",
                help=f"stop it (kill -INT {pid}), then start again",
            )
        for name in (f".s.PGSQL.{PORT}", f".s.PGSQL.{PORT}.lock"):
            (self._socket / name).unlink(missing_ok=True)
        file.unlink(missing_ok=True)

    def close(self) -> None:
        """Idempotent."""
        if self._socket_descriptor >= 0:
            os.close(self._socket_descriptor)
            self._socket_descriptor = -1


def _is_postgres_in(pid: int, cluster: Path) -> bool:
    """Whether pid is a living server whose working directory is the cluster."""
    try:
        name, _, rest = Path(f"/proc/{pid}/stat").read_text().partition("(")[2].rpartition(")")
        return name == "postgres" and rest.split()[0] not in "ZX" and Path(f"/proc/{pid}/cwd").samefile(cluster)
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return False


def _sync_tree(root: Path) -> None:
    """Sync every file and directory below. In threads: the file system joins concurrent requests into few journal commits."""
    paths = [path for directory, _, files in os.walk(root) for path in (Path(directory), *(Path(directory, file) for file in files))]
    with ThreadPoolExecutor(SYNC_THREADS) as pool:
        for _ in pool.map(_sync, paths):
            pass


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
