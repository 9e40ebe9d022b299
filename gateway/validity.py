"""Whether the token that opened a stream still opens it: a stream may last longer than the right to read it."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from uuid import UUID

from domain.ports import Clock
from domain.token import TokenRevoked
from gateway.auth import Identity
from gateway.http import ID_LENGTH
from gateway.hub import Follower, Hub
from gateway.sse import TOKEN_EXPIRED, TOKEN_REVOKED, Dropped

WAKE_SECONDS_MAX = 3600.0
"""How long a timer runs at most; then it is looked again."""


class Validity:
    """Of one stream's token. over: why it opens nothing any more, None while it does. news is set when that may have changed."""

    def __init__(self, watch: Follower, identity: Identity, clock: Clock) -> None:
        self._watch = watch
        self._until = identity.until
        self._clock = clock
        self._timer: asyncio.TimerHandle | None = None

    def over(self) -> Dropped | None:
        """Ask before each page, and whenever there is news."""
        if any(isinstance(event.data, TokenRevoked) for event in self._watch.take() or ()):
            return TOKEN_REVOKED
        if self._until is None:
            return None
        left = (self._until - self._clock.now()) / timedelta(seconds=1)
        if left <= 0:
            return TOKEN_EXPIRED
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(min(left, WAKE_SECONDS_MAX), self._wake)
        return None

    def close(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _wake(self) -> None:
        self._timer = None
        self._watch.news.set()


@contextmanager
def valid(hub: Hub, identity: Identity, clock: Clock, news: asyncio.Event) -> Iterator[Validity]:
    """The validity of a stream's token, within the block."""
    with hub.follow(token_key(identity), news) as watch:
        validity = Validity(watch, identity, clock)
        try:
            yield validity
        finally:
            validity.close()


def token_key(identity: Identity) -> UUID | str:
    """What to follow of a token: its stream, where it has one. Those of the data directory have none and are never revoked."""
    return UUID(identity.token) if len(identity.token) == ID_LENGTH else f"token {identity.token}"
