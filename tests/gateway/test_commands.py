"""Write routes: once per key, refused with the reason, kept for the audit."""

import asyncio
from typing import Any
from uuid import UUID

import pytest

from domain import ids
from tests.gateway.conftest import WORKFLOW, Gateway

BROKEN = "on: push\njobs:\n  build:\n    run-on: linux\n    steps: [{run: echo}]\n"


async def test_the_same_key_and_body_is_answered_as_the_first_time(gateway: Gateway) -> None:
    """One run, the same answer, and a header that says so."""
    first = await gateway.trigger("k")
    second = await gateway.trigger("k")
    assert first.json == second.json
    assert first.headers["X-Event-Position"] == second.headers["X-Event-Position"]
    assert "Idempotency-Replayed" not in first.headers
    assert second.headers["Idempotency-Replayed"] == "true"


async def test_the_same_key_with_another_body_is_refused(gateway: Gateway) -> None:
    """422: the key belongs to the first body; the first run is untouched."""
    first = await gateway.trigger("k")
    answer = await gateway.trigger("k", sha="f" * 40)
    assert (answer.status, answer.json["code"]) == (422, "idempotency_key_reused")
    history = await gateway.history(UUID(first.json["runs"][0]["run_id"]))
    assert [event.type for event in history].count("RunTriggered") == 1


async def test_without_a_key_each_request_starts_a_run(gateway: Gateway) -> None:
    """The server draws a key, so two requests are two runs with rising numbers."""
    answers = [await gateway.trigger() for _ in range(2)]
    assert [answer.json["runs"][0]["number"] for answer in answers] == [1, 2]


async def test_a_broken_workflow_starts_nothing(gateway: Gateway) -> None:
    """422 with file, line, column, message and code of each error; no event is in the log."""
    before = await gateway.store.head()
    answer = await gateway.trigger(workflow=BROKEN)
    assert answer.status == 422
    error = answer.json["errors"][0]
    assert (error["file"], error["line"], error["column"]) == (".github/workflows/ci.yml", 4, 5)
    assert error["code"].startswith("WF")
    assert "run-on" in error["message"]
    assert await gateway.store.head() == before


async def test_a_workflow_that_does_not_listen_is_named_with_the_reason(gateway: Gateway) -> None:
    """202 without runs: the event is taken, nothing listens to it."""
    answer = await gateway.trigger(workflow=WORKFLOW.replace("on: push", "on: workflow_dispatch"))
    assert (answer.status, answer.json["runs"]) == (202, [])
    assert answer.json["not_triggered"][0]["workflow"] == ".github/workflows/ci.yml"


async def test_cancelling_a_run_that_is_over_is_refused_and_recorded(gateway: Gateway) -> None:
    """409, and the audit stream of the day names who, what and why."""
    run = await gateway.run()
    runner = await gateway.runner()
    await runner.work(await runner.acquire())
    for _ in range(3):
        answer = await gateway.request("POST", f"/api/v1/runs/{run}/cancel", {})
        assert (answer.status, answer.json["code"], answer.json["state"]) == (409, "run_completed", "completed (success)")
    today = (await gateway.history(run))[0].meta.at.date().isoformat()
    recorded = await gateway.store.load(ids.audit_id("default", today))
    assert [(event.data.command, event.data.target, event.data.code) for event in recorded] == [("CancelRun", str(run), "run_completed")]
    assert recorded[0].meta.actor.startswith("admin-")


async def test_cancelling_a_queued_run_ends_it(gateway: Gateway) -> None:
    """No runner holds the job, so it ends at once and the run with it."""
    run = await gateway.run()
    answer = await gateway.request("POST", f"/api/v1/runs/{run}/cancel")
    assert answer.status == 202
    async with gateway.stream(f"/api/v1/runs/{run}/stream") as events:
        kinds = [data["type"] async for _, name, data in events if name == "message"]
    assert kinds[-1] == "RunCompleted"
    assert "JobCancelled" in kinds


async def test_cancelling_what_does_not_exist_is_not_found(gateway: Gateway) -> None:
    """404."""
    answer = await gateway.request("POST", f"/api/v1/runs/{UUID(int=3)}/cancel", {})
    assert (answer.status, answer.json["code"]) == (404, "run_not_found")


async def test_an_overlong_key_is_refused(gateway: Gateway) -> None:
    """A key is a name, not a document."""
    answer = await gateway.trigger("k" * 256)
    assert (answer.status, answer.json["code"]) == (422, "bad_idempotency_key")


@pytest.mark.parametrize(
    ("kind", "change", "other"),
    [("workflows", {"enabled": False}, {"enabled": True}), ("repositories", {"retry": "max=2"}, {"retry": "max=5"})],
)
async def test_what_was_read_is_changed_only_in_that_version(
    kind: str, change: dict[str, Any], other: dict[str, Any], gateway: Gateway
) -> None:
    """If-Match with the ETag of a read: once it fits, once it is old (412, nothing changed); `*` and none fit always."""
    await gateway.run()
    listed = await gateway.request("GET", f"/api/v1/{kind}?at_least={await gateway.store.head()}")
    path = f"/api/v1/{kind}/{listed.json['items'][0]['id']}"
    read = await gateway.request("GET", path)
    tag = read.headers["ETag"]
    changed = await gateway.request("PATCH", path, change, If_Match=f'"4711", {tag}')
    assert changed.status == 200, changed.json
    for old in (tag, '"x"', f"W/{tag}"):
        refused = await gateway.request("PATCH", path, other, If_Match=old)
        assert (refused.status, refused.json["code"]) == (412, "version_mismatch"), old
    now = await gateway.request("GET", f"{path}?at_least={changed.json['position']}")
    assert ({name: now.json[name] for name in change}, now.headers["ETag"] != tag) == (change, True)
    for welcome in ({"If_Match": "*"}, {}, {"If_Match": now.headers["ETag"]}):
        assert (await gateway.request("PATCH", path, change, **welcome)).status == 200


async def test_what_was_read_is_removed_only_in_that_version(gateway: Gateway) -> None:
    """A token and a runner, by the ETag of a read: an old one is 412 and removes nothing, the present one removes."""
    runner = (await gateway.runner()).id
    token = (await gateway.request("POST", "/api/v1/tokens", {"name": "ci", "role": "viewer"})).json["id"]
    for path in (f"/api/v1/runners/{runner}", f"/api/v1/tokens/{token}"):
        shown = f"{path}?at_least={await gateway.store.head()}"
        before = await gateway.request("GET", shown)
        tag = before.headers["ETag"]
        if "runners" in path:
            paused = await gateway.request("POST", f"{path}/pause", {"reason": "new disk"})
            assert (await gateway.request("DELETE", path, If_Match=tag)).status == 412
            before = await gateway.request("GET", f"{path}?at_least={paused.json['position']}")
            assert (before.json["reason"], before.headers["ETag"] != tag) == ("new disk", True)
        refused = await gateway.request("DELETE", path, If_Match='"4711"')
        assert (refused.status, refused.json["code"]) == (412, "version_mismatch")
        assert (await gateway.request("GET", path)).json == before.json
        assert (await gateway.request("DELETE", path, If_Match=f'"4711", {before.headers["ETag"]}')).status == 204


async def test_a_named_change_of_the_fleet_that_comes_again_changes_nothing(gateway: Gateway) -> None:
    """The runner was resumed and the group changed since: both stay so, and the repeats are answered as the first time."""
    runner = (await gateway.runner()).id
    path = f"/api/v1/runners/{runner}"
    first = await gateway.request("POST", f"{path}/pause", {"reason": "new disk"}, Idempotency_Key="k")
    assert (await gateway.request("POST", f"{path}/resume", {}, Idempotency_Key="k")).status == 200
    again = await gateway.request("POST", f"{path}/pause", {"reason": "new disk"}, Idempotency_Key="k")
    assert (again.status, again.json, again.headers["Idempotency-Replayed"]) == (200, first.json, "true")
    other = await gateway.request("POST", f"{path}/pause", {"reason": "another"}, Idempotency_Key="k")
    assert (other.status, other.json["code"]) == (422, "idempotency_key_reused")
    group, open_ = {"name": "deploy", "repositories": []}, {"name": "deploy", "repositories": None}
    made = await gateway.request("POST", "/api/v1/runners/groups", group, Idempotency_Key="k")
    await gateway.request("POST", "/api/v1/runners/groups", open_, Idempotency_Key="l")
    again = await gateway.request("POST", "/api/v1/runners/groups", group, Idempotency_Key="k")
    assert (again.status, again.json, again.headers["Idempotency-Replayed"]) == (200, made.json, "true")
    other = await gateway.request("POST", "/api/v1/runners/groups", open_, Idempotency_Key="k")
    assert (other.status, other.json["code"]) == (422, "idempotency_key_reused")
    head = await gateway.store.head()
    changes = [event.type for event in await gateway.store.load(runner)]
    assert changes == ["RunnerRegistered", "RunnerPaused", "RunnerResumed"]
    (shown,) = (await gateway.request("GET", f"/api/v1/runners/groups?at_least={head}")).json["items"]
    assert shown["repositories"] is None


async def test_a_cancel_that_comes_again_is_answered_as_the_first_time(gateway: Gateway) -> None:
    """Under its key, though the run is over; with another body it is refused; without the key it is another request."""
    run = await gateway.run()
    path = f"/api/v1/runs/{run}/cancel"
    first = await gateway.request("POST", path, {"reason": "a mistake"}, Idempotency_Key="stop-7")
    assert (first.status, first.headers.get("Idempotency-Replayed")) == (202, None)
    async with asyncio.timeout(60):
        while (await gateway.request("POST", path, {})).status != 409:
            await asyncio.sleep(0.05)  # the reactor of the server ends the jobs
    again = await gateway.request("POST", path, {"reason": "a mistake"}, Idempotency_Key="stop-7")
    assert (again.status, again.json, again.headers["Idempotency-Replayed"]) == (202, first.json, "true")
    assert again.headers["X-Event-Position"] == first.headers["X-Event-Position"] == str(first.json["position"])
    other = await gateway.request("POST", path, {"reason": "another"}, Idempotency_Key="stop-7")
    assert (other.status, other.json["code"]) == (422, "idempotency_key_reused")
