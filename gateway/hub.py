"""Hands the feed's events to those who follow a run, a job or everything, and wakes those who follow a log.

A follower has a small bounded buffer. One that reads too slowly loses the buffer, not events: it is told so and reads
on from the store, which has them all. So a reader that never reads costs a few kilobytes, whatever happens.
"""

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from domain.envelope import Recorded
from domain.ports import Page

BUFFER_EVENTS_MAX = 500


class Follower:
    """One reader. since: the feed's position when it began; events after it are buffered here, in position order."""

    def __init__(self, since: int) -> None:
        self.since = since
        self.news = asyncio.Event()
        self._events: deque[Recorded] = deque()
        self._overflowed = False

    def put(self, event: Recorded) -> None:
        """Buffer an event; a full buffer is given up."""
        if len(self._events) >= BUFFER_EVENTS_MAX:
            self._events.clear()
            self._overflowed = True
        if not self._overflowed:
            self._events.append(event)
        self.news.set()

    def take(self) -> list[Recorded] | None:
        """What was buffered; None when it was given up: read from the store, up to the hub's position, and go on."""
        if self._overflowed:
            self._overflowed = False
            return None
        taken = list(self._events)
        self._events.clear()
        return taken


class Hub:
    """One event loop's followers, by what they follow: the id of a run or job, or all of a tenant by its name.

    position: how far the feed has come.
    """

    def __init__(self, position: int = 0) -> None:
        self.position = position
        self.closed = False
        self._followers: dict[UUID | str | None, set[Follower]] = {}

    @contextmanager
    def follow(self, key: UUID | str) -> Iterator[Follower]:
        """Follow a run (its jobs' events too), a job, or all of a tenant, by its name."""
        follower = Follower(self.position)
        self._followers.setdefault(key, set()).add(follower)
        try:
            yield follower
        finally:
            followers = self._followers[key]
            followers.discard(follower)
            if not followers:
                del self._followers[key]

    def on_page(self, page: Page) -> None:
        """Hand on a page of the feed."""
        self.position = page.last
        if not self._followers:
            return
        for event in page.events:
            for key in {event.stream, event.meta.correlation, event.meta.tenant}:
                for follower in self._followers.get(key, ()):
                    follower.put(event)

    def notify(self, key: UUID) -> None:
        """There are new log lines of a job."""
        for follower in self._followers.get(key, ()):
            follower.news.set()

    def close(self) -> None:
        """The server goes away: streams end and are resumed elsewhere."""
        self.closed = True
        for followers in self._followers.values():
            for follower in followers:
                follower.news.set()
