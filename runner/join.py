"""How a runner joins: it makes a key, hands in the public half with its registration token, and keeps what it is told."""

from uuid import UUID

import msgspec

from runner import assertions, wire
from runner.client import Client
from runner.clock import StoreClock
from runner.server import Server


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What a runner says of itself. labels, group: what it asks for; empty: whatever the registration grants."""

    name: str
    labels: tuple[str, ...]
    group: str
    ephemeral: bool
    os: str
    arch: str
    version: str


async def join(server: Server, wish: Wish) -> tuple[UUID, str, wire.Joined]:
    """The runner's id, its private key and what the server answered. Raises ProtocolError's children."""
    private, public = assertions.new_key()
    message = wire.Join(key=public, **msgspec.structs.asdict(wish))
    async with Client(server, StoreClock()) as client:
        joined = await client.post("/join", message, wire.Joined)
    return joined.runner, private, joined
