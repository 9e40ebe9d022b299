"""Webhooks over HTTP: verified, stored, acknowledged, and answered with exactly the runs that they should start."""

import asyncio
import hashlib
import hmac
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import pytest

from domain.workflow.syntax_events import ACTIVITIES
from gateway.cli.why import of_delivery
from tests.domain.workflow.test_reader_shared import lines_of
from tests.gateway.conftest import Answer, Gateway, serving
from tests.gateway.test_app import flooded
from tests.infra.test_mirrors import Forge

SECRET = "the secret of acme"
SHARED = "of-what-names-no-repository"
JOBS = "jobs: {only: {runs-on: nobody-has-this, steps: [{run: a}]}}\n"
PATH = ".github/workflows/ci.yml"
SHA = "0123456789abcdef0123456789abcdef01234567"
PUSH = {
    "ref": "refs/heads/main",
    "before": "0" * 40,
    "after": SHA,
    "repository": {"full_name": "acme/pay", "default_branch": "main"},
    "commits": [{"added": ["a.py"], "modified": [], "removed": []}],
}


def signed(body: bytes, secret: str = SECRET) -> str:
    """GitHub's signature."""
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


async def deliver(
    gateway: Gateway, name: str, payload: Any, key: str = "k1", *, secret: str = SECRET, tenant: str = "default", **headers: str
) -> Answer:
    """One delivery as GitHub sends it."""
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    own = {"X_Hub_Signature_256": signed(body, secret), "X_GitHub_Event": name, "X_GitHub_Delivery": key, **headers}
    return await gateway.request("POST", f"/api/v1/webhooks/github?tenant={tenant}", body, None, **own)


async def register(gateway: Gateway, full_name: str, yaml: str, path: str = PATH, provider: str = "github") -> UUID:
    """A repository with its secret and a workflow with its text."""
    body = {"full_name": full_name, "provider": provider, "clone_url": f"https://forge.invalid/{full_name}", "webhook_secret": SECRET}
    assert (await gateway.request("POST", "/api/v1/repositories", body)).status == 201
    made = await gateway.request("POST", "/api/v1/workflows", {"repository": f"{provider}:{full_name}", "path": path, "yaml": yaml})
    assert made.status == 201, made.json
    return UUID(made.json["id"])


async def answered(gateway: Gateway, delivery: str) -> dict[str, Any]:
    """The delivery once it is over."""
    path = f"/api/v1/deliveries/{delivery}"
    while True:
        answer = await gateway.request("GET", f"{path}?at_least={await gateway.store.head()}")
        if answer.status == 200 and answer.json["status"] in ("answered", "ignored", "failed"):
            found: dict[str, Any] = answer.json
            return found
        await asyncio.sleep(0.02)  # another task of the server writes the answer


NO_WORKFLOW_CAN_LISTEN = {"installation", "ping", "workflow_job"}
QUIET = f"on: {{push: {{tags: [never]}}, issues: {{types: [transferred]}}, pull_request: {{types: [closed]}}}}\n{JOBS}"


def on_of(name: str, payload: Any) -> str:
    """What a workflow has to listen to, so that this delivery starts it, and no other of its event."""
    if name in NO_WORKFLOW_CAN_LISTEN:
        return "push"
    return f"{{{name}: {{types: [{payload['action']}]}}}}" if name in ACTIVITIES and "action" in payload else name


@pytest.mark.timeout(300)
async def test_thirty_recorded_payloads_each_delivered_a_hundred_times_in_parallel(postgres_url: str, tmp_path: Path) -> None:
    """Each is answered 2xx; only the workflow that listens to it starts, and once, however often it comes."""
    lines = lines_of("webhooks.jsonl")
    async with serving(postgres_url, tmp_path / "data", webhook_secret=SHARED) as gateway:
        for number, line in enumerate(lines):
            name, payload, full_name = line["event"], line["payload"], f"acme/p{number}"
            secret = SECRET if "repository" in payload else SHARED
            if "repository" in payload:
                payload = payload | {"repository": payload["repository"] | {"full_name": full_name}}
            await register(gateway, full_name, f"on: {on_of(name, payload)}\n{JOBS}")
            await register(gateway, full_name, QUIET, "quiet.yml")
            answers = await asyncio.gather(*(deliver(gateway, name, payload, f"k{number}", secret=secret) for _ in range(100)))
            assert {answer.status for answer in answers} == {202}, (name, answers[0].json)
            assert len({json.dumps(answer.json) for answer in answers}) == 1, "every repetition gets the first answer"
            over = await answered(gateway, answers[0].json["delivery"])
            starts = name not in NO_WORKFLOW_CAN_LISTEN
            assert [(run["workflow"], run["event"]) for run in over["runs"]] == [(PATH, name)] * starts, over
            assert (over["status"], bool(over["reason"])) == (("answered", False) if starts else ("ignored", True))
            assert ("quiet.yml" in {each["workflow"] for each in over["unstarted"] if each["reason"]}) == starts, over
        listed = await gateway.request("GET", f"/api/v1/runs?per_page=100&at_least={await gateway.store.head()}")
        assert len(listed.json["items"]) == len(lines) - len(NO_WORKFLOW_CAN_LISTEN) == 27
        recorded = await gateway.request("GET", "/api/v1/deliveries?per_page=100")
        assert len(recorded.json["items"]) == len(lines)


async def test_what_does_not_start_names_the_filter(gateway: Gateway) -> None:
    """Six workflows, one delivery: two runs, and for the rest the part of `on` that rejected it."""
    texts = {
        "a.yml": f"on: push\n{JOBS}",
        "b.yml": f"on: {{push: {{branches: [main]}}}}\n{JOBS}",
        "c.yml": f"on: {{push: {{branches: [release]}}}}\n{JOBS}",
        "d.yml": f"on: {{push: {{paths: ['docs/**']}}}}\n{JOBS}",
        "e.yml": f"on: issues\n{JOBS}",
        "f.yml": f"on: push\n{JOBS}",
    }
    for path, text in texts.items():
        workflow = await register(gateway, "acme/pay", text, path)
    assert (await gateway.request("PATCH", f"/api/v1/workflows/{workflow}", {"enabled": False})).status == 200
    taken = await deliver(gateway, "push", PUSH)
    assert (taken.status, taken.json["status"]) == (202, "received")
    over = await answered(gateway, taken.json["delivery"])
    assert sorted(run["workflow"] for run in over["runs"]) == ["a.yml", "b.yml"]
    assert {each["workflow"]: each["filter"] for each in over["unstarted"]} == {
        "c.yml": "branches",
        "d.yml": "paths",
        "e.yml": "on",
        "f.yml": "disabled",
    }
    why = await gateway.request("GET", f"/api/v1/deliveries/{taken.json['delivery']}/why")
    assert {each["about"][0]["name"]: each["facts"]["filter"] for each in why.json["reasons"]} == {
        each["workflow"]: each["filter"] for each in over["unstarted"]
    }
    assert sorted(run["name"] for run in why.json["runs"]) == ["a.yml", "b.yml"]
    assert "  d.yml: " in of_delivery(why.json)
    (by_key,) = (await gateway.request("GET", "/api/v1/deliveries?key=k1")).json["items"]
    assert by_key["id"] == taken.json["delivery"]
    assert (await gateway.request("GET", "/api/v1/deliveries?key=k2")).json["items"] == []
    assert (await gateway.request("GET", f"/api/v1/deliveries/{over['runs'][0]['run']}/why")).status == 404
    run = await gateway.request("GET", f"/api/v1/runs/{over['runs'][0]['run']}")
    assert (run.json["event"], run.json["sha"], run.json["ref"]) == ("push", SHA, "refs/heads/main")
    again = await deliver(gateway, "push", PUSH)
    assert (again.status, again.json, again.headers["Idempotency-Replayed"]) == (202, taken.json, "true")
    reused = await deliver(gateway, "push", PUSH | {"forced": True})
    assert (reused.status, reused.json["code"]) == (422, "delivery_reused")


async def test_a_bad_signature_leaves_no_event(gateway: Gateway) -> None:
    """A wrong secret, changed bytes, none at all, an unknown repository: 401, the same words, and the log is as before."""
    await register(gateway, "acme/pay", f"on: push\n{JOBS}")
    head = await gateway.store.head()
    body = json.dumps(PUSH).encode()
    refused = [
        await deliver(gateway, "push", PUSH, secret="another one"),
        await deliver(gateway, "push", body + b" ", X_Hub_Signature_256=signed(body)),
        await deliver(gateway, "push", PUSH, X_Hub_Signature_256="sha256="),
        await deliver(gateway, "push", PUSH | {"repository": {"full_name": "acme/unknown"}}),
        await deliver(gateway, "push", b"{"),
        await gateway.request("POST", "/api/v1/webhooks/github", body, None, X_GitHub_Event="push"),
        await gateway.request("POST", "/api/v1/webhooks/github?tenant=other", body, None, X_Hub_Signature_256=signed(body)),
    ]
    assert {(answer.status, answer.json["code"], answer.json["detail"]) for answer in refused} == {
        (401, "bad_signature", refused[0].json["detail"])
    }
    assert await gateway.store.head() == head


async def test_both_secrets_count_during_a_rotation(gateway: Gateway) -> None:
    """The one before and the new one; a third ends the first."""
    await register(gateway, "acme/pay", f"on: push\n{JOBS}")
    listed = await gateway.request("GET", f"/api/v1/repositories?at_least={await gateway.store.head()}")
    place = f"/api/v1/repositories/{listed.json['items'][0]['id']}"
    for number, secret in enumerate(("second secret", "third secret")):
        assert (await gateway.request("PATCH", place, {"webhook_secret": secret})).status == 200
        assert (await deliver(gateway, "push", PUSH, f"new{number}", secret=secret)).status == 202
    assert (await deliver(gateway, "push", PUSH, "old", secret="second secret")).status == 202
    assert (await deliver(gateway, "push", PUSH, "older")).status == 401


async def test_an_event_that_no_workflow_can_name_is_kept_with_the_reason(gateway: Gateway) -> None:
    """202, ignored, and it is in the list of deliveries."""
    await register(gateway, "acme/pay", f"on: push\n{JOBS}")
    taken = await deliver(gateway, "star", {"action": "created", "repository": {"full_name": "acme/pay"}})
    assert (taken.status, taken.json["status"]) == (202, "ignored")
    listed = await gateway.request("GET", f"/api/v1/deliveries?status=ignored&at_least={taken.json['position'] + 1}")
    (row,) = listed.json["items"]
    assert (row["event"], row["reason"], row["runs"]) == ("star", taken.json["reason"], [])
    assert "star" in row["reason"]


async def test_a_body_without_a_name_or_an_object_is_refused(gateway: Gateway) -> None:
    """A signed body still has to be one; too long a body is refused as it comes."""
    await register(gateway, "acme/pay", f"on: push\n{JOBS}")
    unnamed = await deliver(gateway, "", PUSH)
    assert (unnamed.status, unnamed.json["code"]) == (400, "no_event_name")
    answer, sent = await flooded(gateway, "/api/v1/webhooks/github")
    assert answer.startswith(b"HTTP/1.1 413")
    assert sent < 1 << 26


async def test_forms_gitea_and_gitlab_are_understood(gateway: Gateway) -> None:
    """GitHub's other content type, Gitea's header, GitLab's token: a run each."""
    for provider in ("github", "gitea", "gitlab"):
        await register(gateway, "acme/pay", f"on: push\n{JOBS}", provider=provider)
    form = urlencode({"payload": json.dumps(PUSH)}).encode()
    first = await deliver(gateway, "push", form)
    body = json.dumps(PUSH).encode()
    own = {"X_Gitea_Event": "push", "X_Gitea_Delivery": "g1", "X_Gitea_Signature": signed(body).removeprefix("sha256=")}
    second = await gateway.request("POST", "/api/v1/webhooks/gitea", body, None, **own)
    project = {"path_with_namespace": "acme/pay", "default_branch": "main"}
    push = {"object_kind": "push", "ref": "refs/heads/main", "before": SHA, "after": SHA[::-1], "project": project, "commits": []}
    token = {"X_Gitlab_Event": "Push Hook", "X_Gitlab_Token": SECRET}
    third = await gateway.request("POST", "/api/v1/webhooks/gitlab", push, None, **token)
    for taken in (first, second, third):
        assert taken.status == 202, taken.json
        assert len((await answered(gateway, taken.json["delivery"]))["runs"]) == 1
    assert (await gateway.request("POST", "/api/v1/webhooks/gitlab", push, None, **token)).headers["Idempotency-Replayed"] == "true"


@pytest.mark.timeout(180)
async def test_a_delivery_waits_for_its_forge_and_loses_nothing(gateway: Gateway, tmp_path: Path) -> None:
    """While the forge is away the delivery says so; once it is back the files of the commit answer, and a dispatch works too."""
    forge = Forge(tmp_path / "forge")
    text = f"on: [push, workflow_dispatch]\n{JOBS}"
    sha = forge.commit(_github__workflows__ci_yml=text, _github__workflows__other_yml=f"on: issues\n{JOBS}")
    body = {"full_name": "acme/pay", "provider": "github", "clone_url": forge.url, "webhook_secret": SECRET}
    assert (await gateway.request("POST", "/api/v1/repositories", body)).status == 201
    taken = await deliver(gateway, "push", PUSH | {"after": sha})
    assert (taken.status, taken.json["status"]) == (202, "received")
    path = f"/api/v1/deliveries/{taken.json['delivery']}?at_least={taken.json['position']}"
    while (waiting := await gateway.request("GET", path)).json["status"] != "deferred":
        await asyncio.sleep(0.02)  # git finds out that nobody listens
    assert "cannot be fetched" in waiting.json["reason"]
    forge.up()
    try:
        over = await answered(gateway, taken.json["delivery"])
        assert [run["workflow"] for run in over["runs"]] == [PATH]
        assert [(each["workflow"], each["filter"]) for each in over["unstarted"]] == [(".github/workflows/other.yml", "on")]
        run = await gateway.request("GET", f"/api/v1/runs/{over['runs'][0]['run']}?at_least={await gateway.store.head()}")
        assert run.json["sha"] == sha
        place = f"/api/v1/workflows/{run.json['workflow_id']}/dispatches"
        assert (await gateway.request("POST", place, {"ref": "main"})).status == 202
        gone = await gateway.request("POST", place, {"ref": "nowhere"})
        assert (gone.status, gone.json["code"]) == (422, "ref_not_found")
    finally:
        forge.down()
    away = await gateway.request("POST", place, {"ref": "main"})
    assert (away.status, away.json["code"], away.headers["Retry-After"]) == (409, "forge_away", "10")
