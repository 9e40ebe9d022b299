"""The manners of every answer: who may ask, how much, and what an error looks like."""

import asyncio
import contextlib
import stat
from pathlib import Path

import pytest

from gateway.auth import Tokens, ensure_tokens
from gateway.authentication import bearer
from tests.gateway.conftest import Gateway


async def test_every_answer_carries_a_request_id(gateway: Gateway) -> None:
    """Hot routes, FastAPI's and errors alike, each its own."""
    answers = [
        await gateway.request("GET", "/healthz", role=None),
        await gateway.trigger(),
        await gateway.request("GET", "/api/v1/nothing"),
        await gateway.request("POST", "/api/v1/runs", b"{"),
    ]
    assert len({answer.headers["X-Request-Id"] for answer in answers}) == len(answers)


@pytest.mark.parametrize("path", ["/api/v1/runs", "/api/v1/nothing", "/runner/v1/acquire"])
async def test_without_a_token_nothing_is_told(gateway: Gateway, path: str) -> None:
    """401 with help, for hot and other routes and whether or not they exist."""
    answer = await gateway.request("POST", path, {}, role=None)
    assert (answer.status, answer.json["code"]) == (401, "not_authenticated")
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json["hint"]


async def test_a_wrong_token_is_refused(gateway: Gateway) -> None:
    """Any other text than the two tokens."""
    answer = await gateway.request("GET", "/api/v1/runs", role=None, Authorization="Bearer guess")
    assert answer.status == 401


async def test_a_runner_token_opens_only_the_runner_protocol(gateway: Gateway) -> None:
    """And an admin token does not open that one."""
    assert (await gateway.request("POST", "/api/v1/runs", {}, role="runner")).status == 403
    assert (await gateway.request("GET", "/api/v1/anything", role="runner")).status == 403
    assert (await gateway.request("POST", "/runner/v1/acquire", {}, role="admin")).status == 403


async def test_health_and_the_document_are_public(gateway: Gateway) -> None:
    """A probe needs no token; the document describes hot routes too."""
    assert (await gateway.request("GET", "/healthz", role=None)).json == {"status": "ok"}
    ready = (await gateway.request("GET", "/readyz", role=None)).json
    assert ready["ready"] is True
    assert {"status", "queue"} <= ready["lag"].keys()
    document = (await gateway.request("GET", "/openapi.json", role=None)).json
    assert document["openapi"].startswith("3.1")
    assert "requestBody" in document["paths"]["/runner/v1/acquire"]["post"]
    assert "TriggerRequest" in document["components"]["schemas"]


async def test_a_body_that_is_too_long_is_refused_as_it_arrives(gateway: Gateway) -> None:
    """Without a declared length too: 413 long before the sender is done with its gigabyte."""
    answer, sent = await flooded(gateway, "/runner/v1/acquire", f"Authorization: Bearer {gateway.tokens['runner']}\r\n")
    status, _, rest = answer.partition(b"\r\n")
    assert status.startswith(b"HTTP/1.1 413")
    assert b'"code":"body_too_large"' in rest
    assert sent < 1 << 26


async def flooded(gateway: Gateway, path: str, headers: str = "") -> tuple[bytes, int]:
    """What a POST without a declared length and without an end is answered, and how many bytes were sent by then."""
    port = int(gateway.url.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\n{headers}Transfer-Encoding: chunked\r\n\r\n"
    writer.write(head.encode())
    answer = asyncio.create_task(reader.readuntil(b"}"))
    sent = 0
    while not answer.done() and sent < 1 << 30:
        writer.write(b"10000\r\n" + b" " * (1 << 16) + b"\r\n")
        sent += 1 << 16
        with contextlib.suppress(ConnectionError):
            await writer.drain()
        await asyncio.sleep(0)
    writer.close()
    return await answer, sent


async def test_a_declared_length_that_is_too_long_is_refused_at_once(gateway: Gateway) -> None:
    """The body is never read."""
    answer = await gateway.request("POST", "/runner/v1/register", b"x" * (1 << 20), role="runner")
    assert (answer.status, answer.json["code"]) == (413, "body_too_large")


async def test_a_body_of_another_shape_is_refused_with_the_place(gateway: Gateway) -> None:
    """422 says where in the JSON; what is no JSON at all is 400."""
    answer = await gateway.request("POST", "/runner/v1/acquire", {"runner": 7, "free_slots": 1}, role="runner")
    assert (answer.status, answer.json["code"]) == (422, "bad_body")
    assert "$.runner" in answer.json["detail"]
    assert (await gateway.request("POST", "/runner/v1/acquire", b"{", role="runner")).status == 400


async def test_an_unknown_path_is_a_problem_too(gateway: Gateway) -> None:
    """404 as RFC 9457, also where an id is expected and something else stands."""
    for path in ("/api/v1/nothing", "/api/v1/runs/zzzzzzzz-zzzz-zzzz-zzzz-zzzzzzzzzzzz/stream"):
        answer = await gateway.request("GET", path)
        assert (answer.status, answer.headers["Content-Type"]) == (404, "application/problem+json")


def test_tokens_are_made_once_and_only_their_owner_can_read_them(tmp_path: Path) -> None:
    """Mode 0600; a second start finds the same ones."""
    ensure_tokens(tmp_path)
    first = {name: (tmp_path / name).read_text() for name in ("token", "runner-token")}
    assert ensure_tokens(tmp_path).identify(first["token"].strip()) is not None
    assert {name: (tmp_path / name).read_text() for name in first} == first
    assert {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in first} == {0o600}
    assert len(set(first.values())) == 2


def test_an_actor_is_an_opaque_id() -> None:
    """Neither the token nor a name of a person stands in it, and the scheme's case does not matter."""
    identity = Tokens(admin="secret-a", runner="secret-r").identify(bearer(b"bEARER secret-a") or "")
    assert identity is not None
    assert identity.role == "admin"
    assert "secret" not in identity.actor + identity.token
