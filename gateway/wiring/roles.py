"""The parts behind the gateway: projector, reconciler, and the relay with the bridge of single events."""

# ruff: noqa: PLC0415 - imports wait until the embedded servers are on their way
import asyncio
import logging
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

from gateway.wiring.parts import Parts, answering

if TYPE_CHECKING:
    from infra.feed import PostgresFeed

FORMED_LOOK_SECONDS = 0.5
STATUSES_LOCK = 7302
"""The advisory lock of whoever tells statuses."""

log = logging.getLogger(__name__)


async def tables(parts: Parts) -> None:
    """Make the tables of the views and the tree where they are missing: any role that reads them may be the first to start."""
    from projections import positions
    from projections.catalogue import VIEWS
    from projections.transparency.tables import prepare

    async with parts.connections() as connection:
        await positions.prepare(connection, tuple(VIEWS.values()))
        await prepare(connection)


async def formed(parts: Parts) -> None:
    """Wait until the views have all that this code reads: after an upgrade a projector of this version rebuilds them first."""
    from projections import positions
    from projections.catalogue import VIEWS

    told = False
    while True:
        async with parts.connections() as connection:
            lacking = await positions.lacking(connection, tuple(VIEWS.values()))
        if not lacking:
            return
        if not told:
            told = True
            log.warning("the views are of an earlier version (no %s): waiting for a projector of this one to rebuild them", lacking[0])
        await asyncio.sleep(FORMED_LOOK_SECONDS)


def projector(parts: Parts) -> None:
    """Keep the views up to date."""
    from infra.connections import connect, session_name
    from projections.catalogue import VIEWS
    from projections.projector import Projector

    async def connection() -> Any:
        return await connect(parts.places.database_url, session_name("projector"))

    parts.agents.keep("parked", lambda: _try_parked(parts))
    parts.agents.keep("projector", Projector(connection, parts.feed, tuple(VIEWS.values())).run)


async def tree(stack: AsyncExitStack, parts: Parts) -> None:
    """Keep the Merkle tree over the log up to date, and sign checkpoints of it."""
    from infra.checkpoint_directory import CheckpointDirectory
    from infra.connections import connect, session_name
    from projections.transparency.projector import TreeProjector

    settings = parts.settings

    async def connection() -> Any:
        return await connect(parts.places.database_url, session_name("tree"))

    def key() -> Any:
        from infra.signing import signing_key

        return signing_key(settings.checkpoint_key or settings.data / "keys" / "checkpoint.pem")

    def is_signed(public: str, signature: bytes, content: bytes) -> bool:
        from infra import signatures

        return signatures.is_signed(public, signature, content)

    growing = TreeProjector(
        connection,
        (await _store_feed(stack, parts)).wakeup.after,
        CheckpointDirectory(settings.checkpoint_directory or settings.data / "audit"),
        key,
        is_signed,
        events_max=settings.checkpoint_events,
        seconds_max=settings.checkpoint_seconds,
    )
    parts.agents.keep("tree", growing.run)


async def _store_feed(stack: AsyncExitStack, parts: Parts) -> "PostgresFeed":
    """A feed that follows the store itself: the messenger cannot be woken by what it has not yet published."""
    from infra.feed import PostgresFeed

    if isinstance(parts.feed, PostgresFeed):
        return parts.feed
    feed = await PostgresFeed.open(parts.store)
    stack.push_async_callback(feed.close)
    return feed


async def _try_parked(parts: Parts) -> None:
    """Fold what is parked once more when a process starts: its code may be newer than the code that could not."""
    import psycopg

    from domain.ports import StoreUnavailable
    from projections import parking
    from projections.catalogue import VIEWS
    from projections.retry import retry

    try:
        async with parts.connections() as connection:
            for name in {each.view for each in await parking.parked_streams(connection)} & VIEWS.keys():
                await retry(connection, parts.store, VIEWS[name])
    except (psycopg.Error, StoreUnavailable):
        log.exception("what is parked stays so; try again: ledgermill projection retry")
    await asyncio.Event().wait()


def reconciler(parts: Parts) -> None:
    """Turn events and deadlines into commands."""
    from commands.deliveries import Deliveries
    from commands.reactor import Reactor
    from commands.reconciler import Reconciler
    from commands.schedules import Schedules
    from commands.subscribers import Subscribers
    from infra.attendance import attended
    from infra.courier import Courier
    from infra.egress import Egress
    from infra.outbox import PostgresOutbox
    from infra.secret_files import SecretFiles
    from projections.deadlines import PostgresDeadlines
    from projections.schedules import PostgresSchedules

    parts.agents.keep("reactor", Reactor(parts.handler, parts.store, parts.feed).run)
    answers = answering(parts)
    parts.agents.keep("deliveries", Deliveries(parts.handler, parts.store, parts.feed, parts.clock, answers).run)
    if parts.settings.forge_tokens is not None:
        statuses(parts)
    secrets = SecretFiles(parts.settings.data / "subscription-secrets")
    courier = Courier(Egress(parts.settings.networks), secrets, parts.clock.now)
    outbox = PostgresOutbox(parts.places.database_url)
    parts.agents.keep("subscribers", Subscribers(parts.handler, parts.feed, parts.clock, outbox, courier.send).run)
    schedules = PostgresSchedules(parts.connections)
    parts.agents.keep("schedules", Schedules(parts.handler, parts.blobs, schedules, parts.clock, answers).run)
    deadlines = PostgresDeadlines(parts.connections)
    lease = parts.settings.lease_ttl_seconds
    times = Reconciler(parts.handler, deadlines, parts.clock, lease, lambda: attended(parts.connections))
    parts.agents.keep("reconciler", times.run)


def statuses(parts: Parts) -> None:
    """Tell forges the statuses of commits: by one process at a time."""
    from commands.statuses import AGENT, Statuses
    from infra.alone import alone
    from infra.forges import ForgeStatuses

    places = parts.places
    told = Statuses(
        parts.handler,
        parts.store,
        parts.feed,
        parts.clock,
        forges=ForgeStatuses(parts.settings.forge_tokens),
        url=lambda run: f"{places.public_url.rstrip('/')}/api/v1/runs/{run}",
    )
    parts.agents.keep(AGENT, lambda: alone(places.database_url, STATUSES_LOCK, AGENT, told.run))


async def relay(stack: AsyncExitStack, parts: Parts, nats_url: str) -> None:
    """Publish to JetStream: pages for feeds, single CloudEvents for outsiders."""
    from infra.bridge import Bridge
    from infra.relay import Relay

    feed = await _store_feed(stack, parts)
    for publisher in (Relay(feed, nats_url), Bridge(parts.store, feed, nats_url)):
        publisher.start()
        stack.push_async_callback(publisher.close)
