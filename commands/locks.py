"""The locks of streams within one process: one commit at a time works on a stream, and no two wait for each other.

A commit knows some of its streams before it begins and finds the others on the way (the run of a job, the group of a
run, the run that is next in the group). There is one order of all streams. A lock may be waited for only while none
behind it in that order is held; a lock that is taken against the order must be free, else the whole commit lets go of
everything (`Contended`) and begins again with all of those locks in order. So no circle of waiting commits can arise.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from uuid import UUID

Place = tuple[int, UUID]
"""Where a stream stands in the order of locks: the rank of its kind, then its id."""


class Contended(Exception):  # noqa: N818 - an outcome with a name of its own
    """A stream that is needed now is held by another commit. places: all to hold before beginning again."""

    def __init__(self, places: Collection[Place]) -> None:
        self.places = frozenset(places)
        super().__init__(f"{len(self.places)} streams have to be locked in order")


class StreamLock:
    """One stream's lock. users: how many hold it or wait for it; a released lock that others wait for is not free."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self.users = 0

    async def acquire(self) -> None:
        """Wait until it is free, then hold it."""
        self.users += 1
        try:
            await self._lock.acquire()
        except BaseException:
            self.users -= 1
            raise

    def release(self) -> None:
        """Let go of it."""
        self.users -= 1
        self._lock.release()


class StreamLocks:
    """All locks that somebody holds or waits for."""

    def __init__(self) -> None:
        self._locks: dict[UUID, StreamLock] = {}

    @asynccontextmanager
    async def hold(self, places: Collection[Place]) -> AsyncIterator[Callable[[Place], Awaitable[None]]]:
        """Hold the locks of these streams, taken in order. Gives `claim`, which adds another one or raises Contended."""
        held: dict[Place, StreamLock] = {}

        async def claim(place: Place) -> None:
            if place in held:
                return
            lock = self._locks.get(place[1])
            if lock is None:
                lock = self._locks[place[1]] = StreamLock()
            elif held and place < max(held):
                raise Contended({*held, place})
            try:
                await lock.acquire()
            finally:
                self._tidy(place, lock)
            held[place] = lock

        try:
            for place in sorted(places):
                await claim(place)
            yield claim
        finally:
            for place, lock in held.items():
                lock.release()
                self._tidy(place, lock)

    def _tidy(self, place: Place, lock: StreamLock) -> None:
        """Forget a lock that nobody uses."""
        if not lock.users:
            del self._locks[place[1]]
