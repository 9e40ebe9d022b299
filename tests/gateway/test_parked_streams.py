"""An event of a newer version in a living server: its stream waits, everybody else goes on, and every answer is honest."""

from typing import Any
from uuid import UUID

import msgspec
import psycopg
import pytest

from domain import events as register
from infra import codec
from projections.catalogue import VIEWS
from tests.gateway.conftest import Answer, Gateway

STATE = b'{"at":"2026-11-21T10:00:00Z","tenant":"default","actor":"someone","command":"%s","correlation":"%s","data":{"mood":"blue"}}'


async def get(gateway: Gateway, path: str) -> Answer:
    """One read."""
    return await gateway.request("GET", f"/api/v1{path}")


async def of_the_future(gateway: Gateway, stream: UUID, run: UUID) -> int:
    """Append an event of a type that this version does not know, behind the server's back; returns its position."""
    with psycopg.connect(gateway.store.database_url, autocommit=True) as connection:
        inserted = connection.execute(
            "INSERT INTO public.events_0 (originator_id, originator_version, topic, state)"
            " SELECT originator_id, max(originator_version) + 1, 'MoodChanged.v1', %s FROM public.events_0"
            " WHERE originator_id = %s GROUP BY originator_id RETURNING notification_id",
            (STATE % (str(stream).encode(), str(run).encode()), stream),
        ).fetchone()
        connection.execute("NOTIFY events_0")
    assert inserted is not None
    return int(inserted[0])


async def parked(gateway: Gateway, position: int) -> list[dict[str, Any]]:
    """What waits in all views, once they have passed a position."""
    for view in VIEWS:
        answer = await get(gateway, f"/projections?at_least={position}")
        while next(each["position"] for each in answer.json["items"] if each["name"] == view) < position:
            answer = await get(gateway, f"/projections?at_least={position}")
    return [waiting for each in answer.json["items"] for waiting in each["parked"]]


async def one_job(gateway: Gateway) -> tuple[UUID, UUID]:
    """A finished run and its job."""
    run = await gateway.run()
    runner = await gateway.runner()
    message = await runner.acquire()
    await runner.work(message)
    return run, message.job


async def test_an_unknown_event_is_told_everywhere_and_stops_nobody(gateway: Gateway) -> None:
    """`/projections`, `/readyz`, reads that wait, `replay`: the stream of it is named; other runs come and go."""
    run, job = await one_job(gateway)
    position = await of_the_future(gateway, job, run)
    other, _ = await one_job(gateway)

    found = await parked(gateway, await gateway.store.head())
    assert {each["view"] for each in found} == set(VIEWS)
    for each in found:
        assert (each["stream"], each["run_id"], each["position"], each["waiting"]) == (str(job), str(run), position, 1)
        assert (each["type"], each["schema"], each["error"]) == ("MoodChanged", 1, "this version knows no event MoodChanged")

    ready = await gateway.request("GET", "/readyz", role=None)
    assert (ready.status, ready.json["parked_streams"]) == (200, len(VIEWS))

    for path in (f"/runs/{run}", f"/runs/{run}/jobs", f"/jobs/{job}", f"/jobs/{job}/attempts"):
        answer = await get(gateway, f"{path}?at_least={position}")
        assert (answer.status, answer.json["code"]) == (503, "stream_parked"), path
        assert str(job) in answer.json["detail"]
        assert answer.headers["Retry-After"] == "60"
        before = await get(gateway, f"{path}?at_least={position - 1}")
        assert before.status == 200, "what was asked for is there"
    listed = await get(gateway, f"/runs?at_least={position}")
    assert (listed.status, listed.json["code"]) == (503, "stream_parked"), "the list cannot show what happened there"
    assert (await get(gateway, f"/runs?at_least={await gateway.store.head()}")).status == 200
    shown = await get(gateway, f"/runs/{other}?at_least={await gateway.store.head()}")
    assert (shown.status, shown.json["conclusion"]) == (200, "success")

    its_own = (await gateway.request("POST", f"/api/v1/runs/{run}/replay")).json
    assert (its_own["clean"], its_own["differences"], len(its_own["parked"])) == (False, [], len(VIEWS))
    others = (await gateway.request("POST", f"/api/v1/runs/{other}/replay")).json
    assert (others["clean"], others["parked"], others["parked_elsewhere"]) == (True, [], len(VIEWS))
    state = await get(gateway, f"/runs/{run}/state")
    assert [each["stream"] for each in state.json["parked"]] == [str(job)]


async def test_retry_drains_once_the_code_knows_the_event(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before that it changes nothing and says what is in the way; afterwards the read that waits is answered."""
    run, job = await one_job(gateway)
    position = await of_the_future(gateway, job, run)
    await parked(gateway, position)
    tried = await gateway.request("POST", "/api/v1/projections/status/retry")
    assert (tried.status, tried.json["streams"], [each["type"] for each in tried.json["parked"]]) == (200, 0, ["MoodChanged"])

    monkeypatch.setattr(codec, "_readers", {})
    monkeypatch.setitem(register.REGISTER, "MoodChanged", (msgspec.defstruct("MoodChanged", [("mood", str)]), 1))
    for view in VIEWS:
        done = await gateway.request("POST", f"/api/v1/projections/{view}/retry")
        assert (done.json["streams"], done.json["events"], done.json["parked"]) == (1, 1, []), view
    assert (await get(gateway, f"/jobs/{job}?at_least={position}")).status == 200
    assert (await gateway.request("POST", f"/api/v1/runs/{run}/replay")).json["clean"]


async def test_what_cannot_be_decided_here_is_refused_with_the_reason(gateway: Gateway) -> None:
    """A command on a stream of a newer version is answered 503; the agents and the commands on other streams go on."""
    run = await gateway.run()
    position = await of_the_future(gateway, run, run)
    await parked(gateway, position)
    answer = await gateway.request("POST", f"/api/v1/runs/{run}/cancel", {})
    assert (answer.status, answer.json["code"]) == (503, "stream_unreadable"), answer.json
    assert f"MoodChanged.v1 at position {position}" in answer.json["detail"]
    other = await gateway.run()
    assert (await gateway.request("POST", f"/api/v1/runs/{other}/cancel", {})).status == 202


async def test_a_view_that_does_not_exist_has_nothing_to_retry(gateway: Gateway) -> None:
    """404 with the names of those that do."""
    answer = await gateway.request("POST", "/api/v1/projections/nonsense/retry")
    assert (answer.status, answer.json["code"]) == (404, "projection_not_found")
    assert "status" in answer.json["hint"]
