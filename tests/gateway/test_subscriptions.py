"""Subscriptions over HTTP: made, served by a real server's agent to a real receiver, looked at, disabled, deleted."""

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.gateway.conftest import Gateway, serving

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
OTHER = "whsec_" + base64.b64encode(bytes(32)).decode()


class Receiver:
    """Takes what it is sent and answers `status`. got: (headers, body) of all that came."""

    def __init__(self) -> None:
        self.got: list[tuple[Any, bytes]] = []
        self.status = 204
        self.url = ""

    async def take(self, request: web.Request) -> web.Response:
        self.got.append((request.headers, await request.read()))
        return web.Response(status=self.status)

    def events(self) -> list[dict[str, Any]]:
        """What came, as JSON."""
        return [json.loads(body) for _, body in self.got]

    async def until(self, count: int) -> list[dict[str, Any]]:
        """What came, once so many have."""
        async with asyncio.timeout(60):
            while len(self.got) < count:
                await asyncio.sleep(0.01)  # the server sends when it can
        return self.events()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """One on this machine."""
    made = Receiver()
    app = web.Application()
    app.router.add_post("/in", made.take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}/in"
    yield made
    await runner.cleanup()


async def subscribe(gateway: Gateway, url: str, *types: str, **more: Any) -> dict[str, Any]:
    """Make a subscription."""
    body = {"url": url, "types": types or ["RunCompleted"], "secret": SECRET}
    answer = await gateway.request("POST", "/api/v1/subscriptions", body, **more)
    assert answer.status == 201, answer.json
    found: dict[str, Any] = answer.json
    return found


async def finished(gateway: Gateway) -> str:
    """A run that is over."""
    run = await gateway.run()
    runner = await gateway.runner()
    await runner.work(await runner.acquire())
    return str(run)


async def shown(gateway: Gateway, identity: str, what: str = "") -> Any:
    """A subscription as it is shown now."""
    answer = await gateway.request("GET", f"/api/v1/subscriptions/{identity}{what}?at_least={await gateway.store.head()}")
    assert answer.status == 200, answer.json
    return answer.json


async def test_a_subscriber_gets_what_it_wants_signed_and_one_sees_that(gateway: Gateway, receiver: Receiver) -> None:
    """From the subscription on, no other types; the delivery and the position are shown, the secret nowhere."""
    await finished(gateway)
    made = await subscribe(gateway, receiver.url)
    run = await finished(gateway)
    (event,) = await receiver.until(1)
    assert (event["type"], event["correlationid"], event["tenant"]) == ("RunCompleted.v1", run, "default")
    assert event["data"]["conclusion"] == "success"
    ((headers, body),) = receiver.got
    content = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.new(bytes(range(32)), content, hashlib.sha256).digest()).decode()
    assert (headers["webhook-signature"], headers["webhook-id"]) == (f"v1,{expected}", event["id"])
    async with asyncio.timeout(60):
        while not (listed := (await shown(gateway, made["id"], "/deliveries"))["items"]):
            await asyncio.sleep(0.01)  # the outcome is written down after the answer
    assert len(listed) == 1
    said = {name: listed[0][name] for name in ("event", "run_id", "outcome", "attempts", "status", "problem", "next_attempt_at")}
    assert said == {
        "event": event["id"],
        "run_id": run,
        "outcome": "delivered",
        "attempts": 1,
        "status": 204,
        "problem": "",
        "next_attempt_at": None,
    }
    assert (await shown(gateway, made["id"]))["served"] >= int(event["position"])
    page = await gateway.store.read(0)
    assert page is not None
    everything = str(page.events) + str(listed) + str((await gateway.request("GET", "/api/v1/subscriptions")).json)
    assert SECRET not in everything
    assert SECRET.removeprefix("whsec_") not in everything


async def test_what_is_refused_is_sent_again_until_it_is_taken(gateway: Gateway, receiver: Receiver) -> None:
    """Under the same id; meanwhile one sees when it is tried again, and why."""
    made = await subscribe(gateway, receiver.url)
    receiver.status = 503
    await finished(gateway)
    await receiver.until(1)
    async with asyncio.timeout(60):
        while not (listed := (await shown(gateway, made["id"], "/deliveries"))["items"]):
            await asyncio.sleep(0.01)  # see above
    assert (listed[0]["outcome"], listed[0]["status"], listed[0]["problem"]) == ("retrying", 503, "it answered 503")
    assert listed[0]["next_attempt_at"] > listed[0]["last_attempt_at"]
    receiver.status = 200
    events = await receiver.until(2)
    assert {event["id"] for event in events} == {events[0]["id"]}
    async with asyncio.timeout(60):
        while (await shown(gateway, made["id"], "/deliveries"))["items"][0]["outcome"] != "delivered":
            await asyncio.sleep(0.01)  # see above


async def test_who_is_gone_is_disabled_and_goes_on_when_it_is_enabled(gateway: Gateway, receiver: Receiver) -> None:
    """With the reason; nothing is lost; another secret signs beside the old one."""
    made = await subscribe(gateway, receiver.url)
    receiver.status = 410
    first = await finished(gateway)
    async with asyncio.timeout(60):
        while (state := await shown(gateway, made["id"]))["enabled"]:
            await asyncio.sleep(0.01)  # the agent's command comes after the answer
    assert "410" in state["reason"]
    second = await finished(gateway)
    path = f"/api/v1/subscriptions/{made['id']}"
    stale = await gateway.request("PATCH", path, {"enabled": True}, If_Match='"1"')
    assert (stale.status, stale.json["code"]) == (412, "version_mismatch")
    count, receiver.status = len(receiver.got), 200
    changed = await gateway.request("PATCH", path, {"enabled": True, "secret": OTHER}, If_Match=f'"{state["version"]}"')
    assert changed.status == 200
    events = await receiver.until(count + 2)
    assert {event["correlationid"] for event in events[count:]} == {first, second}
    assert receiver.got[-1][0]["webhook-signature"].count("v1,") == 2
    state = await shown(gateway, made["id"])
    assert (state["enabled"], state["reason"]) == (True, "")


async def test_a_deleted_subscription_gets_nothing_more(gateway: Gateway, receiver: Receiver) -> None:
    """Another one does, so that one knows."""
    made, other = await subscribe(gateway, receiver.url + "?first"), await subscribe(gateway, receiver.url)
    assert (await gateway.request("DELETE", f"/api/v1/subscriptions/{made['id']}")).status == 204
    head = await gateway.store.head()
    for path in ("", "/deliveries"):
        gone = await gateway.request("GET", f"/api/v1/subscriptions/{made['id']}{path}?at_least={head}")
        assert (gone.status, gone.json["code"]) == (404, "subscription_not_found")
    listed = await gateway.request("GET", f"/api/v1/subscriptions?at_least={head}")
    assert [each["id"] for each in listed.json["items"]] == [other["id"]]
    again = await gateway.request("DELETE", f"/api/v1/subscriptions/{made['id']}")
    assert (again.status, again.json["code"]) == (404, "subscription_not_found")


async def test_a_repeat_makes_no_other_one(gateway: Gateway) -> None:
    """The same key with another body is refused, though it is only the secret."""
    key = {"Idempotency_Key": "one"}
    first = await subscribe(gateway, "https://hooks.invalid/", **key)
    assert await subscribe(gateway, "https://hooks.invalid/", **key) == first
    for change in ({"types": ["*"]}, {"secret": OTHER}, {"url": "https://other.invalid/"}):
        body = {"url": "https://hooks.invalid/", "types": ["RunCompleted"], "secret": SECRET} | change
        other = await gateway.request("POST", "/api/v1/subscriptions", body, **key)
        assert (other.status, other.json["code"]) == (422, "idempotency_key_reused"), change
    listed = await gateway.request("GET", f"/api/v1/subscriptions?at_least={first['position']}")
    assert len(listed.json["items"]) == 1


BAD: tuple[tuple[dict[str, Any], str, str], ...] = (
    ({"url": "hooks"}, "bad_url", "/url"),
    ({"url": "https://a:b@hooks.invalid/"}, "bad_url", "/url"),
    ({"url": "http://10.0.0.1/"}, "address_not_allowed", "/url"),
    ({"url": "http://[::ffff:169.254.169.254]/latest"}, "address_not_allowed", "/url"),
    ({"types": []}, "bad_types", "/types"),
    ({"types": ["RunCompleted", "RunComplete"]}, "unknown_event_type", "/types/1"),
    ({"secret": "short"}, "bad_secret", "/secret"),
)


async def test_what_does_not_fit_is_told_with_its_place(gateway: Gateway) -> None:
    """And nothing is made."""
    for change, code, pointer in BAD:
        body = {"url": "https://hooks.invalid/", "types": ["RunCompleted"], "secret": SECRET} | change
        answer = await gateway.request("POST", "/api/v1/subscriptions", body)
        assert (answer.status, answer.json["code"]) == (422, code)
        assert answer.json["errors"][0]["pointer"] == pointer
        assert answer.json["hint"]
    assert await gateway.store.head() == 0


async def test_a_server_that_may_not_connect_says_so_and_connects_to_nobody(postgres_url: str, tmp_path: Path, receiver: Receiver) -> None:
    """A name that leads to this machine: the default."""
    async with serving(postgres_url, tmp_path / "data", allowed_networks="") as gateway:
        made = await subscribe(gateway, receiver.url.replace("127.0.0.1", "localhost"))
        await finished(gateway)
        async with asyncio.timeout(60):
            while not (listed := (await shown(gateway, made["id"], "/deliveries"))["items"]):
                await asyncio.sleep(0.01)  # the agent works beside
    assert (listed[0]["outcome"], listed[0]["status"]) == ("retrying", None)
    assert "LEDGERMILL_ALLOWED_NETWORKS" in listed[0]["problem"]
    assert receiver.got == []


async def test_of_two_servers_one_sends_and_the_other_goes_on(postgres_url: str, tmp_path: Path, receiver: Receiver) -> None:
    """On one store and one data directory: nothing twice while both live, nothing lost when one ends."""
    async with contextlib.AsyncExitStack() as both:
        first = await both.enter_async_context(contextlib.AsyncExitStack())
        one = await first.enter_async_context(serving(postgres_url, tmp_path / "data"))
        two = await both.enter_async_context(serving(postgres_url, tmp_path / "data"))
        await subscribe(one, receiver.url)
        runs = [await finished(each) for each in (one, two)]
        await receiver.until(2)
        await first.aclose()
        runs.append(await finished(two))
        events = await receiver.until(3)
    assert [event["correlationid"] for event in events] == runs
