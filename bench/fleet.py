"""Runners that execute nothing: they speak the runner protocol as the real one does, with its courier, for many jobs at a time.

A job's life is start, then each step's begin and end, then complete; as in the real runner, the end of a step travels with
the begin of the next one, and no step begins before the end of the one before it is acknowledged.
"""

import asyncio
import time
from collections.abc import Coroutine
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import UUID, uuid4

import msgspec

from bench.http import Http
from runner import wire
from runner.courier import Courier
from runner.effects import result_digest

T = TypeVar("T")
STEPS = 5
AT_ONCE = 50
"""How many runners register at a time."""
_acquired = msgspec.json.Decoder(wire.Acquired)
_registered = msgspec.json.Decoder(wire.Registered)


class Fleet:
    """A number of runners with a number of slots each. acquired: when (perf_counter) the answer with a run's last job came."""

    def __init__(self, http: Http, runners: int, slots: int) -> None:
        self.acquired: dict[str, float] = {}
        self._http = http
        self._runners = runners
        self._slots = slots
        self._tasks: set[asyncio.Task[None]] = set()
        self._awaited = 0
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def start(self) -> None:
        """Register, and poll for jobs from now on."""
        for first in range(0, self._runners, AT_ONCE):
            await asyncio.gather(*(self._begin(number) for number in range(first, min(first + AT_ONCE, self._runners))))

    async def _begin(self, number: int) -> None:
        message = wire.Register(registration=uuid4().hex, name=f"load-{number}", labels=("self-hosted",), slots=self._slots)
        registered = _registered.decode(await self._http.post("/runner/v1/register", message))
        self._spawn(self._serve(registered.runner))

    async def stop(self) -> None:
        """End the polls. There must be no job left."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def ended(self, jobs: int) -> asyncio.Future[None]:
        """Done when so many jobs from now on have ended, or with what went wrong in one of them."""
        self._awaited = jobs
        self._ended = asyncio.get_running_loop().create_future()
        return self._ended

    async def _serve(self, runner: UUID) -> None:
        """One runner: a poll is open whenever a slot is free."""
        held: set[UUID] = set()
        changed = asyncio.Event()
        courier = Courier(self._post)

        async def execute(message: wire.JobMessage) -> None:
            await self._life(runner, courier, message)
            held.discard(message.job)
            changed.set()
            self._awaited -= 1
            if self._awaited == 0:
                self._ended.set_result(None)

        while True:
            while len(held) >= self._slots:
                changed.clear()
                await changed.wait()
            poll = wire.Acquire(runner=runner, free_slots=self._slots - len(held), wait_seconds=20, jobs=tuple(held))
            answer = _acquired.decode(await self._http.post("/runner/v1/acquire", poll))
            for lease in answer.leases:
                self.acquired[str(lease.message.run)] = time.perf_counter()
                held.add(lease.message.job)
                self._spawn(execute(lease.message))

    async def _post(self, path: str, message: wire.Wire, answer: type[T]) -> T:
        return msgspec.json.decode(await self._http.post(f"/runner/v1{path}", message), type=answer)

    async def _life(self, runner: UUID, courier: Courier, message: wire.JobMessage) -> None:
        path = f"/runner/v1/jobs/{message.job}"
        fence = {"runner": runner, "attempt": message.attempt, "epoch": message.epoch, "lease": message.lease}
        await self._http.post(f"{path}/start", wire.Start(**fence))
        seq, began = 1, datetime.now(UTC)
        transitions: tuple[wire.StepStart | wire.StepEnd, ...] = (wire.StepStart(index=0, started_at=began),)
        for index in range(STEPS):
            await courier.steps(message.job, wire.Steps(**fence, seq=seq, transitions=transitions))
            seq += len(transitions)
            now = datetime.now(UTC)
            ended = wire.StepEnd(index=index, outcome="success", conclusion="success", exit_code=0, started_at=began, ended_at=now)
            transitions, began = (ended, wire.StepStart(index=index + 1, started_at=now)), now
        await courier.steps(message.job, wire.Steps(**fence, seq=seq, transitions=transitions[:1]))
        complete = wire.Complete(**fence, conclusion="success", result="")
        await self._http.post(f"{path}/complete", msgspec.structs.replace(complete, result=result_digest(complete)))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._reap)

    def _reap(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        failure = None if task.cancelled() else task.exception()
        if failure is not None and not self._ended.done():
            self._ended.set_exception(failure)
