"""Tokens: what each role may do with one, and that a revoked one is worth nothing, at any gateway, within a moment."""

import asyncio
import hashlib
from pathlib import Path
from typing import Any

from tests.gateway.conftest import Gateway, serving


async def create(gateway: Gateway, role: str, **body: Any) -> dict[str, Any]:
    """Make a token and let the gateway's client know it by its role."""
    answer = await gateway.request("POST", "/api/v1/tokens", {"name": f"a {role}", "role": role} | body)
    assert answer.status == 201, answer.json
    gateway.tokens[body.get("tenant", "") + role] = answer.json["token"]
    made: dict[str, Any] = answer.json
    return made


async def test_each_role_may_do_what_it_is_for(gateway: Gateway) -> None:
    """Viewers read, developers start and cancel, maintainers change, admins make tokens; the audit names the token."""
    run = await gateway.run()
    made = {role: await create(gateway, role) for role in ("viewer", "developer", "maintainer", "admin", "runner")}
    head = await gateway.store.head()
    workflow = (await gateway.request("GET", f"/api/v1/workflows?at_least={head}")).json["items"]
    asked = (
        ("GET", f"/api/v1/runs/{run}/events", None, "viewer developer maintainer admin"),
        ("POST", f"/api/v1/runs/{run}/cancel", {}, "developer maintainer admin"),
        ("PATCH", f"/api/v1/workflows/{workflow[0]['id']}", {"enabled": True}, "maintainer admin"),
        ("GET", "/api/v1/tokens", None, "admin"),
        ("POST", "/runner/v1/register", {"registration": "x", "name": "x", "labels": [], "slots": 1}, "runner"),
    )
    for method, path, body, allowed in asked:
        answers = {role: await gateway.request(method, path, body, role) for role in made}
        assert {role for role, answer in answers.items() if answer.status != 403} == set(allowed.split()), path
    cancelled = next(event for event in await gateway.history(run) if event.type == "RunCancellationRequested")
    assert (cancelled.meta.actor, cancelled.meta.token) == (f"token:{made['developer']['id']}", made["developer"]["id"])


async def test_a_token_is_shown_once_and_its_text_is_stored_nowhere(gateway: Gateway) -> None:
    """Not in the list, not in a repeat's answer, not in the log; its digest is."""
    key = {"Idempotency_Key": "one"}
    body = {"name": "ci", "role": "viewer"}
    first, again = [await gateway.request("POST", "/api/v1/tokens", body, **key) for _ in range(2)]
    text = first.json["token"]
    assert text.startswith("lmt_")
    assert (again.status, again.json["token"], again.json["id"]) == (201, None, first.json["id"])
    other = await gateway.request("POST", "/api/v1/tokens", body | {"role": "admin"}, **key)
    assert (other.status, other.json["code"]) == (422, "idempotency_key_reused")
    gateway.tokens["once"] = text
    assert (await gateway.request("GET", "/api/v1/runs", role="once")).status == 200
    listed = await _used(gateway, first.json["position"])
    assert (listed["name"], listed["role"], listed["revoked_at"]) == ("ci", "viewer", None)
    page = await gateway.store.read(0)
    assert page is not None
    stored = str(page.events)
    assert hashlib.sha256(text.encode()).hexdigest() in stored
    assert text not in stored
    assert text not in str(listed)


async def _used(gateway: Gateway, position: int) -> dict[str, Any]:
    """The only token, once its use was noted: that happens beside the request."""
    async with asyncio.timeout(30):
        while True:
            (listed,) = (await gateway.request("GET", f"/api/v1/tokens?at_least={position}")).json["items"]
            if listed["last_used_at"]:
                return dict(listed)
            await asyncio.sleep(0.01)  # the note is a commit and a projection of its own


async def test_a_wrong_or_an_expired_token_opens_nothing(gateway: Gateway) -> None:
    """Whether its stream exists or not, the answer is the same 401."""
    made = await create(gateway, "viewer", expires_in_seconds=1)
    text = made["token"]
    forged = text[:-1] + ("A" if text[-1] != "A" else "B")
    for wrong in (forged, "lmt_" + "A" * 64, "lmt_short", "lmt_" + "\u00e9" * 64):
        answer = await gateway.request("GET", "/api/v1/runs", role=None, Authorization=f"Bearer {wrong}")
        assert (answer.status, answer.json["code"]) == (401, "not_authenticated")
    async with asyncio.timeout(30):
        while (await gateway.request("GET", "/api/v1/runs", role="viewer")).status != 401:
            await asyncio.sleep(0.05)  # its second passes on the store's clock


async def test_bad_tokens_are_refused_with_the_reason(gateway: Gateway) -> None:
    """No name, no such role, no such length of life, no such tenant."""
    asked: tuple[tuple[dict[str, Any], str], ...] = (
        ({"name": " ", "role": "viewer"}, "bad_token"),
        ({"name": "x", "role": "king"}, "bad_body"),
        ({"name": "x", "role": "viewer", "expires_in_seconds": 0}, "bad_token"),
        ({"name": "x", "role": "viewer", "expires_in_seconds": 10**12}, "bad_token"),
        ({"name": "x", "role": "viewer", "tenant": "../other"}, "bad_tenant"),
    )
    for body, code in asked:
        answer = await gateway.request("POST", "/api/v1/tokens", body)
        assert (answer.status, answer.json["code"]) == (422, code), body
    await create(gateway, "admin", tenant="acme")
    answer = await gateway.request("POST", "/api/v1/tokens", {"name": "x", "role": "viewer", "tenant": "other"}, "acmeadmin")
    assert answer.status == 403


async def test_a_revoked_token_is_refused_by_every_gateway(postgres_url: str, tmp_path: Path) -> None:
    """Two gateways on one database: the other one has used the token, and hears of the end with the feed."""
    async with serving(postgres_url, tmp_path / "one") as one, serving(postgres_url, tmp_path / "two") as two:
        made = await create(one, "viewer")
        two.tokens["viewer"] = one.tokens["viewer"]
        assert [(await each.request("GET", "/api/v1/runs", role="viewer")).status for each in (one, two)] == [200, 200]
        await _used(two, made["position"])
        for _ in range(10):  # from here on its state is in the other one's memory, and only the feed can tell of the end
            assert (await two.request("GET", "/api/v1/runs", role="viewer")).status == 200
        revoked = await one.request("DELETE", f"/api/v1/tokens/{made['id']}")
        assert revoked.status == 204
        assert (await one.request("GET", "/api/v1/runs", role="viewer")).status == 401
        async with asyncio.timeout(30):
            while (await two.request("GET", "/api/v1/runs", role="viewer")).status != 401:
                pass  # the feed brings the end within milliseconds; under load nobody can say how many
        again = await two.request("DELETE", f"/api/v1/tokens/{made['id']}")
        assert again.status == 204
        unknown = await two.request("DELETE", "/api/v1/tokens/00000000-0000-0000-0000-000000000000")
        assert (unknown.status, unknown.json["code"]) == (404, "token_not_found")


async def _failures(gateway: Gateway) -> dict[str, float]:
    """What the metric says, by reason; a page is at most a second old."""
    async with gateway.session.get(gateway.url + "/metrics", headers=gateway.headers()) as response:
        text = await response.text()
    name = "ledgermill_authentication_failures_total"
    return {line.split('"')[1]: float(line.split()[-1]) for line in text.splitlines() if line.startswith(name + "{")}


async def test_who_is_not_let_in_is_counted_and_fills_no_log(gateway: Gateway) -> None:
    """By why; of a token that is over the audit tells, once for all its uses of a minute, and of guesses nothing."""
    made = await create(gateway, "viewer")
    assert (await gateway.request("DELETE", f"/api/v1/tokens/{made['id']}")).status == 204
    before = await gateway.store.head()
    for _ in range(20):
        assert (await gateway.request("GET", "/api/v1/runs", role="viewer")).status == 401
        assert (await gateway.request("GET", "/api/v1/runs", role=None)).status == 401
        guessed = {"Authorization": "Bearer lmt_" + "A" * 64}
        assert (await gateway.request("GET", "/api/v1/runs", role=None, **guessed)).status == 401
        assert (await gateway.request("POST", "/api/v1/webhooks/github", {}, None, X_Hub_Signature_256="sha256=0")).status == 401
    wanted = {"missing": 20, "unknown": 20, "revoked": 20, "expired": 0, "signature": 20, "time": 0}
    async with asyncio.timeout(60):
        while await _failures(gateway) != wanted:
            await asyncio.sleep(0.05)  # a page of metrics is kept for a second
        while (page := await gateway.store.read(before)) is None:
            await asyncio.sleep(0.01)  # the audit is told beside the answer
    (told,) = page.events
    assert (told.type, told.data.code, told.data.target, told.meta.actor) == (
        "CommandRefused",
        "token_revoked",
        made["id"],
        f"token:{made['id']}",
    )
    assert gateway.tokens["viewer"] not in str(told)
