"""Work on events of the log in lines: in the order of the log within a line, side by side across lines.

Whoever follows the log so needs to know up to where everything is done, to begin there again: `done`.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable

from domain.envelope import Recorded


class Lines:
    """The lines of one follower. read: the position up to which the log was read; set it after `add`.

    work: does one event, until it needs nothing more.
    """

    def __init__(self, tasks: asyncio.TaskGroup, work: Callable[[Recorded], Awaitable[None]], read: int) -> None:
        self._tasks = tasks
        self._work = work
        self.read = read
        self._waiting: dict[Hashable, deque[Recorded]] = {}
        self._open: set[int] = set()

    @property
    def done(self) -> int:
        """Up to here everything is done."""
        return min(self._open) - 1 if self._open else self.read

    def done_without(self, event: Recorded) -> int:
        """Up to here everything is done as soon as this event is."""
        others = self._open - {event.position}
        return min(others) - 1 if others else self.read

    def hold(self, position: int) -> None:
        """This one is never done here."""
        self._open.add(position)

    def add(self, line: Hashable, event: Recorded) -> None:
        """Put an event behind the others of its line."""
        self._open.add(event.position)
        if line in self._waiting:
            self._waiting[line].append(event)
        else:
            self._waiting[line] = deque([event])
            self._tasks.create_task(self._walk(line))

    async def _walk(self, line: Hashable) -> None:
        waiting = self._waiting[line]
        while waiting:
            await self._work(waiting[0])
            self._open.discard(waiting.popleft().position)
        del self._waiting[line]
