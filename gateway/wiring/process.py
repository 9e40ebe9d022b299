"""One process of the server: the parts of the roles that it plays, on one database, stopped in order at the end."""

# ruff: noqa: PLC0415 - imports wait until the embedded servers are on their way
import gc
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from gateway.wiring import roles as start
from gateway.wiring.gateway import gateway
from gateway.wiring.parts import Places, shared

if TYPE_CHECKING:
    from gateway.agents import Agents
    from gateway.app import App
    from infra.settings import Settings

Role = Literal["gateway", "relay", "projector", "reconciler"]
ROLES: tuple[Role, ...] = ("gateway", "relay", "projector", "reconciler")

COLLECT_AFTER = (10_000, 20, 20)
"""Allocations and generations between collections; Python's own: 700, 10, 10."""


class System(msgspec.Struct, frozen=True):
    """The running parts. app: None unless the gateway is among the roles.

    quiesce: ends polls and streams, before the end. left: notes that runners with these process ids have ended.
    """

    app: "App | None"
    agents: "Agents"
    quiesce: Callable[[], Awaitable[None]]
    left: Callable[[Collection[int]], Awaitable[None]]


@asynccontextmanager
async def system(settings: "Settings", places: Places, roles: Collection[Role] = ROLES) -> AsyncIterator[System]:
    """Start the parts of these roles; stop them at the end. Raises StoreUnavailable when the database is not there."""
    collect_rarely()
    async with AsyncExitStack() as stack:
        parts = await shared(stack, settings, places)
        if set(roles) != {"relay"}:
            await start.tables(parts)
        if "projector" in roles:
            start.projector(parts)
            await start.tree(stack, parts)
        if {"gateway", "reconciler"} & set(roles):
            await start.formed(parts)
        if "reconciler" in roles:
            start.reconciler(parts)
        if "relay" in roles and places.nats_url is not None:
            await start.relay(stack, parts, places.nats_url)
        if "gateway" not in roles:
            yield System(None, parts.agents, _nothing, _nothing)
            return
        from infra.attendance import attending

        await stack.enter_async_context(attending(places.database_url))
        made = await gateway(parts)
        stack.push_async_callback(made.quiesce)
        yield System(made.app, parts.agents, made.quiesce, made.left)


async def _nothing(*_: Any) -> None:
    """There are no polls, no streams and no runners."""


def collect_rarely() -> None:
    """Let the garbage collector look less often: what flows through a server forms no cycles, and what it was made of stays.

    With Python's own thresholds, looking took a third of the time of reading the log.
    """
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)
