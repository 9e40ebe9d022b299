"""Buildbot with one worker, on Postgres: a master and a worker process for as long as the block lasts.

Settings are Buildbot's defaults, except that it shares our Postgres instead of using SQLite, which suits it better.
"""

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from bench.place import ROOT, Place

PEERS = ROOT / "bench" / "peers"
ENVIRONMENT = ROOT / "bench" / ".peers" / "buildbot"
REQUIREMENTS = PEERS / "buildbot.txt"
INSTALL_SECONDS = 300
START_SECONDS = 60


class PeerMissingError(Exception):
    """The peer cannot be installed or does not start here; the message says why."""


def install() -> None:
    """Make the environment, once for each content of the lock file. Raises PeerMissingError."""
    stamp = ENVIRONMENT / "installed.txt"
    if stamp.is_file() and stamp.read_bytes() == REQUIREMENTS.read_bytes():
        return
    shutil.rmtree(ENVIRONMENT, ignore_errors=True)
    pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes", "--only-binary", ":all:"]
    try:
        _run([sys.executable, "-m", "venv", str(ENVIRONMENT)])
        _run([str(ENVIRONMENT / "bin" / "python"), *pip, "-r", str(REQUIREMENTS)])
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", None) or str(error)
        raise PeerMissingError(f"Buildbot cannot be installed: {said.strip().splitlines()[-1]}") from error
    stamp.write_bytes(REQUIREMENTS.read_bytes())


class Buildbot:
    """A running one. marks: files that begin with this path get the times of the first and the last step."""

    def __init__(self, url: str, marks: Path) -> None:
        self.url = url
        self.marks = marks

    def trigger(self, reason: str) -> None:
        """Ask for one build, as a client of the REST API does."""
        force = {"builderNames": ["job"], "reason": reason, "username": "User <user@example.org>"}
        call = {"jsonrpc": "2.0", "method": "force", "id": 1, "params": force}
        request = urllib.request.Request(
            f"{self.url}/api/v2/forceschedulers/force", json.dumps(call).encode(), {"content-type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            answer.read()


@asynccontextmanager
async def running(place: Place) -> AsyncIterator[Buildbot]:
    """Start master and worker; end them afterwards. Raises PeerMissingError."""
    await asyncio.to_thread(install)
    base = place.directory / "buildbot"
    base.mkdir()
    pb, www = _free_port(), _free_port()
    url = f"http://127.0.0.1:{www}"
    marks = base / "marks"
    database = place.database().replace("postgresql://", "postgresql+psycopg2://")
    names = {"MARKS": str(marks), "PB_PORT": str(pb), "WWW_PORT": str(www), "DB_URL": database}
    environment = {"PATH": f"{ENVIRONMENT / 'bin'}:{os.environ['PATH']}", "HOME": str(base)} | names
    programs = ENVIRONMENT / "bin"
    children: list[subprocess.Popen[bytes]] = []
    with (base / "out.log").open("ab") as log:

        def start(*command: str) -> None:
            children.append(subprocess.Popen([str(programs / command[0]), *command[1:]], cwd=base, env=environment, stdout=log, stderr=log))

        try:
            try:
                shutil.copy(PEERS / "buildbot_master.py", _made(base / "master") / "master.cfg")
                _run([str(programs / "buildbot"), "create-master", "-r", "--db", database, "master"], cwd=base, env=environment)
                worker = ["create-worker", "worker", f"127.0.0.1:{pb}", "w", "p"]
                _run([str(programs / "buildbot-worker"), *worker], cwd=base, env=environment)
                start("buildbot", "start", "--nodaemon", "master")
                await _answers(f"{url}/api/v2/builders", lambda found: bool(found["builders"]), children)
                start("buildbot-worker", "start", "--nodaemon", "worker")
                await _answers(f"{url}/api/v2/workers", lambda found: bool(found["workers"][0]["connected_to"]), children)
            except (OSError, subprocess.SubprocessError) as error:
                said = getattr(error, "stderr", None) or str(error)
                raise PeerMissingError(f"Buildbot does not start: {said.strip().splitlines()[-1]}") from error
            yield Buildbot(url, marks)
        finally:
            for child in reversed(children):
                child.terminate()
            for child in children:
                try:
                    await asyncio.to_thread(child.wait, 15)
                except subprocess.TimeoutExpired:
                    child.kill()
                    child.wait()


async def _answers(url: str, ready: Callable[[Any], bool], children: list[subprocess.Popen[bytes]]) -> None:
    """Return when the API says so."""
    loop = asyncio.get_running_loop()
    give_up_at = loop.time() + START_SECONDS
    while loop.time() < give_up_at and all(child.poll() is None for child in children):
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                if ready(json.load(answer)):
                    return
        except OSError:
            pass
        await asyncio.sleep(0.1)
    raise PeerMissingError("Buildbot does not start: it does not answer")


def _made(directory: Path) -> Path:
    directory.mkdir(parents=True)
    return directory


def _run(command: list[str], **place: object) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=INSTALL_SECONDS, **place)  # type: ignore[call-overload]  # cwd, env


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
