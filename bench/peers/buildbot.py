"""Buildbot with one worker, on Postgres: a master and a worker process for as long as the block lasts.

Settings are Buildbot's defaults, except that it shares our Postgres instead of using SQLite, which suits it better.
"""

import asyncio
import json
import os
import shutil
import socket
import subprocess
import urllib.request
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from http.client import HTTPException
from pathlib import Path
from typing import Any

from bench.peers import environment
from bench.peers.environment import PEERS, PeerMissingError
from bench.place import Place

START_SECONDS = 60
FORCE = "/api/v2/forceschedulers/force"


class Buildbot:
    """A running one. marks: files that begin with this path get the times of the first and the last step."""

    def __init__(self, url: str, marks: Path) -> None:
        self.url = url
        self.marks = marks

    def trigger(self, reason: str) -> None:
        """Ask for one build, on a connection of its own."""
        request = urllib.request.Request(f"{self.url}{FORCE}", json.dumps(force(reason)).encode(), {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            answer.read()


def force(reason: str, builder: str = "job") -> dict[str, Any]:
    """What a client of the REST API posts to FORCE to ask for one build."""
    params = {"builderNames": [builder], "reason": reason, "username": "User <user@example.org>"}
    return {"jsonrpc": "2.0", "method": "force", "id": 1, "params": params}


@asynccontextmanager
async def running(place: Place, *, worker: bool = True, prints: str = "true") -> AsyncIterator[Buildbot]:
    """Start master and worker; end them afterwards. prints: the script of its builder "log". Raises PeerMissingError."""
    programs = await asyncio.to_thread(environment.python, "buildbot")
    base = place.directory / "buildbot"
    base.mkdir()
    pb, www = free_port(), free_port()
    url = f"http://127.0.0.1:{www}"
    marks = base / "marks"
    database = place.database().replace("postgresql://", "postgresql+psycopg2://")
    names = {"MARKS": str(marks), "PB_PORT": str(pb), "WWW_PORT": str(www), "DB_URL": database, "PRINT": prints}
    variables = {"PATH": f"{programs}:{os.environ['PATH']}", "HOME": str(base)} | names
    children: list[subprocess.Popen[bytes]] = []
    with (base / "out.log").open("ab") as log:

        def start(*command: str) -> None:
            children.append(subprocess.Popen([str(programs / command[0]), *command[1:]], cwd=base, env=variables, stdout=log, stderr=log))

        try:
            try:
                shutil.copy(PEERS / "buildbot_master.py", _made(base / "master") / "master.cfg")
                environment.run([str(programs / "buildbot"), "create-master", "-r", "--db", database, "master"], cwd=base, env=variables)
                start("buildbot", "start", "--nodaemon", "master")
                await _answers(f"{url}/api/v2/builders", lambda found: bool(found["builders"]), children)
                if worker:
                    made = ["create-worker", "worker", f"127.0.0.1:{pb}", "w", "p"]
                    environment.run([str(programs / "buildbot-worker"), *made], cwd=base, env=variables)
                    start("buildbot-worker", "start", "--nodaemon", "worker")
                    await _answers(f"{url}/api/v2/workers", lambda found: bool(found["workers"][0]["connected_to"]), children)
            except (OSError, subprocess.SubprocessError) as error:
                raise PeerMissingError(f"Buildbot does not start: {environment.failure(error)}") from error
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
        except (OSError, HTTPException):
            pass
        await asyncio.sleep(0.1)  # another process, which tells nobody that it is ready
    raise PeerMissingError("Buildbot does not start: it does not answer")


def _made(directory: Path) -> Path:
    directory.mkdir(parents=True)
    return directory


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
