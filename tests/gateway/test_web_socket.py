"""How a run stands, over a WebSocket: the state at once, its changes, a close with the reason, the same doors as everywhere."""

import asyncio
from typing import Any
from uuid import UUID

import aiohttp
import pytest

from tests.gateway.conftest import Gateway
from tests.gateway.test_streams import TWO_JOBS
from tests.gateway.test_tenants import settle


async def told(gateway: Gateway, run: UUID) -> tuple[list[Any], int | None]:
    """All messages about a run, and the code with which it ended."""
    async with gateway.session.ws_connect(f"{gateway.url}/api/v1/ws/runs/{run}", headers=gateway.headers()) as socket:
        return [message.json() async for message in socket], socket.close_code


async def test_a_run_is_told_from_its_state_to_its_end(gateway: Gateway) -> None:
    """Each message shows the run as the API does; jobs come when they change; the end closes with 1000."""
    run = await gateway.run(TWO_JOBS)
    runner = await gateway.runner()
    following = asyncio.create_task(told(gateway, run))
    for _ in range(2):
        await runner.work(await runner.acquire())
    async with asyncio.timeout(30):
        messages, code = await following
    assert code == 1000
    positions = [message["position"] for message in messages]
    assert positions == sorted(set(positions))
    assert {job["name"] for job in messages[0]["jobs"]} == {"one", "two"}
    jobs: dict[str, Any] = {}
    for message in messages:
        jobs |= {job["name"]: (job["status"], job["conclusion"]) for job in message["jobs"]}
    assert jobs == {"one": ("completed", "success"), "two": ("completed", "success")}
    shown = (await gateway.request("GET", f"/api/v1/runs/{run}?at_least={positions[-1]}")).json
    assert messages[-1]["run"] == shown
    (late,), code = await told(gateway, run)
    assert (late["run"], len(late["jobs"]), code) == (shown, 2, 1000)


@pytest.mark.parametrize(("role", "path", "status"), [
    (None, "/api/v1/ws/runs/{run}", 401),
    ("runner", "/api/v1/ws/runs/{run}", 403),
    ("admin", f"/api/v1/ws/runs/{UUID(int=1)}", 404),
    ("betaadmin", "/api/v1/ws/runs/{run}", 404),
    ("admin", "/api/v1/ws/weather", 404),
])  # fmt: skip
async def test_a_web_socket_is_refused_as_a_request_is(gateway: Gateway, role: str | None, path: str, status: int) -> None:
    """Before the handshake: no token, a runner's, no such run, another tenant's, no such path."""
    run = await gateway.run()
    if role == "betaadmin":
        await settle(gateway, "beta")
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await gateway.session.ws_connect(gateway.url + path.format(run=run), headers=gateway.headers(role))
    assert refused.value.status == status


async def test_a_revoked_token_closes_the_web_socket(gateway: Gateway) -> None:
    """With 1008, and what clients say is not read."""
    run = await gateway.run()
    made = (await gateway.request("POST", "/api/v1/tokens", {"name": "guest", "role": "viewer"})).json
    gateway.tokens["guest"] = made["token"]
    url = f"{gateway.url}/api/v1/ws/runs/{run}"
    async with asyncio.timeout(30), gateway.session.ws_connect(url, headers=gateway.headers("guest")) as socket:
        assert (await socket.receive_json())["run"]["id"] == str(run)
        await socket.send_str("hello")
        assert (await gateway.request("DELETE", f"/api/v1/tokens/{made['id']}")).status == 204
        ended = await socket.receive()
        assert (ended.type, ended.data) == (aiohttp.WSMsgType.CLOSE, 1008)
