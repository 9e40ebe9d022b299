"""Environments of the peers: each one's own, inside the clone, made once for each content of its lock file."""

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.place import ROOT

PEERS = ROOT / "bench" / "peers"
INSTALL_SECONDS = 600


class PeerMissingError(Exception):
    """The peer cannot be installed or does not start here; the message says why."""


def python(name: str) -> Path:
    """The folder of programs of a peer that comes from PyPI, locked in `name`.txt. Raises PeerMissingError."""
    lock = PEERS / f"{name}.txt"
    home = _home(name)
    pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes", "--only-binary", ":all:"]
    commands = ([sys.executable, "-m", "venv", str(home)], [str(home / "bin" / "python"), *pip, "-r", str(lock)])
    _install(name, lock, commands)
    return home / "bin"


def node(name: str) -> Path:
    """The node_modules of a peer that comes from the npm registry, locked in `name`/package-lock.json. Raises PeerMissingError."""
    home = _home(name)
    npm = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error", "--prefix", str(home)]
    _install(name, PEERS / name / "package-lock.json", (["cp", "-R", str(PEERS / name), str(home)], npm))
    return home / "node_modules"


def failure(error: Exception) -> str:
    """The last line of what a program said when it failed, else the error."""
    said = (getattr(error, "stderr", None) or str(error)).strip()
    return said.splitlines()[-1] if said else type(error).__name__


def run(command: Sequence[str], **place: object) -> None:
    """Run a program to its end. Raises OSError or SubprocessError."""
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=INSTALL_SECONDS, **place)  # type: ignore[call-overload]  # cwd, env


def _home(name: str) -> Path:
    return ROOT / "bench" / ".peers" / name


def _install(name: str, lock: Path, commands: Sequence[Sequence[str]]) -> None:
    stamp = _home(name) / "installed"
    if stamp.is_file() and stamp.read_bytes() == lock.read_bytes():
        return
    shutil.rmtree(_home(name), ignore_errors=True)
    _home(name).parent.mkdir(parents=True, exist_ok=True)
    try:
        for command in commands:
            run(command)
    except (OSError, subprocess.SubprocessError) as error:
        raise PeerMissingError(f"{name} cannot be installed: {failure(error)}") from error
    stamp.write_bytes(lock.read_bytes())
