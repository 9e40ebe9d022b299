"""What all roles of a process share: the store, its feed and clock, blobs, the command handler, a pool for the views."""

# ruff: noqa: PLC0415 - imports wait until the embedded servers are on their way
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from commands.answering import Answering
    from commands.elsewhere import Library
    from domain.ports import Feed
    from gateway.agents import Agents
    from infra.event_store import PostgresEventStore
    from infra.mirrors import Mirrors
    from infra.settings import Settings
    from projections.positions import Connections

PATIENCE_SECONDS_MAX = 10.0
PATIENCE_SHARE = 1 / 4
"""How much of a lease a write may wait for a database that is away: less than from one heartbeat to the next, so that a
runner is told of it (a refusal) and does not take it for a broken network (silence)."""


class Places(msgspec.Struct, frozen=True):
    """Where this process works. nats_url: None where there is no NATS; public_url: for links and runners.

    own_signer: whether this process starts the signer itself, when it is first asked for something signed.
    """

    database_url: str
    nats_url: str | None
    public_url: str
    own_signer: bool = False


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
    from infra.pool import Pool

    patience = min(PATIENCE_SECONDS_MAX, settings.lease_ttl_seconds * PATIENCE_SHARE)
    store = await PostgresEventStore.open(places.database_url, patience_seconds=patience)
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
    pool = Pool(places.database_url, "views")
    stack.push_async_callback(pool.close)
    blobs = FileBlobs(settings.data / "blobs")
    agents = Agents()
    stack.push_async_callback(agents.stop)
    return Parts(settings, places, store, feed, clock, blobs, Handler(store, clock, blobs), agents, pool.connection)


def answering(parts: Parts) -> "Answering":
    """What events of repositories start."""
    from commands.answering import Answering

    return Answering(parts.handler, parts.blobs, mirrors(parts), untrusted_values=parts.settings.untrusted_values, library=library(parts))


def library(parts: Parts) -> "Library":
    """Where workflows of other repositories are read that files of this one call."""
    from functools import partial

    from commands.elsewhere import registered
    from infra.library import GitLibrary

    return GitLibrary(mirrors(parts), partial(registered, parts.handler), parts.settings.actions_from)


def mirrors(parts: Parts) -> "Mirrors":
    """The mirrors of repositories, in the data directory."""
    from infra.mirrors import mirrors_of

    return mirrors_of(parts.settings)
