"""A whole gateway on a real database, over a real socket, with hand-driven runners that speak the real protocol."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import aiohttp
import msgspec
import pytest

from domain.envelope import Recorded
from gateway import wiring
from gateway.serving import Listening, Tls, bind
from infra.event_store import PostgresEventStore
from infra.settings import Settings
from projections.run_history import run_history
from runner import wire
from runner.effects import result_digest

WORKFLOW = """\
name: ci
on: push
jobs:
  build:
    runs-on: linux
    steps:
      - run: echo hello
"""

SHA = "0123456789abcdef0123456789abcdef01234567"


class Answer(msgspec.Struct):
    """A status, its headers and its JSON (None for no body)."""

    status: int
    headers: Any
    json: Any


class Gateway:
    """A client of the gateway under test."""

    def __init__(self, url: str, tokens: dict[str, str], session: aiohttp.ClientSession, store: PostgresEventStore) -> None:
        self.url = url
        self.tokens = tokens
        self.session = session
        self.store = store

    def headers(self, role: str | None = "admin") -> dict[str, str]:
        """Authorization of a role."""
        return {"Authorization": f"Bearer {self.tokens[role]}"} if role else {}

    async def request(self, method: str, path: str, body: Any = None, role: str | None = "admin", **headers: str) -> Answer:
        """One request with a JSON body. The views of a loaded machine may be behind: then (429) it is sent again."""
        for _ in range(60):
            answer = await self.once(method, path, body, role, **headers)
            if answer.status != 429:
                break
            await asyncio.sleep(1)  # as Retry-After says
        return answer

    async def once(self, method: str, path: str, body: Any = None, role: str | None = "admin", **headers: str) -> Answer:
        """One request, whatever comes."""
        data = None if body is None else body if isinstance(body, bytes) else msgspec.json.encode(body)
        sent = self.headers(role) | {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.session.request(method, self.url + path, data=data, headers=sent) as response:
            content = await response.read()
            return Answer(response.status, response.headers, json.loads(content) if content else None)

    async def trigger(self, key: str | None = None, workflow: str = WORKFLOW, *, patient: bool = True, **changes: Any) -> Answer:
        """Start the runs of a push. patient: as `request` is."""
        body = {
            "repository": {"full_name": "acme/pay", "provider": "local", "clone_url": "/srv/pay.git"},
            "source_url": "/srv/pay.git",
            "sha": SHA,
            "ref": "refs/heads/main",
            "event": "push",
            "workflows": [{"path": ".github/workflows/ci.yml", "text": workflow}],
        }
        headers = {"Idempotency_Key": key} if key else {}
        send = self.request if patient else self.once
        return await send("POST", "/api/v1/runs", body | changes, **headers)

    async def run(self, workflow: str = WORKFLOW) -> UUID:
        """Start one run and return its id."""
        answer = await self.trigger(workflow=workflow)
        assert answer.status == 202, answer.json
        return UUID(answer.json["runs"][0]["run_id"])

    async def history(self, run: UUID) -> list[Recorded]:
        """All events of a run."""
        return await run_history(self.store, run, 2**62)

    async def runner(self, name: str = "r1", labels: tuple[str, ...] = ("linux",), slots: int = 8) -> "HandRunner":
        """Register a runner that the test drives by hand."""
        message = wire.Register(registration=name, name=name, labels=labels, slots=slots)
        answer = await self.request("POST", "/runner/v1/register", message, "runner")
        assert answer.status == 200, answer.json
        return HandRunner(self, UUID(answer.json["runner"]))

    @contextlib.asynccontextmanager
    async def stream(self, path: str, last_id: str | None = None) -> AsyncIterator[AsyncIterator[tuple[str, str, Any]]]:
        """Server-sent events as (id, event, data)."""
        headers = self.headers() | ({"Last-Event-ID": last_id} if last_id else {})
        async with self.session.get(self.url + path, headers=headers) as response:
            assert response.status == 200, await response.text()
            yield sent_events(response)


async def sent_events(response: aiohttp.ClientResponse) -> AsyncIterator[tuple[str, str, Any]]:
    """Parse an event stream until it ends."""
    identity, name, data = "", "message", ""
    async for raw in response.content:
        line = raw.decode().rstrip("\n")
        if line.startswith("id: "):
            identity = line[4:]
        elif line.startswith("event: "):
            name = line[7:]
        elif line.startswith("data: "):
            data = line[6:]
        elif not line and data:
            yield identity, name, json.loads(data)
            name, data = "message", ""


def report(fence: dict[str, Any], conclusion: str = "success", last_line: int = 0) -> wire.Complete:
    """An outcome with its digest."""
    message = wire.Complete(conclusion=conclusion, last_line=last_line, result="", **fence)  # type: ignore[arg-type]  # the fields by name, and outcomes as the test writes them
    return msgspec.structs.replace(message, result=result_digest(message))


class HandRunner:
    """A runner without hands: each message is sent when the test says so."""

    def __init__(self, gateway: Gateway, runner: UUID) -> None:
        self.gateway = gateway
        self.id = runner

    async def post(self, path: str, message: wire.Wire) -> Answer:
        """Send one message."""
        return await self.gateway.request("POST", f"/runner/v1/{path}", message, "runner")

    async def poll(self, slots: int = 1, wait_seconds: float = 20, jobs: tuple[UUID, ...] = ()) -> wire.Acquired:
        """One `acquire`."""
        answer = await self.post("acquire", wire.Acquire(runner=self.id, free_slots=slots, wait_seconds=wait_seconds, jobs=jobs))
        assert answer.status == 200, answer.json
        return msgspec.convert(answer.json, wire.Acquired)

    async def acquire(self) -> wire.JobMessage:
        """Poll until there is a job."""
        acquired = await self.poll()
        return acquired.leases[0].message

    def fence(self, job: wire.JobMessage) -> dict[str, Any]:
        """What every write of an attempt carries."""
        return {"runner": self.id, "attempt": job.attempt, "epoch": job.epoch, "lease": job.lease}

    async def start(self, job: wire.JobMessage) -> Answer:
        """Report the start."""
        return await self.post(f"jobs/{job.job}/start", wire.Start(**self.fence(job)))

    async def renew(self, job: wire.JobMessage) -> Answer:
        """A heartbeat."""
        return await self.post(f"jobs/{job.job}/renew", wire.Renew(**self.fence(job)))

    async def lines(self, job: wire.JobMessage, first: int, last: int, text: str = "line") -> Answer:
        """Send lines first .. last."""
        at = datetime.now(UTC)
        lines = tuple(wire.Line(line=n, step=0, at=at, stream="stdout", text=f"{text} {n}") for n in range(first, last + 1))
        return await self.post(f"jobs/{job.job}/logs", wire.Logs(lines=lines, **self.fence(job)))

    async def step(self, job: wire.JobMessage, outcome: str = "success", subjects: tuple[wire.Subject, ...] = ()) -> Answer:
        """The only step began and ended. subjects: what it attests."""
        at = datetime.now(UTC)
        end = wire.StepEnd(index=0, outcome=outcome, conclusion=outcome, exit_code=0, started_at=at, ended_at=at, subjects=subjects)  # type: ignore[arg-type]  # the fields by name, and outcomes as the test writes them
        message = wire.Steps(seq=1, transitions=(wire.StepStart(index=0, started_at=at), end), **self.fence(job))
        return await self.post(f"jobs/{job.job}/events", message)

    async def complete(self, job: wire.JobMessage, conclusion: str = "success", last_line: int = 0) -> Answer:
        """Report the outcome."""
        return await self.post(f"jobs/{job.job}/complete", report(self.fence(job), conclusion, last_line))

    async def work(self, job: wire.JobMessage) -> None:
        """Do the whole job."""
        for answer in (await self.start(job), await self.step(job), await self.complete(job)):
            assert answer.status == 200, answer.json


Start = Callable[[], Awaitable[Gateway]]


@contextlib.asynccontextmanager
async def serving(postgres_url: str, data: Path, tls: Tls | None = None, **changes: Any) -> AsyncIterator[Gateway]:
    """A gateway with all agents on a database; ends with the block. tls: then only runner and CLI clients reach it."""
    settings = Settings(data=data, **{"allowed_networks": "127.0.0.0/8", **changes})
    data.mkdir(mode=0o700, exist_ok=True)
    bound = bind("127.0.0.1", 0)
    url = f"{'https' if tls else 'http'}://127.0.0.1:{bound.getsockname()[1]}"
    async with contextlib.AsyncExitStack() as stack:
        system = await stack.enter_async_context(wiring.system(settings, wiring.Places(postgres_url, None, url)))
        assert system.app is not None
        listening = Listening(system.app, bound, tls)
        await listening.start()
        stack.push_async_callback(listening.stop)
        stack.push_async_callback(system.quiesce)
        store = await PostgresEventStore.open(postgres_url)
        stack.push_async_callback(store.close)
        session = await stack.enter_async_context(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)))
        tokens = {"admin": (data / "token").read_text().strip(), "runner": (data / "runner-token").read_text().strip()}
        yield Gateway(url, tokens, session, store)


@pytest.fixture
async def gateway(postgres_url: str, tmp_path: Path) -> AsyncIterator[Gateway]:
    """A gateway on a fresh database."""
    async with serving(postgres_url, tmp_path / "data") as gateway:
        yield gateway
