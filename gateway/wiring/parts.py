"""What all roles of a process share: the store, its feed and clock, blobs, the command handler, a pool for the views."""

# ruff: noqa: PLC0415 - imports wait until the embedded servers are on their way
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from domain.ports import Feed
    from gateway.agents import Agents
    from infra.event_store import PostgresEventStore
    from infra.settings import Settings
    from projections.positions import Connections

POOL_MAX = 4


class Places(msgspec.Struct, frozen=True):
    """Where this process works. nats_url: None where there is no NATS; public_url: for links and runners."""

    database_url: str
    nats_url: str | None
    public_url: str


class Parts(msgspec.Struct, frozen=True):
    """What all roles share."""

    settings: "Settings"
    places: Places
    store: "PostgresEventStore"
    feed: "Feed"
    clock: Any
    blobs: Any
    handler: Any
    agents: "Agents"
    connections: "Connections"


async def shared(stack: AsyncExitStack, settings: "Settings", places: Places) -> Parts:
    """Open what is shared; `stack` closes it. Raises StoreUnavailable when the database is not there."""
    from commands.handle import Handler
    from gateway.agents import Agents
    from infra.blobs import FileBlobs
    from infra.clock import StoreClock
    from infra.event_store import PostgresEventStore
    from infra.feed import PostgresFeed

    store = await PostgresEventStore.open(places.database_url)
    stack.push_async_callback(store.close)
    clock = await StoreClock.start(store.time)
    stack.push_async_callback(clock.close)
    feed: Any
    if settings.feed == "jetstream" and places.nats_url is not None:
        from infra.jetstream_feed import JetStreamFeed

        feed = await JetStreamFeed.open(store, places.nats_url)
    else:
        feed = await PostgresFeed.open(store)
    stack.push_async_callback(feed.close)
    connections = await _connections(stack, places.database_url)
    blobs = FileBlobs(settings.data / "blobs")
    agents = Agents()
    stack.push_async_callback(agents.stop)
    return Parts(settings, places, store, feed, clock, blobs, Handler(store, clock, blobs), agents, connections)


async def _connections(stack: AsyncExitStack, database_url: str) -> "Connections":
    """A small pool for reading views; what is wrong with the database comes out as StoreUnavailable."""
    import psycopg
    from psycopg_pool import AsyncConnectionPool

    from infra.connections import LIMITS, unavailable

    options = " ".join(f"-c {key}={value}" for key, value in LIMITS.items())
    pool: AsyncConnectionPool[Any] = AsyncConnectionPool(
        database_url,
        kwargs={"autocommit": True, "options": options, "application_name": "ledgermill views"},
        min_size=1,
        max_size=POOL_MAX,
        timeout=5,
        open=False,
    )
    await pool.open()
    stack.push_async_callback(pool.close)

    @asynccontextmanager
    async def connections() -> AsyncIterator[Any]:
        try:
            async with pool.connection() as connection:
                yield connection
        except psycopg.OperationalError as error:
            raise unavailable(error) from error

    return connections
