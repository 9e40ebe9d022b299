"""Runners with keys of their own: how they join, that each speaks for itself alone, and whose jobs they take."""

import time
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from runner import assertions, wire
from runner.client import Client
from runner.clock import StoreClock
from runner.join import Wish, join
from runner.problems import Rejected
from runner.server import Server
from tests.gateway.conftest import Gateway, serving

WISH = Wish(name="box", labels=(), group="", ephemeral=False, os="linux", arch="x64", version="")


async def token(gateway: Gateway, **body: Any) -> str:
    """A registration token."""
    answer = await gateway.request("POST", "/api/v1/runners/registrations", {"labels": ["linux"]} | body)
    assert answer.status == 201, answer.json
    text: str = answer.json["token"]
    assert text.startswith("lmr_")
    return text


async def joined(gateway: Gateway, **body: Any) -> tuple[UUID, str]:
    """A runner's id and private key."""
    text = await token(gateway, **body)
    runner, key, _ = await join(Server(gateway.url, lambda: text), WISH)
    return runner, key


def client(gateway: Gateway, runner: UUID, key: str) -> Client:
    """The client of a runner with a key."""
    return Client(Server(gateway.url, assertions.assertions(runner, key)), StoreClock())


async def rejected(sent: Any) -> wire.Problem:
    """What the server says against it."""
    with pytest.raises(Rejected) as refusal:
        await sent
    return refusal.value.problem


async def test_a_registration_is_good_for_one_runner(gateway: Gateway) -> None:
    """The second one is told so, the audit knows both; and it opens nothing else."""
    text = await token(gateway)
    server = Server(gateway.url, lambda: text)
    runner, _, told = await join(server, WISH)
    assert (told.labels, told.group) == (("self-hosted", "linux", "x64"), "default")
    problem = await rejected(join(server, WISH))
    assert (problem.status, problem.code) == (409, "registration_used")
    assert "runner token" in problem.hint
    async with Client(server, StoreClock()) as stranger:
        assert (await rejected(stranger.register(wire.Register(registration="r", name="r", labels=())))).code == "wrong_role"
    head = await gateway.store.head()
    audit = (await gateway.request("GET", f"/api/v1/audit?at_least={head}")).json["items"]
    assert [each["code"] for each in audit if each["outcome"] == "refused"] == ["registration_used"]
    (shown,) = (await gateway.request("GET", f"/api/v1/runners?at_least={head}")).json["items"]
    assert (shown["id"], shown["state"], shown["labels"]) == (str(runner), "offline", list(told.labels))


async def test_a_runner_proves_itself_by_its_key_and_works(gateway: Gateway) -> None:
    """It registers, takes a job and does it, with assertions of its own making; the labels stay those of its registration."""
    runner, key = await joined(gateway, labels=["linux", "big"])
    run = await gateway.run()
    async with client(gateway, runner, key) as own:
        registered = await own.register(wire.Register(registration="any", name="box", labels=("root",), slots=2, version=""))
        assert registered.runner == runner
        acquired = await own.acquire(wire.Acquire(runner=runner, free_slots=1, wait_seconds=20))
        job = acquired.leases[0].message
        await own.start(job.job, wire.Start(runner=runner, attempt=job.attempt, epoch=job.epoch, lease=job.lease))
    events = await gateway.history(run)
    started = next(event for event in events if event.type == "JobStarted")
    assert started.meta.actor == f"runner:{runner}"
    head = await gateway.store.head()
    (shown,) = (await gateway.request("GET", f"/api/v1/runners?at_least={head}")).json["items"]
    assert (shown["labels"], shown["slots"]) == (["self-hosted", "linux", "x64", "big"], 2)


async def test_a_credential_speaks_for_its_own_runner_only(gateway: Gateway) -> None:
    """Neither for another with a key, nor for one without; the shared runner token does not speak for those with a key."""
    first, second = [await joined(gateway) for _ in range(2)]
    plain = await gateway.runner("plain")
    async with client(gateway, *first) as own:
        for foreign in (second[0], plain.id):
            problem = await rejected(own.acquire(wire.Acquire(runner=foreign, free_slots=1, wait_seconds=0)))
            assert (problem.status, problem.code) == (403, "not_this_runner")
        steps = wire.Steps(runner=second[0], attempt=1, epoch=1, lease=plain.id, seq=1, transitions=())
        assert (await rejected(own.steps(plain.id, steps))).code == "not_this_runner"
    plain.id = first[0]
    answer = await plain.post("acquire", wire.Acquire(runner=first[0], free_slots=1, wait_seconds=0))
    assert (answer.status, answer.json["code"]) == (403, "not_this_runner")
    head = await gateway.store.head()
    audit = (await gateway.request("GET", f"/api/v1/audit?at_least={head}&per_page=100")).json["items"]
    refused = {(each["actor"], each["target"]) for each in audit if each["code"] == "not_this_runner"}
    assert (f"runner:{first[0]}", str(second[0])) in refused
    assert len(refused) == 3


async def test_an_assertion_is_worth_nothing_when_forged_or_old(gateway: Gateway) -> None:
    """Signed with another key, changed, unsigned, for ever, of yesterday."""
    runner, key = await joined(gateway)
    other, _ = assertions.new_key()
    good = assertions.assertions(runner, key)()
    head, claims, signature = good.split(".")
    none = assertions.encoded(b'{"alg":"none","typ":"JWT"}')
    cases = {
        assertions.assertions(runner, other)(): "not_authenticated",
        f"{head}.{claims}.": "not_authenticated",
        f"{none}.{claims}.{signature}": "not_authenticated",
        f"{head}.{claims[:-2]}.{signature}": "not_authenticated",
        assertions.assertions(runner, key, lambda: time.time() - 86_400)(): "wrong_time",
        assertions.assertions(runner, key, lambda: time.time() + 86_400)(): "wrong_time",
    }
    body = wire.Acquire(runner=runner, free_slots=0, wait_seconds=0)
    for text, code in cases.items():
        answer = await gateway.request("POST", "/runner/v1/acquire", body, role=None, Authorization=f"Bearer {text}")
        assert (answer.status, answer.json["code"]) == (401, code)
    answer = await gateway.request("POST", "/runner/v1/acquire", body, role=None, Authorization=f"Bearer {good}")
    assert answer.status == 200


async def test_a_group_serves_the_repositories_that_it_was_given(gateway: Gateway) -> None:
    """The runner's open poll ends when that changes; a job of another repository waits and says why."""
    runner, key = await joined(gateway, group="deploy")
    await gateway.run()
    head = await gateway.store.head()
    (repository,) = (await gateway.request("GET", f"/api/v1/repositories?at_least={head}")).json["items"]
    other = "00000000-0000-0000-0000-000000000001"
    body = wire.Acquire(runner=runner, free_slots=1, wait_seconds=0.2)
    async with client(gateway, runner, key) as own:
        changed = await gateway.request("POST", "/api/v1/runners/groups", {"name": "deploy", "repositories": [other]})
        assert changed.status == 200, changed.json
        assert (await own.acquire(body)).leases == ()
        queue = (await gateway.request("GET", f"/api/v1/queue?at_least={changed.json['position']}")).json["items"]
        assert "no group of runners serves this repository" in queue[0]["reason"]
        await gateway.request("POST", "/api/v1/runners/groups", {"name": "deploy", "repositories": [repository["id"]]})
        assert len((await own.acquire(wire.Acquire(runner=runner, free_slots=1, wait_seconds=20))).leases) == 1
    position = await gateway.store.head()
    (group,) = (await gateway.request("GET", f"/api/v1/runners/groups?at_least={position}")).json["items"]
    assert (group["name"], group["repositories"]) == ("deploy", [repository["id"]])


async def test_who_paused_a_runner_and_why_is_shown(gateway: Gateway) -> None:
    """And a removed one is told so at its next poll."""
    runner, key = await joined(gateway)
    poll = wire.Acquire(runner=runner, free_slots=1, wait_seconds=0)
    async with client(gateway, runner, key) as own:
        await own.acquire(poll)
    for verb, state in (("pause", "paused"), ("resume", "idle"), ("drain", "draining")):
        done = await gateway.request("POST", f"/api/v1/runners/{runner}/{verb}", {"reason": "new disk"})
        (shown,) = (await gateway.request("GET", f"/api/v1/runners?at_least={done.json['position']}")).json["items"]
        assert (shown["state"], shown["reason"]) == (state, "new disk")
        assert shown["changed_by"].startswith("admin-")
    assert (await gateway.request("DELETE", f"/api/v1/runners/{runner}")).status == 204
    async with client(gateway, runner, key) as own:
        assert (await rejected(own.acquire(poll))).code == "runner_retired"


async def test_a_runner_that_is_too_old_is_told_what_to_do(postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One minor version back is taken, two are not; the refusal is in the audit."""
    monkeypatch.setattr("gateway.rest.release", lambda: "0.5.2")
    async with serving(postgres_url, tmp_path / "data") as gateway:
        for version, expected in (("0.4.0", (200, None)), ("0.3.9", (409, "runner_too_old")), ("0.6.0", (200, None))):
            message = wire.Register(registration=version, name="box", labels=(), version=version)
            answer = await gateway.request("POST", "/runner/v1/register", message, "runner")
            assert (answer.status, answer.json.get("code")) == expected
        head = await gateway.store.head()
        (refused,) = [
            each for each in (await gateway.request("GET", f"/api/v1/audit?at_least={head}")).json["items"] if each["outcome"] == "refused"
        ]
        assert "takes runners from 0.4 on" in refused["message"]
