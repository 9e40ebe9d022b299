"""The other side of the runner protocol for tests: a real HTTP server over a scripted queue, which records what it got.

It checks what a gateway checks: the fence, the order of transitions, that lines have no gaps. It knows nothing of the
runner's code but the wire messages.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Self
from uuid import UUID, uuid4

import msgspec
from aiohttp import web

from domain.workflow.model import Defaults, Job, Place, Step, Strategy
from runner import wire

RUNNER = UUID("00000000-0000-4000-8000-000000000001")
TOKEN = "runner-token-for-tests"


class Gateway:
    """Serves one or more runners. Everything that arrived is in the public lists and dicts."""

    def __init__(self, lease_seconds: float = 30, heartbeat_seconds: float = 10) -> None:
        self.lease_seconds = lease_seconds
        self.heartbeat_seconds = heartbeat_seconds
        self.url = ""
        self.queue: list[wire.JobMessage] = []
        self.live: dict[UUID, wire.JobMessage] = {}
        self.registrations: list[wire.Register] = []
        self.polls: list[wire.Acquire] = []
        self.started: dict[UUID, float] = {}
        self.renewed: dict[UUID, list[float]] = defaultdict(list)
        self.transitions: dict[UUID, list[wire.StepStart | wire.StepEnd]] = defaultdict(list)
        self.batches: dict[UUID, list[int]] = defaultdict(list)
        self.lines: dict[UUID, list[wire.Line]] = defaultdict(list)
        self.log_batches: list[int] = []
        self.completed: dict[UUID, wire.Complete] = {}
        self.orders: list[wire.Order] = []
        self.lost: set[UUID] = set()
        self.refuse: Callable[[str], int | None] = lambda _path: None
        self.hang: Callable[[str], bool] = lambda _path: False
        self.offline_seconds = 600.0
        self.hold_logs: asyncio.Event | None = None
        self.store_logs = True
        self.answered: dict[UUID, float] = {}
        self.changed = asyncio.Condition()
        self.runner_site: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_post("/runner/v1/{tail:.*}", self.route)
        self.runner_site = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self.runner_site.setup()
        site = web.TCPSite(self.runner_site, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self.runner_site.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self.runner_site is not None
        await self.runner_site.cleanup()

    async def note(self) -> None:
        """Wake those who wait for something to happen."""
        async with self.changed:
            self.changed.notify_all()

    async def until(self, condition: Callable[[], Any], seconds: float = 20) -> None:
        """Wait until something that the runner does makes the condition true."""
        async with self.changed:
            await asyncio.wait_for(self.changed.wait_for(condition), seconds)

    async def put(self, *messages: wire.JobMessage) -> None:
        """Queue jobs."""
        self.queue += messages
        await self.note()

    async def order(self, order: wire.Order) -> None:
        """Give an order with every answer from now on."""
        self.orders.append(order)
        await self.note()

    async def ended(self, job: UUID, seconds: float = 30) -> wire.Complete:
        """The report of a job's end."""
        await self.until(lambda: job in self.completed, seconds)
        return self.completed[job]

    def text(self, job: UUID, *streams: str) -> str:
        """The log of a job, only of these streams where some are named."""
        return "\n".join(line.text for line in self.lines[job] if not streams or line.stream in streams)

    def ends(self, job: UUID) -> dict[int, wire.StepEnd]:
        """How the steps of a job ended, by index."""
        return {one.index: one for one in self.transitions[job] if isinstance(one, wire.StepEnd)}

    async def route(self, request: web.Request) -> web.Response:
        """Serve one request."""
        path = request.match_info["tail"]
        body = await request.read()
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self.problem(401, "unauthorized")
        if self.hang(path):
            await asyncio.Event().wait()
        status = self.refuse(path)
        if status is not None:
            return self.problem(status, f"http_{status}")
        parts = path.split("/")
        if parts[0] == "register":
            answer: Any = await self.register(msgspec.json.decode(body, type=wire.Register))
        elif parts[0] == "acquire":
            answer = await self.acquire(msgspec.json.decode(body, type=wire.Acquire))
        elif path == "jobs/events":
            answer = await self.many(msgspec.json.decode(body, type=wire.ManySteps))
        else:
            answer = await self.write(UUID(parts[1]), parts[2], body)
        await self.note()
        return answer if isinstance(answer, web.Response) else web.json_response(body=msgspec.json.encode(answer))

    def problem(self, status: int, code: str, detail: str = "") -> web.Response:
        """An error answer."""
        body = msgspec.json.encode(wire.Problem(code=code, title=code, status=status, detail=detail))
        return web.Response(status=status, body=body, content_type="application/problem+json")

    async def register(self, message: wire.Register) -> wire.Registered:
        """Any runner is welcome."""
        self.registrations.append(message)
        return wire.Registered(
            runner=RUNNER,
            lease_seconds=self.lease_seconds,
            heartbeat_seconds=self.heartbeat_seconds,
            poll_seconds=50,
            offline_seconds=self.offline_seconds,
            now=datetime.now(UTC),
        )

    async def acquire(self, message: wire.Acquire) -> wire.Acquired:
        """Answer when there is a job for a free slot, or an order."""
        self.polls.append(message)
        await self.note()
        given = {order.order for order in self.orders} if len(self.polls) > 1 else set()

        def fresh() -> bool:
            return any(order.order not in given for order in self.orders)

        async with self.changed:
            with suppress(TimeoutError):
                await asyncio.wait_for(
                    self.changed.wait_for(lambda: (self.queue and message.free_slots > 0) or fresh()), message.wait_seconds
                )
        taken, self.queue = self.queue[: message.free_slots], self.queue[message.free_slots :]
        for job in taken:
            self.live[job.job] = job
            self.answered[job.job] = time.monotonic()
        leases = tuple(wire.Lease(expires_in_seconds=self.lease_seconds, message=job) for job in taken)
        return wire.Acquired(leases=leases, orders=tuple(self.orders), now=datetime.now(UTC))

    async def write(self, job: UUID, what: str, body: bytes) -> Any:
        """A fenced write."""
        fence = msgspec.json.decode(body, type=wire.Fence)
        live = self.live.get(job)
        if job in self.lost or live is None or (live.attempt, live.epoch, live.lease) != (fence.attempt, fence.epoch, fence.lease):
            done = self.completed.get(job)
            if what == "complete" and done is not None and msgspec.json.decode(body, type=wire.Complete).result == done.result:
                return wire.Completed(conclusion=done.conclusion)
            return self.problem(409, "lease_lost", f"this {what} came too late")
        now = datetime.now(UTC)
        match what:
            case "start":
                self.started[job] = time.monotonic()
                return wire.Renewed(expires_in_seconds=self.lease_seconds, now=now)
            case "renew":
                self.renewed[job].append(time.monotonic())
                return wire.Renewed(expires_in_seconds=self.lease_seconds, orders=tuple(self.orders), now=now)
            case "events":
                return self.steps(job, msgspec.json.decode(body, type=wire.Steps), now)
            case "logs":
                if self.hold_logs is not None:
                    await self.hold_logs.wait()
                return self.take_lines(job, msgspec.json.decode(body, type=wire.Logs))
            case "complete":
                complete = msgspec.json.decode(body, type=wire.Complete)
                if complete.last_line > len(self.lines[job]):
                    return self.problem(409, "logs_missing", f"{complete.last_line} lines announced, {len(self.lines[job])} here")
                self.completed[job] = complete
                del self.live[job]
                return wire.Completed(conclusion=complete.conclusion)
        return self.problem(404, "not_found", what)

    async def many(self, message: wire.ManySteps) -> wire.ManyAccepted:
        """Each report as if it had come alone."""
        answers = []
        for report in message.reports:
            answer = await self.write(report.job, "events", msgspec.json.encode(report))
            refused = isinstance(answer, web.Response)
            problem = msgspec.json.decode(answer.body, type=wire.Problem) if refused else None
            answers.append(wire.JobAccepted(problem=problem) if refused else wire.JobAccepted(through=answer.through))
        return wire.ManyAccepted(answers=tuple(answers), now=datetime.now(UTC))

    def steps(self, job: UUID, message: wire.Steps, now: datetime) -> Any:
        """Transitions, in order and without a gap."""
        known = len(self.transitions[job])
        if message.seq > known + 1:
            return self.problem(409, "sequence_gap")
        fresh = message.transitions[known + 1 - message.seq :]
        self.transitions[job] += fresh
        self.batches[job].append(len(fresh))
        return wire.Accepted(through=len(self.transitions[job]), now=now)

    def take_lines(self, job: UUID, message: wire.Logs) -> Any:
        """Lines, in order and without a gap."""
        have = len(self.lines[job])
        numbers = [line.line for line in message.lines]
        if numbers and (numbers != list(range(numbers[0], numbers[0] + len(numbers))) or numbers[0] > have + 1):
            return self.problem(422, "log_gap", f"{numbers[0]} after {have}")
        self.log_batches.append(len(numbers))
        self.lines[job] += [line for line in message.lines if line.line > have]
        have = len(self.lines[job])
        return wire.LogsAccepted(received_through=have, stored_through=have if self.store_logs else 0)


def step(index: int, run: str | None = None, **keys: Any) -> Step:
    """A step."""
    return Step(index=index, id=keys.pop("id", f"__run_{index}"), place=Place(1, 1), run=run, **keys)


def job(*steps: str | Step, **keys: Any) -> wire.JobMessage:
    """A job; a step that is text is its `run:`. Keys of the job's definition and of the message may be mixed."""
    definition_keys = {name: keys.pop(name) for name in ("env", "outputs", "defaults") if name in keys}
    definition = Job(
        key="build",
        place=Place(1, 1),
        strategy=Strategy() if keys.get("matrix") else None,
        steps=tuple(step(index, one) if isinstance(one, str) else one for index, one in enumerate(steps)),
        **definition_keys,
    )
    facts: dict[str, Any] = {
        "job": uuid4(),
        "run": uuid4(),
        "attempt": 1,
        "epoch": 1,
        "lease": uuid4(),
        "name": "build",
        "definition": definition,
        "workflow_defaults": Defaults(),
        "github": {
            "repository": "acme/pay",
            "sha": "0" * 40,
            "ref": "refs/heads/main",
            "event_name": "push",
            "run_id": "7",
            "event": {"n": 1},
        },
        "source": wire.Source(url="/nowhere", sha="0" * 40, ref="refs/heads/main"),
        "timeout_seconds": 3600,
        "cancel_timeout_seconds": 300,
    }
    return wire.JobMessage(**(facts | keys))
