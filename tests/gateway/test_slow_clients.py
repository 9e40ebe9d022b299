"""Clients that take nothing, and many that only wait: bounded memory, a reason, and no harm to those who read."""

import asyncio
import contextlib
import re
import resource
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from gateway import open_files
from runner import wire
from tests.gateway.conftest import Gateway, HandRunner

LINES, BATCH = 6000, 500
TEXT = "x" * 500


@contextlib.asynccontextmanager
async def connected(gateway: Gateway, path: str, *, window_bytes: int = 0, last: str = "") -> AsyncIterator[socket.socket]:
    """A bare socket on which a stream was asked for."""
    place = urlsplit(gateway.url)
    with socket.socket() as client:
        if window_bytes:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window_bytes)
        client.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(client, (place.hostname, place.port))
        resumed = f"Last-Event-ID: {last}\r\n" if last else ""
        head = f"GET {path} HTTP/1.1\r\nHost: {place.netloc}\r\nAuthorization: Bearer {gateway.tokens['admin']}\r\n{resumed}\r\n"
        await loop.sock_sendall(client, head.encode())
        yield client


async def read_all(client: socket.socket) -> bytes:
    """What comes until the server closes or cuts the connection."""
    found = bytearray()
    with contextlib.suppress(ConnectionResetError):
        while piece := await asyncio.get_running_loop().sock_recv(client, 1 << 16):
            found += piece
    return bytes(found)


def lines_in(received: bytes) -> list[str]:
    """The ids of the records that arrived whole; marks of chunks stand between events only."""
    return [each.decode() for each in re.findall(rb"id: (\d+:\d+)\ndata: \{[^\n]*\}\n\n", received)]


async def started(gateway: Gateway) -> tuple[HandRunner, wire.JobMessage]:
    """A job that runs."""
    await gateway.run()
    runner = await gateway.runner()
    job = await runner.acquire()
    await runner.start(job)
    return runner, job


async def printed(runner: HandRunner, job: wire.JobMessage, lines: int = LINES, beside: asyncio.Task[None] | None = None) -> None:
    """The job prints so many lines and ends. beside: goes on until the last line."""
    for first in range(1, lines + 1, BATCH):
        last = min(first + BATCH - 1, lines)
        assert (await runner.lines(job, first, last, TEXT)).json["received_through"] == last
    if beside is not None:
        beside.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await beside
    await runner.step(job)
    assert (await runner.complete(job, last_line=lines)).status == 200


async def read_log(gateway: Gateway, job: wire.JobMessage) -> list[str]:
    """A log's stream to its end, read at once."""
    async with gateway.stream(f"/api/v1/jobs/{job.job}/logs/stream") as events:
        return [identity async for identity, name, _ in events if name != "end"]


EVERY = [f"1:{line}" for line in range(1, LINES + 1)]


async def test_a_client_that_takes_nothing_is_dropped_with_a_reason_and_resumes(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes what waits for it late: it finds the reason behind it, and goes on there; another has read all meanwhile."""
    monkeypatch.setattr("gateway.sse.STUCK_SECONDS", 0.5)
    monkeypatch.setattr("gateway.connection.LAST_WORDS_SECONDS", 60.0)
    runner, job = await started(gateway)
    path = f"/api/v1/jobs/{job.job}/logs/stream"
    async with asyncio.timeout(60), connected(gateway, path, window_bytes=4096) as slow:
        reader = asyncio.create_task(read_log(gateway, job))
        await printed(runner, job)
        assert await reader == EVERY
        await asyncio.sleep(1.5)  # longer than the server's patience; a client that takes nothing has nothing to look at
        received = await read_all(slow)
        told = re.findall(rb"event: dropped\ndata: (\{[^\n]*\})\n\n", received)
        assert len(told) == 1
        assert b'"code":"too_slow"' in told[0]
    first = lines_in(received)
    assert len(first) < LINES
    async with asyncio.timeout(60), gateway.stream(path, first[-1]) as events:
        rest = [identity async for identity, name, _ in events if name != "end"]
    assert first + rest == EVERY


async def test_a_client_that_never_takes_anything_is_cut(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its connection does not stay, with what waits for it, until it goes."""
    monkeypatch.setattr("gateway.sse.STUCK_SECONDS", 0.3)
    monkeypatch.setattr("gateway.connection.LAST_WORDS_SECONDS", 0.3)
    runner, job = await started(gateway)
    async with asyncio.timeout(60), connected(gateway, f"/api/v1/jobs/{job.job}/logs/stream", window_bytes=4096) as slow:
        await printed(runner, job)
        while is_connected(slow):
            await asyncio.sleep(0.05)  # the server's end of the connection is in the kernel
        assert slow.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) in {0, 104}


def is_connected(client: socket.socket) -> bool:
    """Whether the server has not cut it: TCP_INFO's state."""
    return client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == 1


def memory_mb() -> float:
    """Of this process, in which the gateway runs."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


async def heard(client: socket.socket, what: bytes) -> None:
    """Return when this has come to a client."""
    found = b""
    while what not in found:
        piece = await asyncio.get_running_loop().sock_recv(client, 1 << 16)
        assert piece, "the stream has ended"
        found = found[-len(what) :] + piece


async def beating(runner: HandRunner, job: wire.JobMessage, taken: list[float]) -> None:
    """Heartbeats, and how many seconds each took."""
    while True:
        began = time.monotonic()
        assert (await runner.renew(job)).status == 200
        taken.append(time.monotonic() - began)
        await asyncio.sleep(0.05)  # the pace of the heartbeats


@pytest.mark.parametrize(
    ("waiting", "deaf", "patience_seconds", "limit_mb"),
    [(200, 20, 0.3, 60), pytest.param(5000, 200, 20.0, 600, marks=[pytest.mark.campaign, pytest.mark.timeout(600)])],
)
async def test_a_crowd_costs_little_and_harms_nobody(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, *, waiting: int, deaf: int, patience_seconds: float, limit_mb: int
) -> None:
    """Clients that wait, and clients that never read: memory has a bound, one that reads gets every line, heartbeats are answered.

    Who never reads is cut in the end; who waits is told at once when something happens.
    """
    monkeypatch.setattr("gateway.sse.STUCK_SECONDS", patience_seconds)
    monkeypatch.setattr("gateway.connection.LAST_WORDS_SECONDS", patience_seconds / 2)
    open_files.allow_many()
    runner, job = await started(gateway)
    quiet = await gateway.run()
    before = memory_mb()
    beats: list[float] = []
    async with asyncio.timeout(300), contextlib.AsyncExitStack() as stack:
        heart = asyncio.create_task(beating(runner, job, beats))
        clients, silent = [], []

        async def join(number: int) -> None:
            topics = f"run:{quiet},runs" if number % 2 else f"run:{quiet}"
            client = await stack.enter_async_context(connected(gateway, f"/api/v1/stream?topics={topics}"))
            assert await asyncio.get_running_loop().sock_recv(client, 15) == b"HTTP/1.1 200 OK"
            clients.append(client)

        for first in range(0, waiting, 100):
            await asyncio.gather(*(join(number) for number in range(first, first + 100)))
        for number in range(deaf):
            path = f"/api/v1/jobs/{job.job}/logs/stream" if number % 2 else f"/api/v1/stream?topics=job:{job.job}:logs,events&after=,0"
            silent.append(await stack.enter_async_context(connected(gateway, path, window_bytes=4096)))
        reader = asyncio.create_task(read_log(gateway, job))
        await printed(runner, job, beside=heart)
        assert await reader == EVERY
        assert memory_mb() - before < limit_mb
        while any(is_connected(client) for client in silent):
            await asyncio.sleep(0.05)  # the server's end of a connection is in the kernel
        assert (await gateway.request("POST", f"/api/v1/runs/{quiet}/cancel", {})).status == 202
        for client in clients:
            await heard(client, b"RunCancellationRequested")
        assert memory_mb() - before < limit_mb
    assert max(beats) < 1.0 or waiting < 1000, f"a heartbeat took {max(beats):.2f} s"
