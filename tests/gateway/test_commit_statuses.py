"""Commit statuses through a whole server: a forge hears of a run, and everybody may see whether it did."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.conftest import Gateway, serving
from tests.gateway.test_webhooks import JOBS, PUSH, SHA, answered, deliver
from tests.infra.test_forges import TOKEN, Forge, keep

WAIT_SECONDS = 60
SECRET = "the secret of acme"


@pytest.fixture
def forge() -> Iterator[Forge]:
    """A forge that is up."""
    made = Forge()
    yield made
    made.close()


async def shown(gateway: Gateway, **wanted: Any) -> dict[str, Any]:
    """The only commit status, once it is as wanted."""
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            listed = await gateway.request("GET", f"/api/v1/commit-statuses?at_least={await gateway.store.head()}")
            assert listed.status == 200, listed.json
            for each in listed.json["items"]:
                if each.items() >= wanted.items():
                    found: dict[str, Any] = each
                    return found
            await asyncio.sleep(0.05)  # another task of the server tells the forge


async def test_a_push_is_told_to_its_forge_from_its_start_to_its_end(postgres_url: str, forge: Forge, tmp_path: Path) -> None:
    """The forge is broken at first: the status waits and says why. No event holds the token."""
    keep(tmp_path / "tokens", forge.host)
    forge.answers = [(500, {}, {"message": "out of order"})]
    async with serving(postgres_url, tmp_path / "data", forge_tokens=tmp_path / "tokens") as gateway:
        body = {"full_name": "acme/pay", "provider": "github", "clone_url": f"http://{forge.host}/acme/pay.git", "webhook_secret": SECRET}
        assert (await gateway.request("POST", "/api/v1/repositories", body)).status == 201
        text = f"on: push\n{JOBS}".replace("nobody-has-this", "linux")
        listed = {"repository": "github:acme/pay", "path": ".github/workflows/ci.yml", "yaml": text}
        assert (await gateway.request("POST", "/api/v1/workflows", listed)).status == 201
        runner = await gateway.runner()
        over = await answered(gateway, (await deliver(gateway, "push", PUSH)).json["delivery"])
        row = await shown(gateway, progress="deferred")
        assert "out of order" in row["reason"]
        job = await runner.acquire()
        await runner.work(job)
        row = await shown(gateway, progress="told", state="success")
        run = over["runs"][0]["run"]
        assert (row["sha"], row["context"], row["run_id"]) == (SHA, "ledgermill/ci (push)", run)
        page = await gateway.store.read(0)
        assert page is not None
        assert not any(TOKEN in str(event.data) for event in page.events)
    path, headers, told = forge.requests[-1]
    assert (path, headers["authorization"]) == (f"/api/v3/repos/acme/pay/statuses/{SHA}", f"Bearer {TOKEN}")
    assert (told["state"], told["description"], told["target_url"].endswith(f"/api/v1/runs/{run}")) == ("success", "Run #1: success", True)
