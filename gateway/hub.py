"""Hands the feed's events to those who follow a run, a job or everything, and wakes those who follow a log.

A follower has a small bounded buffer. One that reads too slowly loses the buffer, not events: it is told so and reads
on from the store, which has them all. So a reader that never reads costs a few kilobytes, whatever happens.

Many followers of one thing are woken in rounds whose length grows with their number, a few at a time: what happens between
two of a follower's turns goes out to it in one piece, serving them all never takes all of the gateway's time, and nobody
else has to wait until they are served.
"""

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from domain.envelope import Recorded
from domain.ports import Page
from domain.run.events import RunEvent

BUFFER_EVENTS_MAX = 500
TURN_SECONDS, ROUND_SECONDS_MAX = 0.00025, 0.5
"""How long a round takes, for each in the crowd, and at most. To serve one takes about a fourth of it."""
WOKEN_AT_ONCE = 50


class Follower:
    """One reader. since: the feed's position when it began; events after it are buffered here, in position order.

    news: set when there is something to read; those of one client share it.
    """

    def __init__(self, since: int, news: asyncio.Event) -> None:
        self.since = since
        self.news = news
        self._events: deque[Recorded] = deque()
        self._overflowed = False

    def put(self, event: Recorded) -> None:
        """Buffer an event; a full buffer is given up."""
        if len(self._events) >= BUFFER_EVENTS_MAX:
            self._events.clear()
            self._overflowed = True
        if not self._overflowed:
            self._events.append(event)

    def take(self) -> list[Recorded] | None:
        """What was buffered; None when it was given up: read from the store, up to the hub's position, and go on."""
        if self._overflowed:
            self._overflowed = False
            return None
        taken = list(self._events)
        self._events.clear()
        return taken


class Crowd:
    """Those who follow the same thing."""

    def __init__(self) -> None:
        self.followers: set[Follower] = set()
        self._waiting: list[Follower] = []
        self._turning = False
        self._missed = False

    def wake(self) -> None:
        """There is news: a round begins, now or as soon as the one that is under way is over."""
        if self._turning:
            self._missed = True
            return
        self._waiting = list(self.followers)
        self._turn()

    def ring(self) -> None:
        """All of them, whatever the time."""
        for follower in self.followers:
            follower.news.set()

    def _turn(self) -> None:
        """Wake the next few; afterwards, or when the round is over, there is a pause."""
        woken, self._waiting = self._waiting[:WOKEN_AT_ONCE], self._waiting[WOKEN_AT_ONCE:]
        for follower in woken:
            follower.news.set()
        self._turning = True
        turn = min(TURN_SECONDS, ROUND_SECONDS_MAX / max(1, len(self.followers)))
        asyncio.get_running_loop().call_later(len(woken) * turn, self._turn if self._waiting else self._over)

    def _over(self) -> None:
        self._turning = False
        if self._missed:
            self._missed = False
            self.wake()


def runs_of(tenant: str) -> str:
    """What to follow of a tenant's runs: their own streams, without all that their jobs say. No tenant has such a name."""
    return f"runs of {tenant}"


class Hub:
    """One event loop's followers, by what they follow: the id of a run, job or token, or all of a tenant by its name.

    position: how far the feed has come.
    """

    def __init__(self, position: int = 0) -> None:
        self.position = position
        self.closed = False
        self._crowds: dict[UUID | str | None, Crowd] = {}

    @contextmanager
    def follow(self, key: UUID | str, news: asyncio.Event) -> Iterator[Follower]:
        """Follow a run (its jobs' events too), a job, a token, or all of a tenant, by its name."""
        follower = Follower(self.position, news)
        crowd = self._crowds.setdefault(key, Crowd())
        crowd.followers.add(follower)
        try:
            yield follower
        finally:
            crowd.followers.discard(follower)
            if not crowd.followers:
                del self._crowds[key]

    def on_page(self, page: Page) -> None:
        """Hand on a page of the feed."""
        self.position = page.last
        if not self._crowds:
            return
        woken: dict[UUID | str | None, Crowd] = {}
        for event in page.events:
            keys = {event.stream, event.meta.correlation, event.meta.tenant}
            if isinstance(event.data, RunEvent):
                keys.add(runs_of(event.meta.tenant))
            for key in keys:
                crowd = self._crowds.get(key)
                if crowd is not None:
                    woken[key] = crowd
                    for follower in crowd.followers:
                        follower.put(event)
        for crowd in woken.values():
            crowd.wake()

    def notify(self, key: UUID) -> None:
        """There are new log lines of a job."""
        crowd = self._crowds.get(key)
        if crowd is not None:
            crowd.wake()

    def close(self) -> None:
        """The server goes away: streams end and are resumed elsewhere."""
        self.closed = True
        for crowd in self._crowds.values():
            crowd.ring()
