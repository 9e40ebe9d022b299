"""Carries the step reports of all jobs of a runner: what is reported while a request is under way leaves together in the next.

A report that waits alone is sent as `jobs/{id}/events`, at once; several as one `jobs/events`, each answered for itself, so
that the trouble of one job never becomes another's. It must never send the reports of one job in another order, nor hold
one back for company.
"""

import asyncio
from typing import Protocol, TypeVar
from uuid import UUID

import msgspec

from runner import wire
from runner.problems import Rejected, failure

T = TypeVar("T")
TRANSITIONS_MAX = 1000
"""So many transitions travel in one request, but for a single report that has more."""


class Post(Protocol):
    """`runner.client.Client.post`."""

    async def __call__(self, path: str, message: wire.Wire, answer: type[T], /) -> T:
        """Send one message to a path of the protocol and read the answer. Raises ProtocolError's children."""


class Courier:
    """One a runner."""

    def __init__(self, post: Post) -> None:
        self._post = post
        self._waiting: list[tuple[wire.JobSteps, asyncio.Future[wire.Accepted]]] = []
        self._sending: asyncio.Task[None] | None = None

    async def steps(self, job: UUID, message: wire.Steps) -> wire.Accepted:
        """Return when the report is committed. Raises what its own answer says, or what went wrong with the request."""
        answered: asyncio.Future[wire.Accepted] = asyncio.get_running_loop().create_future()
        self._waiting.append((wire.JobSteps(job=job, **msgspec.structs.asdict(message)), answered))
        if self._sending is None:
            self._sending = asyncio.create_task(self._send_all())
        return await answered

    async def close(self) -> None:
        """Send nothing more."""
        if self._sending is not None:
            self._sending.cancel()
            await asyncio.wait({self._sending})

    async def _send_all(self) -> None:
        try:
            while batch := self._take():
                await self._send(batch)
        finally:
            self._sending = None

    def _take(self) -> list[tuple[wire.JobSteps, asyncio.Future[wire.Accepted]]]:
        """The next reports, without those that nobody waits for any more."""
        waiting = [(report, answered) for report, answered in self._waiting if not answered.done()]
        count = transitions = 0
        for report, _ in waiting:
            transitions += len(report.transitions)
            if count and transitions > TRANSITIONS_MAX:
                break
            count += 1
        self._waiting = waiting[count:]
        return waiting[:count]

    async def _send(self, batch: list[tuple[wire.JobSteps, asyncio.Future[wire.Accepted]]]) -> None:
        if len(batch) > 1:
            try:
                many = await self._post("/jobs/events", wire.ManySteps(reports=tuple(report for report, _ in batch)), wire.ManyAccepted)
            except Rejected:
                pass  # an older gateway, or too large as a whole: each alone
            except Exception as error:  # noqa: BLE001 - it belongs to those who wait
                for _, answered in batch:
                    _settle(answered, error)
                return
            else:
                for (_, answered), accepted in zip(batch, many.answers, strict=True):
                    now = wire.Accepted(through=accepted.through, now=many.now)
                    _settle(answered, now if accepted.problem is None else failure(accepted.problem))
                return
        for report, answered in batch:
            facts = {name: getattr(report, name) for name in wire.Steps.__struct_fields__}
            try:
                _settle(answered, await self._post(f"/jobs/{report.job}/events", wire.Steps(**facts), wire.Accepted))
            except Exception as error:  # noqa: BLE001 - see above
                _settle(answered, error)


def _settle(answered: asyncio.Future[wire.Accepted], result: wire.Accepted | Exception) -> None:
    """Answer one that may have stopped waiting."""
    if answered.done():
        return
    if isinstance(result, Exception):
        answered.set_exception(result)
    else:
        answered.set_result(result)
