"""What a gateway reads from the views when it starts: who waits, who works, who is there. From then on events tell it."""

from typing import Any
from uuid import UUID

from gateway.leases import HeldLease
from gateway.ready_jobs import Offer
from projections import positions
from projections.positions import Connections

VIEWS_SECONDS_MAX = 30.0

_QUEUED = "SELECT job_id, labels, position, avoid FROM views.queue WHERE queued ORDER BY since, position LIMIT %s"
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

    async def queued(self, limit: int) -> list[Offer]:
        """Queued jobs, oldest first."""
        return [Offer(job, labels, position, avoid) for job, labels, position, avoid in await self._rows(_QUEUED, (limit,))]

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
