"""How a run stands, over a WebSocket: the state when one comes, then each change of it, until the run is complete.

A message is `{position, run, jobs}`: the run as the API shows it, and the jobs that changed since the message before (in
the first one all of them). It is a state and no event: who comes back gets the newest, so nothing has to be resumed, and
a client that is slow gets fewer messages. It must never say anything that the events do not.
"""

import asyncio
from collections.abc import Sequence
from contextlib import ExitStack
from uuid import UUID

import msgspec

from domain.envelope import Recorded
from domain.ports import Clock, EventStore
from gateway.api.shapes import RunShape, run_shape
from gateway.http import ClientGone, Request, Route, Send
from gateway.hub import Hub
from gateway.sse import STUCK_SECONDS, TOO_SLOW
from gateway.tenant_log import TenantLog
from gateway.topics import RunEvents
from gateway.validity import valid
from projections.fold import Folder, rows_of
from projections.status import JOBS, RUNS, JobRow, RunRow

COMPLETE, POLICY, RESTART, LATER = 1000, 1008, 1012, 1013
"""Codes of RFC 6455 and its registry: the end, a token that counts no more, a server that goes, a client that is too slow."""

_json = msgspec.json.Encoder()


class JobStatus(msgspec.Struct, frozen=True):
    """How a job, or a node of the plan that waits for its needs, stands. attempt: the last one (0: none)."""

    id: UUID
    name: str
    status: str
    conclusion: str | None
    attempt: int


class RunStatus(msgspec.Struct, frozen=True):
    """One message. position: of the last event that counts."""

    position: int
    run: RunShape
    jobs: tuple[JobStatus, ...]


class Standing:
    """The state of one run, kept up with its events; remembers what was told of the jobs."""

    def __init__(self, base_url: str) -> None:
        self._base_url = base_url
        self._folder = Folder((RUNS, JOBS), capacity=0, careful=True)
        self._told: dict[UUID, JobStatus] = {}

    def after(self, events: Sequence[Recorded]) -> RunStatus | None:
        """What to tell after the next events, of which there is at least one; None where its first event cannot be folded."""
        self._folder.apply(self._folder.claim(events))
        made = rows_of(self._folder)
        rows: list[JobRow] = sorted(made["jobs"].values(), key=lambda row: (row.created_at, row.key, row.instance))
        now = {row.id: JobStatus(row.id, row.name, row.status, row.conclusion, row.attempt) for row in rows}
        changed = tuple(status for job, status in now.items() if self._told.get(job) != status)
        self._told = now
        run: RunRow | None = next(iter(made["runs"].values()), None)
        return None if run is None else RunStatus(events[-1].position, run_shape(run, self._base_url), changed)


class RunStatuses:
    """Serves all WebSockets of this gateway."""

    def __init__(self, store: EventStore, hub: Hub, clock: Clock, base_url: str) -> None:
        self._store = store
        self._hub = hub
        self._clock = clock
        self._base_url = base_url

    def routes(self) -> list[Route]:
        """What is served over WebSockets."""
        return [Route(method="GET", path="/api/v1/ws/runs/{id}", least="viewer", summary="Follow how a run stands", stream=self.follow)]

    async def follow(self, request: Request, send: Send) -> None:
        """Messages until the run is complete, the server ends, its token ends, or it takes nothing."""
        run, news = request.params[0], asyncio.Event()
        with ExitStack() as stack:
            token = stack.enter_context(valid(self._hub, request.identity, self._clock, news))
            follower = stack.enter_context(self._hub.follow(run, news))
            history = RunEvents(run, TenantLog(self._store, request.identity.tenant), self._hub, follower, 0)
            await history.open()
            standing, socket = Standing(self._base_url), Socket(request, send)
            await socket.accept()
            request.gone().add_done_callback(lambda _: news.set())
            while True:
                closed = self._hub.closed
                news.clear()  # before it is looked: what comes meanwhile wakes again
                if ended := token.over():
                    await socket.close(POLICY, ended.detail)
                    return
                events = await history.page()
                status = standing.after(events) if events else None
                if status is not None:
                    await socket.send(_json.encode(status))
                if history.over:
                    await socket.close(COMPLETE, "the run is complete")
                    return
                if closed:
                    await socket.close(RESTART, "the server goes away; come back")
                    return
                if not events:
                    await news.wait()
                if request.gone().done():
                    return


class Socket:
    """One WebSocket's writer. Every method raises ClientGone when nobody reads any more."""

    def __init__(self, request: Request, send: Send) -> None:
        self._request = request
        self._send = send

    async def accept(self) -> None:
        """Finish the handshake."""
        await self._write({"type": "websocket.accept"})

    async def send(self, text: bytes) -> None:
        """One message."""
        await self._write({"type": "websocket.send", "text": text.decode()})

    async def close(self, code: int, reason: str) -> None:
        """The end, and why."""
        await self._write({"type": "websocket.close", "code": code, "reason": reason})

    async def _write(self, message: dict[str, object]) -> None:
        try:
            async with asyncio.timeout(STUCK_SECONDS):
                await self._send(message)
        except TimeoutError:
            self._request.let_go()
            await self._send({"type": "websocket.close", "code": LATER, "reason": f"{TOO_SLOW.code}: {TOO_SLOW.detail}; come back"})
            raise ClientGone from None
        except OSError:  # what a server says by whom nobody is connected any more
            raise ClientGone from None
