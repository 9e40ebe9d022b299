"""What the framework alone can do: a route that reads an ordinary body and accepts it, and one that only reads what it is sent.

    python -m bench.noop PORT

Served as the gateway is, by one process: uvicorn on uvloop, FastAPI behind it.
"""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

from bench.http import Http
from bench.peers.buildbot import free_port
from bench.place import ROOT

START_SECONDS = 20


class Trigger(BaseModel):
    """About 300 bytes."""

    workflow: str
    ref: str
    repository: str
    sha: str
    sender: str
    inputs: dict[str, str]
    note: str


class Accepted(BaseModel):
    """A short answer."""

    run_id: str
    status: str


TRIGGER = {
    "workflow": ".github/workflows/ci.yml",
    "ref": "refs/heads/main",
    "repository": "acme/pay",
    "sha": "0" * 40,
    "sender": "alice",
    "inputs": {"environment": "production", "debug": "false"},
    "note": "x" * 90,
}
app = FastAPI()


@app.post("/runs", status_code=202)
async def runs(trigger: Trigger) -> Accepted:
    """Accept."""
    return Accepted(run_id="r-1", status=trigger.ref)


async def served(
    scope: MutableMapping[str, Any],
    receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
    send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
) -> None:
    """`/lines` bare, everything else through the framework."""
    if scope.get("path") != "/lines":
        await app(scope, receive, send)
        return
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


@asynccontextmanager
async def running() -> AsyncIterator[Http]:
    """A process of its own, and connections to it."""
    port = free_port()
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "bench.noop", str(port), cwd=ROOT)
    http = Http(f"http://127.0.0.1:{port}", "")
    try:
        async with asyncio.timeout(START_SECONDS):
            while True:
                try:
                    await http.post("/runs", TRIGGER)
                    break
                except OSError:
                    await asyncio.sleep(0.05)
        yield http
    finally:
        http.close()
        process.send_signal(signal.SIGKILL)
        await process.wait()


if __name__ == "__main__":
    uvicorn.run(
        served, port=int(sys.argv[1]), http="httptools", loop="uvloop", ws="none", lifespan="off", log_config=None, access_log=False
    )
