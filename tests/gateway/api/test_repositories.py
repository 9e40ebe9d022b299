"""Repositories and workflows over HTTP: registered, listed with a text, dispatched, changed, removed."""

from pathlib import Path
from typing import Any

import pytest

from domain.webhooks.shape import NO_COMMIT
from tests.gateway.conftest import Gateway

REPOSITORY = {"full_name": "acme/pay", "provider": "gitea", "clone_url": "https://forge.example/acme/pay.git"}
YAML = """\
name: by hand
on: {workflow_dispatch: {inputs: {stage: {type: choice, options: [test, live]}}}}
jobs:
  deploy: {runs-on: linux, steps: [{run: 'echo ${{ inputs.stage }}'}]}
"""
PUSHED = "on: push\njobs: {only: {runs-on: linux, steps: [{run: a}]}}\n"
PATH = ".github/workflows/deploy.yml"
SECRET = "a secret of the forge"


async def seen(gateway: Gateway, kind: str, position: int) -> list[dict[str, Any]]:
    """A list as it is at or after a position."""
    answer = await gateway.request("GET", f"/api/v1/{kind}?at_least={position}")
    assert answer.status == 200, answer.json
    found: list[dict[str, Any]] = answer.json["items"]
    return found


async def test_a_repository_is_registered_changed_and_removed(gateway: Gateway) -> None:
    """201 with its place; PATCH by ETag; DELETE by ETag, then 404; its listed workflow goes with it."""
    made = await gateway.request("POST", "/api/v1/repositories", REPOSITORY | {"webhook_secret": SECRET})
    assert made.status == 201, made.json
    place = made.headers["Location"]
    again = await gateway.request("POST", "/api/v1/repositories", REPOSITORY | {"webhook_secret": SECRET})
    assert (again.status, again.json) == (201, made.json)
    listed = await gateway.request("POST", "/api/v1/workflows", {"repository": "acme/pay", "path": PATH})
    assert (listed.status, listed.json["repository_id"]) == (201, made.json["id"])
    shown = await gateway.request("GET", f"{place}?at_least={listed.json['position']}")
    assert (shown.json["full_name"], shown.json["webhook_secret"]) == ("acme/pay", True)
    change = {
        "clone_url": "https://other.example/acme/pay.git",
        "default_branch": "trunk",
        "retry": "max=2",
        "webhook_secret": "another secret",
    }
    stale = await gateway.request("PATCH", place, change, If_Match='"4711"')
    assert (stale.status, stale.json["code"]) == (412, "version_mismatch")
    changed = await gateway.request("PATCH", place, change, If_Match=shown.headers["ETag"])
    assert changed.status == 200, changed.json
    (row,) = await seen(gateway, "repositories", changed.json["position"])
    assert (row["clone_url"], row["default_branch"], row["retry"]) == (change["clone_url"], "trunk", "max=2")
    assert (await gateway.request("DELETE", place, If_Match='"4711"')).status == 412
    removed = await gateway.request("DELETE", place)
    assert removed.status == 204
    at = int(removed.headers["X-Event-Position"])
    assert (await seen(gateway, "repositories", at), await seen(gateway, "workflows", at)) == ([], [])
    assert (await gateway.request("DELETE", place)).json["code"] == "repository_not_found"
    assert (await gateway.request("PATCH", place, {"retry": ""})).status == 404


async def test_a_secret_is_in_a_file_of_its_own_and_nowhere_else(gateway: Gateway, tmp_path: Path) -> None:
    """Not in an answer, not in the log; a refused change leaves it as it was."""
    made = await gateway.request("POST", "/api/v1/repositories", REPOSITORY | {"webhook_secret": SECRET})
    place = made.headers["Location"]
    refused = await gateway.request("PATCH", place, {"webhook_secret": "another secret"}, If_Match='"4711"')
    assert refused.status == 412
    (file,) = (tmp_path / "data" / "webhook-secrets").iterdir()
    assert SECRET in file.read_text()
    assert "another secret" not in file.read_text()
    page = await gateway.store.rows(0)
    assert not any(SECRET.encode() in row[-1] for row in page[1])
    weak = await gateway.request("PATCH", place, {"webhook_secret": "short"})
    assert (weak.status, weak.json["code"]) == (422, "weak_secret")
    assert "short" not in str(weak.json["detail"]).replace("shorter", "")


@pytest.mark.parametrize(
    ("path", "body", "code", "pointer"),
    [
        ("repositories", REPOSITORY | {"clone_url": "ext::id"}, "bad_clone_url", "/clone_url"),
        ("repositories", REPOSITORY | {"full_name": "pay"}, "bad_name", "/full_name"),
        ("repositories", REPOSITORY | {"full_name": "acme/p\x1fay"}, "bad_name", "/full_name"),
        ("repositories", REPOSITORY | {"default_branch": "a..b"}, "bad_ref", "/default_branch"),
        ("repositories", REPOSITORY | {"provider": "sourceforge"}, "bad_body", None),
        ("workflows", {"repository": "acme/pay", "path": "../ci.yml"}, "bad_path", "/path"),
        ("workflows", {"repository": "acme/pay", "path": "README"}, "bad_path", "/path"),
        ("workflows", {"repository": "cvs:acme/pay", "path": PATH}, "bad_provider", "/repository"),
        ("workflows", {"repository": "acme", "path": PATH}, "bad_name", "/repository"),
        ("workflows", {"repository": "acme/pay", "path": PATH, "yaml": "on: push"}, "workflow_invalid", None),
    ],
)
async def test_what_cannot_be_registered_is_refused_with_the_place(
    path: str, body: dict[str, Any], code: str, pointer: str | None, gateway: Gateway
) -> None:
    """422, and nothing is in the log."""
    answer = await gateway.request("POST", f"/api/v1/{path}", body)
    assert (answer.status, answer.json["code"]) == (422, code)
    assert pointer is None or answer.json["errors"][0]["pointer"] == pointer
    assert await gateway.store.head() == 0


async def test_a_workflow_with_its_text_is_dispatched(gateway: Gateway) -> None:
    """202 with run, link and position; the same key finds the same run, with other inputs it is refused; a runner gets the job."""
    listed = await gateway.request("POST", "/api/v1/workflows", {"repository": "acme/new", "path": PATH, "yaml": YAML})
    assert listed.status == 201, listed.json
    (repository,) = await seen(gateway, "repositories", listed.json["position"])
    assert (repository["provider"], repository["clone_url"]) == ("github", "https://github.com/acme/new.git")
    (workflow,) = await seen(gateway, "workflows", listed.json["position"])
    assert (workflow["name"], workflow["text"] == workflow["source"]) == ("by hand", True)
    path = f"/api/v1/workflows/{listed.json['id']}/dispatches"
    body = {"ref": "main", "inputs": {"stage": "live"}}
    first = await gateway.request("POST", path, body, Idempotency_Key="k")
    assert first.status == 202, first.json
    again = await gateway.request("POST", path, body, Idempotency_Key="k")
    assert (again.json, again.headers["Idempotency-Replayed"]) == (first.json, "true")
    other = await gateway.request("POST", path, body | {"inputs": {"stage": "test"}}, Idempotency_Key="k")
    assert (other.status, other.json["code"]) == (422, "idempotency_key_reused")
    run = await gateway.request("GET", f"/api/v1/runs/{first.json['run_id']}?at_least={first.json['position']}")
    assert (run.json["event"], run.json["ref"], run.json["sha"]) == ("workflow_dispatch", "refs/heads/main", NO_COMMIT)
    events = await gateway.session.get(first.json["events_url"], headers=gateway.headers())
    assert events.status == 200
    job = await (await gateway.runner()).acquire()
    assert str(job.run) == run.json["id"]


async def test_what_cannot_be_dispatched_says_why(gateway: Gateway) -> None:
    """Wrong inputs, no such event, disabled, unknown, removed."""
    listed = await gateway.request("POST", "/api/v1/workflows", {"repository": "acme/new", "path": PATH, "yaml": YAML})
    place = f"/api/v1/workflows/{listed.json['id']}"
    wrong = await gateway.request("POST", f"{place}/dispatches", {"inputs": {"stage": "moon"}})
    assert (wrong.status, wrong.json["code"], wrong.json["errors"][0]["code"]) == (422, "workflow_invalid", "WF303")
    bad = await gateway.request("POST", f"{place}/dispatches", {"ref": "a b"})
    assert (bad.status, bad.json["errors"][0]["pointer"]) == (422, "/ref")
    await gateway.request("PATCH", place, {"enabled": False})
    disabled = await gateway.request("POST", f"{place}/dispatches", {})
    assert (disabled.status, disabled.json["code"]) == (409, "workflow_disabled")
    deaf = await gateway.request(
        "POST",
        "/api/v1/workflows",
        {"repository": "acme/new", "path": "ci.yml", "yaml": PUSHED},
    )
    refused = await gateway.request("POST", f"/api/v1/workflows/{deaf.json['id']}/dispatches", {})
    assert (refused.status, refused.json["code"]) == (422, "not_dispatchable")
    assert (await gateway.request("DELETE", place)).status == 204
    gone = await gateway.request("POST", f"{place}/dispatches", {})
    assert (gone.status, gone.json["code"]) == (404, "workflow_not_found")


async def test_a_name_that_may_mean_two_repositories_is_refused(gateway: Gateway) -> None:
    """The provider before the name tells them apart."""
    for provider in ("gitea", "gitlab"):
        await gateway.request("POST", "/api/v1/repositories", REPOSITORY | {"provider": provider})
    either = await gateway.request("POST", "/api/v1/workflows", {"repository": "acme/pay", "path": PATH})
    assert (either.status, either.json["code"]) == (422, "ambiguous_repository")
    one = await gateway.request("POST", "/api/v1/workflows", {"repository": "gitlab:acme/pay", "path": PATH})
    assert one.status == 201


async def test_a_key_names_one_body_for_ever(gateway: Gateway) -> None:
    """The same body is answered as the first time and undoes nothing that came since; another body is refused and changes nothing."""
    own = {"webhook_secret": SECRET}
    first = await gateway.request("POST", "/api/v1/repositories", REPOSITORY | own, Idempotency_Key="k")
    moved = {"clone_url": "https://other.example/acme/pay.git"}
    assert (await gateway.request("PATCH", first.headers["Location"], moved)).status == 200
    listing = {"repository": "gitea:acme/pay", "path": PATH, "yaml": YAML}
    listed = await gateway.request("POST", "/api/v1/workflows", listing, Idempotency_Key="k")
    assert (await gateway.request("POST", "/api/v1/workflows", listing | {"yaml": PUSHED})).status == 201
    said = await events_of_requests(gateway)
    for path, body, answered in (("repositories", REPOSITORY | own, first), ("workflows", listing, listed)):
        again = await gateway.request("POST", f"/api/v1/{path}", body, Idempotency_Key="k")
        assert (again.status, again.json, again.headers["Idempotency-Replayed"]) == (201, answered.json, "true")
    for path, body in (
        ("repositories", REPOSITORY | own | moved),
        ("repositories", REPOSITORY | own | {"default_branch": "trunk"}),
        ("repositories", REPOSITORY | {"webhook_secret": "another secret"}),
        ("repositories", REPOSITORY),
        ("workflows", listing | {"yaml": PUSHED}),
        ("workflows", listing | {"path": "ci.yml"}),
    ):
        refused = await gateway.request("POST", f"/api/v1/{path}", body, Idempotency_Key="k")
        assert (refused.status, refused.json["code"]) == (422, "idempotency_key_reused"), body
    assert await events_of_requests(gateway) == said
    assert (await gateway.request("POST", "/api/v1/repositories", REPOSITORY | own | moved, Idempotency_Key="other")).status == 201


async def events_of_requests(gateway: Gateway) -> list[int]:
    """The positions of all events but those of the agent of schedules, which reads what a request has it read when it can."""
    page = await gateway.store.read(0)
    return [event.position for event in page.events if event.type != "ScheduleAdvanced"] if page else []
