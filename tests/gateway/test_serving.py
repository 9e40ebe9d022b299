"""The socket before there is a server behind it."""

import asyncio

import aiohttp
import pytest

from gateway.serving import bind, refuse
from runner import wire
from runner.client import Client
from runner.clock import StoreClock
from runner.problems import Refused, Silent
from runner.server import Server


async def test_a_server_that_starts_refuses_instead_of_being_silent() -> None:
    """503 with what to do, whatever is sent; a runner takes it for a control plane that is away."""
    bound = bind("127.0.0.1", 0)
    url = f"http://127.0.0.1:{bound.getsockname()[1]}"
    refusing = await refuse(bound, None)
    async with aiohttp.ClientSession() as session:
        for body in (b"", b"x" * 900_000):
            async with session.post(f"{url}/anything", data=body) as answer:
                assert (answer.status, answer.headers["Retry-After"], (await answer.json())["code"]) == (503, "1", "starting")
    async with Client(Server(url, lambda: "token"), StoreClock()) as client:
        message = wire.Register(registration="r", name="r", labels=())
        with pytest.raises(Refused, match="the server is starting"):
            await client.register(message)
        refusing.close()
        with pytest.raises(Silent):  # the socket holds what comes now for the server
            await client.post("/register", message, wire.Registered, wait_seconds=0.2)
    bound.close()


async def test_a_client_that_says_nothing_holds_up_nobody() -> None:
    """Others are answered meanwhile."""
    bound = bind("127.0.0.1", 0)
    refusing = await refuse(bound, None)
    closed, mute = await asyncio.open_connection(*bound.getsockname())
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{bound.getsockname()[1]}/") as answer:
        assert answer.status == 503
    mute.write_eof()
    assert await closed.read() == b""
    mute.close()
    refusing.close()
    bound.close()
