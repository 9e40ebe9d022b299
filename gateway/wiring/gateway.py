"""The gateway of a process: acquire, logs, streams, commands and reads behind one ASGI application."""

# ruff: noqa: PLC0415 - imports wait until the embedded servers are on their way
import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from gateway.wiring.parts import Parts, answering, library, mirrors

if TYPE_CHECKING:
    from gateway.acquire import Acquiring
    from gateway.app import App
    from gateway.http import Route
    from gateway.metrics.scrape import Metrics
    from gateway.metrics.tallies import Tallies
    from gateway.refusals import Refusals
    from gateway.rest import Health
    from gateway.serving import Tls
    from gateway.view_lag import ViewLag
    from infra.settings import Settings

log = logging.getLogger(__name__)

RESTART_RETRY_SECONDS = 1.0


class Gateway(msgspec.Struct, frozen=True):
    """One gateway. quiesce: ends polls and streams, before the end. left: notes that runners with these process ids have ended."""

    app: "App"
    quiesce: Callable[[], Awaitable[None]]
    left: Callable[[Collection[int]], Awaitable[None]]


async def gateway(parts: Parts) -> Gateway:
    """Start its agents and make its application."""
    from commands.sources import SourceLoader
    from domain.service_levels import ServiceLevels
    from gateway.acquire import Acquiring
    from gateway.fan_out import FanOut
    from gateway.hub import Hub
    from gateway.job_message import JobMessages
    from gateway.job_tokens import job_tokens
    from gateway.log_documents import LogDocuments
    from gateway.metrics.scrape import Metrics
    from gateway.metrics.tallies import Tallies
    from gateway.presence import Presence
    from gateway.ready_jobs import ReadyJobs
    from gateway.refusals import Refusals
    from gateway.rest import release
    from gateway.restart import Restart
    from gateway.run_status import RunStatuses
    from gateway.runner_protocol import RunnerProtocol, Terms
    from gateway.streams import Streams
    from infra.log_store import LogStore
    from infra.sightings import PostgresSightings

    settings, handler, lease = parts.settings, parts.handler, parts.settings.lease_ttl_seconds
    head = await parts.store.head()
    hub = Hub(head)
    logs = LogStore(handler, parts.store, parts.blobs, hub.notify)
    restart = Restart(parts.connections)
    refusals = Refusals(handler, parts.clock)
    presence = Presence(handler, lease, lambda runner: runner in ready.polls, PostgresSightings(parts.connections))
    acquiring = Acquiring(
        handler,
        parts.clock,
        JobMessages(handler, SourceLoader(parts.blobs), job_tokens(settings.data)),
        presence,
        refusals=refusals,
        lease_seconds=lease,
        accept_seconds=settings.accept_window_seconds,
    )
    ready = ReadyJobs(acquiring.take, acquiring.acquire, acquiring.look, restart)
    acquiring.ready = handler.ready = ready
    lag = _view_lag(parts)
    levels, tallies = ServiceLevels(), Tallies()
    fan_out = FanOut(handler, parts.feed, ready=ready, leases=acquiring.leases, hub=hub, logs=logs, lag=lag, levels=levels)
    handler.subscribe(fan_out.on_commit)
    terms = Terms(lease, settings.heartbeat_seconds, settings.offline_seconds)
    protocol = RunnerProtocol(
        handler,
        parts.clock,
        logs,
        acquiring,
        presence,
        refusals=refusals,
        terms=terms,
        version=release(),
        log_latency=tallies.log_latency,
    )
    streams, documents = Streams(parts.store, logs, hub, parts.clock), LogDocuments(parts.store, logs)
    routes = [*protocol.routes(), *_commands(parts, refusals), *streams.routes(), *documents.routes()]
    sockets = RunStatuses(parts.store, hub, parts.clock, parts.places.public_url).routes()

    parts.agents.keep("fan-out", fan_out.run)
    parts.agents.keep("presence", presence.run)
    parts.agents.keep("restart", lambda: _restore(settings.data, restart, acquiring, presence, head))

    async def quiesce() -> None:
        hub.close()
        await ready.stop()
        with contextlib.suppress(Exception):  # the database may be gone; runners keep what is not stored
            await logs.flush()
            await refusals.flush()

    metrics = Metrics(
        levels,
        tallies,
        store=parts.store,
        connections=parts.connections,
        clock=parts.clock,
        errors=parts.agents.errors,
        version=release(),
    )
    return Gateway(_app(parts, routes, sockets, lag, tallies=tallies, metrics=metrics, refusals=refusals), quiesce, presence.left)


def is_signed(key: str, signature: bytes, content: bytes) -> bool:
    """See infra.signatures; its library is loaded by the first runner that has a key."""
    from infra import signatures

    return signatures.is_signed(key, signature, content)


def _app(
    parts: Parts,
    routes: "list[Route]",
    sockets: "list[Route]",
    lag: "ViewLag",
    *,
    tallies: "Tallies",
    metrics: "Metrics",
    refusals: "Refusals",
) -> "App":
    """The application over the hot routes and those that only read, for whoever is known here."""
    from gateway.api.metrics import metrics_routes
    from gateway.api.reads import Reading
    from gateway.api.routers import read_routers
    from gateway.app import App
    from gateway.assertions import Assertions
    from gateway.auth import ensure_tokens
    from gateway.authentication import Authentication
    from gateway.git_http import GitHttp
    from gateway.http import Table
    from gateway.job_tokens import job_tokens
    from gateway.rest import rest
    from gateway.wiring.signer import signing
    from infra.bundles import Bundles
    from infra.git_server import GitServer

    data, signed = parts.settings.data, signing(parts)
    reading = Reading(
        parts.connections,
        parts.store,
        parts.feed,
        rows=parts.store.rows,
        blobs=parts.blobs,
        public_url=parts.places.public_url,
        signing=signed,
        bundles=Bundles(parts.store, parts.blobs, signed.ask),
    )
    assertions = Assertions(parts.handler, parts.clock, is_signed)
    authentication = Authentication(
        ensure_tokens(data),
        parts.handler,
        parts.clock,
        assertions,
        job_tokens(data),
        refusals=refusals,
        failures=tallies.authentication_failures,
    )
    git = GitHttp(parts.handler, GitServer(mirrors(parts), data / "git"), authentication)
    routers = (*read_routers(), metrics_routes(metrics.page))
    served = rest(routers, routes, reading, lambda: _health(parts))
    return App(Table(routes), served, authentication, lag.admit, tallies, sockets=Table(sockets), git=git)


def _view_lag(parts: Parts) -> "ViewLag":
    """What knows how far the views are behind, at work."""
    from gateway.view_lag import ViewLag
    from projections import positions
    from projections.catalogue import SHOWING

    lag = ViewLag(lambda: positions.shown(parts.connections, SHOWING))
    parts.agents.keep("view lag", lag.run)
    return lag


def _commands(parts: Parts, refusals: "Refusals") -> "list[Route]":
    """The routes by which people ask for something."""
    from gateway.api.commands import Commands
    from gateway.api.fleet import FleetCommands
    from gateway.api.language import language_routes
    from gateway.api.orders import Orders
    from gateway.api.repositories import Repositories
    from gateway.api.subscriptions import SubscriptionCommands
    from gateway.api.tokens import TokenCommands
    from gateway.webhooks import Webhooks, shared_secrets
    from infra.secret_files import SecretFiles

    called = library(parts)
    url, untrusted = parts.places.public_url, parts.settings.untrusted_values
    orders = Orders(parts.handler, refusals)
    secrets = SecretFiles(parts.settings.data / "webhook-secrets")
    commands = Commands(orders, parts.blobs, url, untrusted_values=untrusted, library=called)
    repositories = Repositories(
        orders,
        answering(parts),
        blobs=parts.blobs,
        secrets=secrets,
        clock=parts.clock,
        public_url=url,
        untrusted_values=untrusted,
        library=called,
    )
    tokens = TokenCommands(parts.handler, refusals)
    shared = shared_secrets(parts.settings.webhook_secret)
    webhooks = Webhooks(parts.handler, parts.blobs, parts.clock, secrets_of=secrets, shared=shared)
    fleet = FleetCommands(orders)
    own = SecretFiles(parts.settings.data / "subscription-secrets")
    subscriptions = SubscriptionCommands(orders, parts.handler, parts.clock, secrets=own, allowed=parts.settings.networks)
    served = (commands, repositories, webhooks, tokens, fleet, subscriptions)
    return [*(route for each in served for route in each.routes()), *language_routes(called)]


async def _restore(data: Path, restart: Any, acquiring: "Acquiring", presence: Any, head: int) -> None:
    """Take over what was there before this gateway: once, as soon as the views are there."""
    from domain.ports import StoreUnavailable

    while True:
        try:
            if await restart.reached(head):
                await acquiring.ready.begin()
                acquiring.leases.restore(await restart.held(time.monotonic()))
                await _restore_presence(data, restart, presence)
                await asyncio.Event().wait()
            log.warning("the views are behind; queued jobs of before wait for them")
        except StoreUnavailable as error:
            log.warning("queued jobs of before wait for the database: %s", error)
        await asyncio.sleep(RESTART_RETRY_SECONDS)


async def _restore_presence(data: Path, restart: Any, presence: Any) -> None:
    """Runners of before are expected again, but for local ones whose process ended with the server that had started it."""
    from domain import ids
    from domain.access import FIRST_TENANT
    from gateway.local_runners import lives, registrations

    own = {ids.runner_id(FIRST_TENANT, registration) for registration in registrations(data)}
    for runner, pid in await restart.online():
        if runner in own and pid is not None and not lives(pid):
            await presence.ended(runner, pid)
        else:
            presence.expect(runner)


async def _health(parts: Parts) -> "Health":
    """Parked streams are told and do not make the process unfit: everything else is served."""
    from domain.ports import StoreUnavailable
    from gateway.rest import Health
    from projections import parking, positions

    found, lag = {"store": "ok"}, {}
    parked = 0
    try:
        head = await parts.store.head()
        async with parts.connections() as connection:
            parked = len(await parking.parked_streams(connection))
            lag = {place.view: max(0, head - place.position) for place in await positions.places(connection)}
    except StoreUnavailable as error:
        found["store"] = str(error)
    if parts.agents.failure is not None:
        found["agents"] = parts.agents.failure
    return Health(all(part == "ok" for part in found.values()), found, parked, lag)


def tls(settings: "Settings") -> "Tls | None":
    """The certificate of this server, where it has one."""
    from gateway.serving import Tls

    return Tls(settings.tls_cert, settings.tls_key, settings.tls_client_ca) if settings.tls_cert and settings.tls_key else None
