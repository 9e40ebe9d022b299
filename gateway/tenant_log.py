"""The event log as one tenant sees it: what belongs to others is not there.

An id that somebody guessed, or kept from elsewhere, finds nothing. Positions are shared by all tenants of a shard, so a
tenant sees holes where others write; the number of the last position is no secret.
"""

from collections.abc import Sequence
from uuid import UUID

import msgspec

from domain.envelope import Recorded
from domain.ports import EventStore

SCANNED_MAX = 20_000
"""So many events of the log are looked at for one page: in a store of many tenants a page may hold less than was asked for."""
READ_EVENTS = 1000


class Found(msgspec.Struct, frozen=True):
    """Events of one tenant. through: the position up to which the log was looked at; more: whether it goes on behind it."""

    events: tuple[Recorded, ...]
    through: int
    more: bool


class TenantLog:
    """The log of one tenant."""

    def __init__(self, store: EventStore, tenant: str) -> None:
        self._store = store
        self._tenant = tenant

    def own(self, events: Sequence[Recorded]) -> tuple[Recorded, ...]:
        """Those of these events that are the tenant's."""
        return tuple(event for event in events if event.meta.tenant == self._tenant)

    async def load(self, stream: UUID, after: int = 0) -> tuple[Recorded, ...]:
        """The events of a stream with version > after, in order; none where the stream is another tenant's."""
        return self.own(await self._store.load(stream, after))

    async def load_only(self, stream: UUID, types: Sequence[type], after: int = 0) -> tuple[Recorded, ...]:
        """Of what `load` gives only the events of these types."""
        return self.own(await self._store.load_only(stream, types, after))

    async def load_streams(self, streams: Sequence[UUID], through: int, besides: Sequence[type] = ()) -> tuple[Recorded, ...]:
        """The events of several streams up to a position, in position order; see EventStore."""
        return self.own(await self._store.load_streams(streams, through, besides))

    async def head(self) -> int:
        """The position of the last event of the shard."""
        return await self._store.head()

    async def at(self, position: int) -> tuple[Recorded, ...]:
        """The event at a position, if there is one."""
        page = await self._store.read(position - 1, 1)
        return self.own([event for event in page.events if event.position == position]) if page else ()

    async def page(self, after: int, limit: int) -> Found:
        """The next events with position > after, at most `limit`; fewer where others wrote much between them."""
        found: list[Recorded] = []
        scanned, size = 0, limit + 1
        while scanned < SCANNED_MAX:
            page = await self._store.read(after, size)
            if page is None:
                return Found(tuple(found), after, more=False)
            own = self.own(page.events)
            room = limit - len(found)
            found.extend(own[:room])
            if len(own) > room:
                return Found(tuple(found), found[-1].position, more=True)
            after = page.last
            scanned, size = scanned + len(page.events), READ_EVENTS
        return Found(tuple(found), after, more=True)
