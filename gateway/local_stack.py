"""A whole server in one process: embedded servers, all roles, HTTP on loopback, and local runners as children.

The embedded servers start in threads of their own while Python loads the web framework and the database driver, and the
runners while the tables are brought up to date: that order is most of what makes a start fast.
"""

# ruff: noqa: PLC0415 - imports wait until the embedded servers are on their way
import asyncio
import contextlib
import os
import platform
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from socket import socket
from typing import TYPE_CHECKING, Any

import msgspec

from domain.ports import StoreUnavailable
from gateway import open_files
from gateway.address import is_loopback, without_password
from gateway.auth import ensure_tokens

if TYPE_CHECKING:
    from gateway.agents import Agents
    from gateway.local_runners import LocalRunners
    from gateway.wiring import Role
    from infra.embedded.error import EmbeddedError
    from infra.embedded.supervisor import Embedded
    from infra.settings import Settings

UBUNTU = ("ubuntu-latest", "ubuntu-24.04", "ubuntu-22.04")
ARCHITECTURES = {"x86_64": "x64", "aarch64": "arm64"}


class Stack(msgspec.Struct, frozen=True):
    """What runs. servers_seconds: how long the embedded servers took."""

    url: str
    token: str
    port: int
    labels: tuple[str, ...]
    embedded: "Embedded"
    agents: "Agents"
    runners: "LocalRunners"
    servers_seconds: float


def runner_labels(extra: tuple[str, ...]) -> tuple[str, ...]:
    """The labels of a local runner."""
    machine = platform.machine()
    own = ("self-hosted", platform.system().lower(), ARCHITECTURES.get(machine, machine), *UBUNTU)
    return tuple(dict.fromkeys((*own, *extra)))


def slots(runners: int) -> int:
    """How many jobs a local runner takes at a time: a single one uses the whole machine, of several each takes one."""
    return max(2, os.cpu_count() or 1) if runners == 1 else 1


@asynccontextmanager
async def running(
    settings: "Settings", runners: int, extra_labels: tuple[str, ...] = (), *, port_is_fixed: bool = False
) -> AsyncIterator[Stack]:
    """Start everything; stop everything at the end. Raises EmbeddedError, StoreUnavailable or OSError (no port)."""
    from gateway import wiring

    open_files.allow_many()
    async with AsyncExitStack() as stack:
        began = time.monotonic()
        loop = asyncio.get_running_loop()
        owned: asyncio.Future[Path] = loop.create_future()

        def on_owned(data: Path) -> None:
            loop.call_soon_threadsafe(owned.set_result, data)

        starting = loop.run_in_executor(None, wiring.start_embedded, settings, on_owned)
        try:
            from gateway.serving import Listening, bind, refuse

            bound = bind(settings.host, settings.port, 1 if port_is_fixed else 100)
            refusing = await refuse(bound, wiring.tls(settings))
            stack.callback(refusing.close)
            inner = bind("127.0.0.1", 0) if wiring.tls(settings) else bound
            url = own_url(settings, inner)
            labels = runner_labels(extra_labels)
            either: set[asyncio.Future[Any]] = {starting, owned}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if owned.done():
                settings = msgspec.structs.replace(settings, data=owned.result())
                local = wiring.local_runners(settings, url, runners, labels, slots(runners))
                stack.push_async_callback(local.stop)
                inner.listen()
                ensure_tokens(settings.data)
            wiring.load()
        finally:
            embedded = await starting
            stack.callback(embedded.stop)
        refusing.close()
        # A runner takes as long to load as the rest takes to get ready; its first call waits in the socket. Earlier it would
        # only take the processors away from the servers that everything waits for.
        local.start()
        servers_seconds = time.monotonic() - began
        places = wiring.Places(
            settings.database_url or embedded.database_url,
            settings.nats_url or embedded.nats_url,
            settings.public_url or url,
            own_signer=True,
        )
        system = await stack.enter_async_context(wiring.system(settings, places))
        give_up(embedded, system.agents.give_up)
        assert system.app is not None, "all roles were asked for"  # noqa: S101 - a fact
        for each, tls in {bound: wiring.tls(settings), inner: None}.items() if inner is not bound else ((bound, None),):
            listening = Listening(system.app, each, tls)
            await listening.start()
            stack.push_async_callback(listening.stop)
        stack.push_async_callback(system.quiesce)
        stack.push_async_callback(end_runners, local, system.left)
        # The embedded servers' URLs are good only for whoever may read the lock's file; those of others hold passwords.
        embedded.lock.announce(
            url,
            without_password(settings.database_url) if settings.database_url else places.database_url,
            without_password(settings.nats_url) if settings.nats_url else places.nats_url,
        )
        token = (settings.data / "token").read_text().strip()
        yield Stack(url, token, bound.getsockname()[1], labels, embedded, system.agents, local, servers_seconds)


def own_url(settings: "Settings", bound: socket) -> str:
    """Where processes of this machine reach the server: in clear, on loopback, where there is TLS for all others."""
    host = settings.host if is_loopback(settings.host) and settings.tls_cert is None else "127.0.0.1"
    return f"http://{host}:{bound.getsockname()[1]}"


async def end_runners(local: "LocalRunners", left: Callable[[Collection[int]], Awaitable[None]]) -> None:
    """Stop the local runners and note that they are gone, where the database still takes it."""
    pids = set(local.pids.values())
    await local.stop()
    with contextlib.suppress(StoreUnavailable):
        await left(pids)


def give_up(embedded: "Embedded", tell: Callable[[str], None]) -> None:
    """An embedded server that is given up ends the process; it says so from a thread of its own."""
    loop = asyncio.get_running_loop()

    def on_failure(error: "EmbeddedError") -> None:
        loop.call_soon_threadsafe(tell, str(error))

    embedded.on_failure = on_failure
    if embedded.failure is not None:
        tell(str(embedded.failure))


@asynccontextmanager
async def serving(
    settings: "Settings", roles: "tuple[Role, ...]", *, port_is_fixed: bool = False
) -> "AsyncIterator[tuple[str | None, Agents]]":
    """Some roles on servers of one's own; yields the URL (None without the gateway) and the agents."""
    from gateway import wiring

    open_files.allow_many()
    async with AsyncExitStack() as stack:
        wiring.load()
        bound, url = None, None
        if "gateway" in roles:
            from gateway.serving import bind

            bound = bind(settings.host, settings.port, 1 if port_is_fixed else 100)
            scheme = "https" if settings.tls_cert else "http"
            url = settings.public_url or f"{scheme}://{settings.host}:{bound.getsockname()[1]}"
        assert settings.database_url is not None, "the caller checked it"  # noqa: S101 - a fact
        own_signer = set(roles) == set(wiring.ROLES)
        places = wiring.Places(settings.database_url, settings.nats_url, url or "", own_signer)
        system = await stack.enter_async_context(wiring.system(settings, places, roles))
        if bound is not None and system.app is not None:
            from gateway.serving import Listening

            listening = Listening(system.app, bound, wiring.tls(settings))
            await listening.start()
            stack.push_async_callback(listening.stop)
            stack.push_async_callback(system.quiesce)
        yield url, system.agents
