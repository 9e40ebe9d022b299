"""Checkpoints, keys and proofs over the API: enough to verify an event with nothing but hashes, and refusals that say why."""

import asyncio
import hashlib
from base64 import b64decode
from typing import Any

import pytest

from domain.transparency.checkpoints import opened
from infra.signatures import is_signed
from tests.gateway.conftest import Gateway, serving
from tests.projections.transparency.test_proofs import root_by_definition

PATIENCE_SECONDS = 60


async def covered(gateway: Gateway, position: int) -> Any:
    """The first checkpoint that covers a position."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            answer = await gateway.request("GET", "/api/v1/audit/checkpoint")
            if answer.status == 200 and answer.json["position"] >= position:
                return answer.json
            assert answer.status in (200, 404), answer.json
            await asyncio.sleep(0.02)  # a checkpoint tells nobody that it was signed


@pytest.fixture
async def gateway(postgres_url, tmp_path):
    """A gateway that signs a checkpoint at every event."""
    async with serving(postgres_url, tmp_path / "data", checkpoint_events=1) as made:
        yield made


async def test_an_event_is_proved_by_hashes_alone(gateway):
    """The stored bytes lead to the root of a note, which the published key has signed; a later log continues an earlier one."""
    await gateway.run()
    first = await covered(gateway, 1)
    await gateway.run()
    head = await gateway.store.head()
    last = await covered(gateway, head)
    (key,) = (await gateway.request("GET", "/api/v1/audit/keys")).json["items"]
    signed = opened(last["note"], last["origin"], [key["key"]], is_signed)
    assert (signed.size, signed.position, signed.root) == (last["size"], last["position"], b64decode(last["root"]))
    assert key["name"] == last["origin"]
    assert "BEGIN PUBLIC KEY" in key["pem"]

    for position in range(1, head + 1):
        answer = await gateway.request("GET", f"/api/v1/audit/proof/{position}?size={last['size']}")
        if answer.status == 404:
            assert await gateway.store.read(position - 1, 1) is not None
            continue
        proof = answer.json
        content = hashlib.sha256(proof["topic"].encode() + b"\0" + b64decode(proof["state"])).digest()
        entry = position.to_bytes(8) + bytes.fromhex(proof["stream"].replace("-", "")) + proof["version"].to_bytes(8) + content
        leaf = hashlib.sha256(b"\0" + entry).digest()
        path = tuple(map(b64decode, proof["hashes"]))
        assert root_by_definition(proof["index"], proof["size"], leaf, path) == signed.root
        assert (b64decode(proof["entry"]), proof["note"]) == (entry, last["note"])

    consistent = await gateway.request("GET", f"/api/v1/audit/consistency?first={first['size']}&second={last['size']}")
    assert (consistent.json["first_root"], consistent.json["second_root"]) == (first["root"], last["root"])
    listed = (await gateway.request("GET", "/api/v1/audit/checkpoints?per_page=100")).json["items"]
    assert [each["size"] for each in listed] == sorted({each["size"] for each in listed}, reverse=True)
    assert first in listed
    page = (await gateway.request("GET", "/api/v1/audit/checkpoints?per_page=1")).json
    again = (await gateway.request("GET", f"/api/v1/audit/checkpoints?per_page=1&cursor={page['next_cursor']}")).json
    assert again["items"][0]["size"] < page["items"][0]["size"]


async def test_what_cannot_be_proved_says_which_check_failed(gateway):
    """A position in the future, one that holds no event, an event that the checkpoint does not cover, a size that never was."""
    await gateway.run()
    head = await gateway.store.head()
    size = (await covered(gateway, head))["size"]

    async def refused(path: str) -> tuple[int, str, str]:
        answer = await gateway.request("GET", f"/api/v1/audit/{path}")
        return answer.status, answer.json["code"], answer.json["detail"]

    assert await refused(f"proof/{head + 1}") == (422, "point_ahead", f"position {head + 1} is in the future: the log ends at {head}")
    assert (await refused(f"proof/{head}?size={size - 1}"))[:2] == (409, "not_covered")
    assert (await refused(f"proof/{head}?size={size + 1}"))[:2] == (422, "size_ahead")
    assert (await refused(f"consistency?first={size}&second={size + 1}"))[:2] == (422, "bad_sizes")
    assert (await refused(f"consistency?first={size}&second={size - 1}"))[:2] == (422, "bad_sizes")
    assert (await refused("checkpoints?cursor=e30"))[:2] == (422, "bad_cursor")


async def test_another_tenants_event_is_not_there(gateway):
    """Its proof would show its bytes; and the whole log is for operators."""
    await gateway.run()
    await covered(gateway, 1)
    made = await gateway.request("POST", "/api/v1/tokens", {"name": "theirs", "role": "admin", "tenant": "other"})
    gateway.tokens["other"] = made.json["token"]
    assert (await gateway.request("GET", "/api/v1/audit/proof/1", role="other")).status == 404
    assert (await gateway.request("GET", "/api/v1/audit/proof/1")).status == 200
    for path in ("log", "entries"):
        assert (await gateway.request("GET", f"/api/v1/audit/{path}", role="other")).status == 403
