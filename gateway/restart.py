"""What a gateway reads from the views: at start who waits, who works, who is there; later the queue beyond its window.

From the start on events tell it everything else.
"""

from typing import Any
from uuid import UUID

from domain.scheduling.line import ReadyJob
from domain.scheduling.window import Short
from gateway.leases import HeldLease
from projections import positions, queue
from projections.positions import Connections
from projections.rows import Connection

VIEWS_SECONDS_MAX = 30.0

_HELD = "SELECT job_id, runner, attempt, epoch FROM views.attempts WHERE status <> 'completed'"
_ONLINE = "SELECT id, pid FROM views.runners WHERE online"


class Restart:
    """Reads the views once they have reached the position that the gateway starts from."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def reached(self, position: int) -> bool:
        """Whether the views that are read here got to `position` in good time."""
        for view in ("queue", "status", "runners"):
            if not await positions.wait(self._connections, view, position, VIEWS_SECONDS_MAX):
                return False
        return True

    async def first(self, line_jobs: int) -> tuple[list[list[ReadyJob]], list[tuple[UUID, str, str]], int]:
        """The front of each line, and what runs; see gateway.ready_jobs.QueueView."""
        async with self._connections() as connection:
            through = await self._whole(connection)
            return await queue.fronts(connection, line_jobs), await queue.running(connection), through

    async def more(self, short: Short) -> tuple[list[ReadyJob], int]:
        """The next jobs of a line; see gateway.ready_jobs.QueueView."""
        async with self._connections() as connection:
            through = await self._whole(connection)
            jobs = await queue.beyond(connection, short)
        last = jobs[-1].position if jobs else 0
        return jobs, last if len(jobs) == short.limit else max(through, last)

    @staticmethod
    async def _whole(connection: Connection) -> int:
        """How far the queue view has come. What is read after this holds at least as much."""
        return await positions.place(connection, queue.QUEUE.name) or 0

    async def held(self, since: float) -> list[HeldLease]:
        """Live leases. since: the monotonic seconds to count their age from."""
        return [HeldLease(job, runner, attempt, epoch, since, 0) for job, runner, attempt, epoch in await self._rows(_HELD, ())]

    async def online(self) -> list[tuple[UUID, int | None]]:
        """The runners that were there, each with the process id that it named."""
        return [(runner, pid) for runner, pid in await self._rows(_ONLINE, ())]

    async def _rows(self, query: str, parameters: tuple[int, ...]) -> list[tuple[Any, ...]]:
        async with self._connections() as connection:
            cursor = await connection.execute(query.encode(), parameters)
            return await cursor.fetchall()
