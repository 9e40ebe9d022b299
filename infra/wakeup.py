"""Tells the consumers of this process that the log has grown: one LISTEN connection for all of them, and our own commits.

A wake-up is a hint. Readers find out from the store what there is, and look by themselves now and then, so a lost hint
delays and never loses. A lost connection is opened again, and everybody is woken, since hints may have been missed.
"""

import asyncio
import logging
from collections.abc import Callable

import psycopg

from domain.ports import StoreUnavailable
from infra import tasks
from infra.connections import connect, session_name

logger = logging.getLogger(__name__)

PAUSE_SECONDS_MAX = 1.0
OWN_SECONDS = 0.05
"""How long the word of an own commit is left to the commit itself: it brings the rows along, and may be a little later."""


Moment = tuple[int, int]
"""The last position heard of, and how often something may have been missed, at one moment."""


class Wakeup:
    """The last position heard of, and a way to wait for a later one. Belongs to one event loop.

    doubts: how often something may have been missed, so that only a look into the store tells.
    """

    def __init__(self) -> None:
        self._heard = 0
        self.doubts = 0
        self._waiting: set[asyncio.Future[None]] = set()

    @property
    def moment(self) -> Moment:
        """Now."""
        return self._heard, self.doubts

    @property
    def position(self) -> int:
        """The last position heard of."""
        return self._heard

    def heard(self, position: int) -> None:
        """The log has reached `position`."""
        if position > self._heard:
            self._heard = position
            self._wake()

    def everybody(self) -> None:
        """Wake all who wait, whatever they wait for, and have all others look into the store before they wait."""
        self.doubts += 1
        self._wake()

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, set()
        for future in waiting:
            if not future.done():
                future.set_result(None)

    async def after(self, position: int, seconds: float) -> None:
        """Return when the log is known to be past `position`, on any doubt, or after `seconds`."""
        if self._heard > position:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(future)
        timer = asyncio.get_running_loop().call_later(seconds, _finish, future)
        try:
            await future
        finally:
            timer.cancel()
            self._waiting.discard(future)


def _finish(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class Listener:
    """Keeps a LISTEN connection to one shard and tells `wakeup` what it hears. own: the process id of our writer's session."""

    def __init__(self, database_url: str, shard: int, wakeup: Wakeup, own: Callable[[], int]) -> None:
        self._own = own
        self._url = database_url
        self._channel = f"events_{int(shard)}"
        self._wakeup = wakeup
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to listen; the first connection is made in the background."""
        self._task = asyncio.create_task(self._run(), name=f"listener {self._channel}")

    async def close(self) -> None:
        """Stop listening."""
        await tasks.end(self._task)

    def _note(self, position: int, writer: int) -> None:
        if writer == self._own():
            asyncio.get_running_loop().call_later(OWN_SECONDS, self._wakeup.heard, position)
        else:
            self._wakeup.heard(position)

    async def _run(self) -> None:
        pause = 0.05
        while True:
            try:
                async with await connect(self._url, session_name("listener")) as connection:
                    await connection.execute(f"listen {self._channel}".encode())
                    self._wakeup.everybody()
                    pause = 0.05
                    async for notification in connection.notifies():
                        if notification.payload.isdecimal():
                            self._note(int(notification.payload), notification.pid)
                        else:  # somebody else's: whatever it means, there is no harm in looking
                            self._wakeup.everybody()
            except (psycopg.Error, StoreUnavailable) as error:
                logger.warning("the listener of %s lost its connection and tries again: %s", self._channel, error)
            self._wakeup.everybody()
            await asyncio.sleep(pause)
            pause = min(pause * 2, PAUSE_SECONDS_MAX)
