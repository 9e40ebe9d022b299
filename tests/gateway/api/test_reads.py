"""The read side over HTTP: what a script sees of a run that a hand-driven runner has worked on."""

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
import psycopg

from domain.ids import event_id
from gateway.cli.queue import describe
from projections.catalogue import VIEWS
from tests.gateway.conftest import Answer, Gateway

CHAIN = """\
name: ci
on: push
jobs:
  build:
    runs-on: linux
    steps:
      - run: echo hello
  test:
    needs: build
    runs-on: linux
    strategy: {matrix: {v: [1, 2]}}
    steps:
      - run: echo test
"""


async def get(gateway: Gateway, path: str, **headers: str) -> Answer:
    """One read."""
    return await gateway.request("GET", f"/api/v1{path}", **headers)


async def shown(gateway: Gateway, path: str) -> Any:
    """The JSON of a read that has seen everything up to now."""
    head = await gateway.store.head()
    answer = await get(gateway, f"{path}{'&' if '?' in path else '?'}at_least={head}")
    assert answer.status == 200, answer.json
    return answer.json


async def ran(gateway: Gateway, workflow: str = CHAIN) -> UUID:
    """A run of which the first job is done."""
    run = await gateway.run(workflow)
    runner = await gateway.runner()
    await runner.work(await runner.acquire())
    return run


async def test_a_run_is_shown_as_scripts_read_it(gateway: Gateway) -> None:
    """Status and conclusion in GitHub's words, the number, the source and the times."""
    run = await ran(gateway)
    found = await shown(gateway, f"/runs/{run}")
    assert (found["id"], found["number"], found["workflow"], found["event"]) == (str(run), 1, "ci", "push")
    assert (found["status"], found["conclusion"], found["run_attempt"]) == ("in_progress", None, 1)
    assert found["ref"] == "refs/heads/main"
    assert found["url"].endswith(f"/api/v1/runs/{run}")
    assert datetime.fromisoformat(found["created_at"]) <= datetime.fromisoformat(found["started_at"])


async def test_a_run_is_found_by_every_name_it_has(gateway: Gateway) -> None:
    """Id, prefix of the id, `latest`, number, and workflow with number."""
    run = str(await gateway.run())
    for name in (run, run[:8], "latest", "1", "ci%231", "ci.yml%231"):
        assert (await shown(gateway, f"/runs/{name}"))["id"] == run, name


async def test_an_ambiguous_name_lists_its_candidates(gateway: Gateway) -> None:
    """Two workflows have a run 1: nobody guesses which one is meant."""
    await gateway.trigger(workflows=[{"path": f".github/workflows/{n}.yml", "text": CHAIN.replace("ci", n)} for n in ("a", "b")])
    await shown(gateway, "/runs")
    answer = await get(gateway, "/runs/1")
    assert (answer.status, answer.json["code"]) == (409, "run_ambiguous")
    assert len(answer.json["errors"]) == 2
    assert (await shown(gateway, "/runs/b%231"))["workflow"] == "b"


async def test_an_unknown_run_is_a_problem_with_code_and_hint(gateway: Gateway) -> None:
    """404 as RFC 9457, whatever the form of the name."""
    for name in ("00000000-0000-0000-0000-000000000001", "nope", "77"):
        answer = await get(gateway, f"/runs/{name}")
        assert answer.status == 404
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.json["code"] == "run_not_found"
        assert answer.json["hint"]
        assert answer.json["instance"].endswith(answer.headers["X-Request-Id"])


async def test_jobs_show_steps_matrix_and_what_still_waits(gateway: Gateway) -> None:
    """Jobs of expanded nodes with their steps; a node that waits for its needs stands there as waiting."""
    run = await gateway.run(CHAIN)
    jobs = {job["name"]: job for job in (await shown(gateway, f"/runs/{run}/jobs"))["items"]}
    assert {name: job["status"] for name, job in jobs.items()} == {"build": "queued", "test": "waiting"}
    assert jobs["test"]["needs"] == ["build"]
    runner = await gateway.runner()
    await runner.work(await runner.acquire())
    jobs = {job["name"]: job for job in (await shown(gateway, f"/runs/{run}/jobs"))["items"]}
    assert sorted(jobs) == ["build", "test (1)", "test (2)"]
    build = jobs["build"]
    assert (build["status"], build["conclusion"], build["runner"], build["attempt"]) == ("completed", "success", "r1", 1)
    assert [(step["name"], step["status"], step["conclusion"]) for step in build["steps"]] == [("Run echo hello", "completed", "success")]
    assert jobs["test (1)"]["steps"][0]["status"] == "pending"
    assert jobs["test (2)"]["matrix"] == {"v": 2}


async def test_a_job_its_attempts_and_its_events_can_be_read(gateway: Gateway) -> None:
    """Each acquisition is an attempt with its own steps; the events are those of the job's stream."""
    run = await ran(gateway)
    job = (await shown(gateway, f"/runs/{run}/jobs"))["items"][0]
    assert await shown(gateway, f"/jobs/{job['id']}") == job
    (attempt,) = (await shown(gateway, f"/jobs/{job['id']}/attempts"))["items"]
    assert (attempt["attempt"], attempt["epoch"], attempt["conclusion"], attempt["runner_name"]) == (1, 1, "success", "r1")
    assert [step["conclusion"] for step in attempt["steps"]] == ["success"]
    events = (await get(gateway, f"/jobs/{job['id']}/events")).json["items"]
    assert [event["type"] for event in events][:2] == ["JobCreated", "JobQueued"]
    assert {event["stream"] for event in events} == {job["id"]}


async def test_lists_are_cut_into_pages_that_miss_nothing(gateway: Gateway) -> None:
    """next_cursor in the body and rel="next" in Link lead through all items once, in order."""
    runs = [str(await gateway.run()) for _ in range(5)]
    await shown(gateway, "/runs")
    seen, path = [], "/api/v1/runs?per_page=2"
    while path:
        answer = await gateway.request("GET", path)
        seen += [run["id"] for run in answer.json["items"]]
        link = answer.headers.get("Link", "")
        assert ("cursor=" in link) == bool(answer.json["next_cursor"])
        path = link.partition(">")[0].removeprefix("<")
    assert seen == runs[::-1]


async def test_runs_are_filtered(gateway: Gateway) -> None:
    """By status or conclusion, branch, event, workflow and time."""
    run = str(await gateway.run())
    await shown(gateway, "/runs")
    for query in ("status=queued", "branch=main", "event=push", "workflow=ci", "since=2026-01-01T00:00:00Z"):
        assert [each["id"] for each in (await shown(gateway, f"/runs?{query}"))["items"]] == [run], query
    for query in ("status=success", "branch=other", "event=pull_request", "workflow=x", "since=2999-01-01T00:00:00Z", "actor=x"):
        assert (await shown(gateway, f"/runs?{query}"))["items"] == [], query


async def test_parameters_that_do_not_fit_are_named(gateway: Gateway) -> None:
    """422 as a problem of ours, not as the framework's; a foreign cursor too."""
    answer = await get(gateway, "/runs?per_page=1000")
    assert (answer.status, answer.json["code"]) == (422, "bad_parameter")
    assert answer.json["errors"][0]["pointer"] == "/query/per_page"
    for cursor in ("%C3%A9", "bm8", "WyJ4IiwieSJd"):
        answer = await get(gateway, f"/runs?cursor={cursor}")
        assert (answer.status, answer.json["code"]) == (422, "bad_cursor"), cursor


async def test_a_read_waits_for_a_position_and_then_says_that_it_did_not_come(gateway: Gateway) -> None:
    """at_least beyond the log: 503 with Retry-After after two seconds."""
    answer = await get(gateway, "/runs?at_least=100000")
    assert (answer.status, answer.json["code"], answer.json["retryable"]) == (503, "view_behind", True)
    assert answer.headers["Retry-After"] == "1"


async def test_events_come_as_pages_and_as_lines(gateway: Gateway) -> None:
    """The same events either way, with their whole envelope, in order and after a position."""
    run = await ran(gateway)
    lines = []
    for path in ("/events", f"/runs/{run}/events"):
        async with gateway.session.get(
            f"{gateway.url}/api/v1{path}", headers=gateway.headers() | {"Accept": "application/x-ndjson"}
        ) as response:
            assert response.content_type == "application/x-ndjson"
            lines.append((await response.text()).splitlines())
    everything, of_run = (len(each) for each in lines)
    assert everything > of_run > 10
    first = await get(gateway, f"/runs/{run}/events?per_page=3")
    second = await get(gateway, f"/runs/{run}/events?per_page=3&cursor={first.json['next_cursor']}")
    positions = [event["position"] for event in first.json["items"] + second.json["items"]]
    assert positions == sorted(set(positions))
    assert len(positions) == 6
    assert first.json["items"][0]["type"] == "RunTriggered"
    assert first.json["items"][0]["correlation_id"] == str(run)
    assert (await get(gateway, "/events?per_page=1")).json["head"] == await gateway.store.head()


async def test_the_state_of_a_run_at_any_point(gateway: Gateway) -> None:
    """By position and by time; before the run there was nothing."""
    run = await ran(gateway)
    history = await gateway.history(run)
    acquired = next(event for event in history if event.type == "JobAcquired")
    then = (await get(gateway, f"/runs/{run}/state?at={acquired.position}")).json
    assert (then["position"], then["run"]["status"]) == (acquired.position, "in_progress")
    assert [job["status"] for job in then["jobs"] if job["key"] == "build"] == ["in_progress"]
    before = (await get(gateway, f"/runs/{run}/state?at={acquired.position - 1}")).json
    assert before["run"]["status"] == "queued"
    assert (await get(gateway, f"/runs/{run}/state?at=0")).json["run"] is None
    now = (await get(gateway, f"/runs/{run}/state")).json
    assert [job["conclusion"] for job in now["jobs"] if job["key"] == "build"] == ["success"]
    timed = (await get(gateway, f"/runs/{run}/state?at=2999-01-01T00:00:00Z")).json
    assert timed == now
    assert (await get(gateway, f"/runs/{run}/state?at=yesterday")).json["code"] == "bad_point"
    (lease,) = then["leases"]
    assert (lease["epoch"], lease["runner"], lease["expires_at"]) == (1, str(acquired.data.runner), then_iso(acquired))
    assert [(row["name"], row["online"]) for row in then["runners"]] == [("r1", True)]
    assert ([row["job_id"] for row in before["queue"]], before["leases"], before["runners"]) == ([str(acquired.stream)], [], [])
    assert (then["queue"], now["leases"]) == ([], [])
    queue = (await get(gateway, f"/queue?at={acquired.position - 1}")).json
    assert ([row["job_id"] for row in queue["items"]], queue["position"]) == ([str(acquired.stream)], acquired.position - 1)
    assert (await get(gateway, f"/queue?at={acquired.position}")).json["items"] == []
    for path in (f"/runs/{run}/state", "/queue"):
        ahead = await get(gateway, f"{path}?at=999999999")
        assert (ahead.status, ahead.json["code"]) == (422, "point_ahead")


def then_iso(acquired: Any) -> str:
    """The lease's end, as JSON has it."""
    return msgspec.to_builtins(acquired.data.expires_at)


async def test_a_replay_of_a_sound_run_is_clean_and_one_of_a_changed_view_is_not(gateway: Gateway, postgres_url: str) -> None:
    """It names view, key and both values; with scope run as with scope store; a rebuild repairs the view."""
    run = await ran(gateway)
    path = f"/api/v1/runs/{run}/replay"
    answer = await gateway.request("POST", path)
    assert (answer.status, answer.json["clean"], answer.json["differences"], answer.json["breaches"]) == (200, True, [], [])
    assert (answer.json["scope"], answer.json["events"]) == ("store", len((await gateway.store.read(0, 10_000)).events))  # type: ignore[union-attr]  # the log is not empty
    async with await psycopg.AsyncConnection.connect(postgres_url, autocommit=True) as connection:
        await connection.execute("UPDATE views.runs SET sha = 'forged'")
    for scope in ("run", "store"):
        answer = await gateway.request("POST", path, {"scope": scope})
        (found,) = answer.json["differences"]
        assert answer.json["clean"] is False
        assert (found["view"], found["table"], found["key"], found["column"]) == ("status", "runs", f"runs(id={run})", "sha")
        assert (found["stored"], found["rebuilt"]) == ("forged", "0123456789abcdef0123456789abcdef01234567")
    assert (await gateway.request("POST", "/api/v1/projections/status/rebuild")).status == 200
    assert (await gateway.request("POST", path)).json["clean"] is True


async def test_the_queue_says_what_waits_and_why(gateway: Gateway) -> None:
    """One line for each set of labels, with the reason that the fleet gives."""
    run = await gateway.run()
    (lane,) = (await shown(gateway, "/queue"))["items"]
    assert (lane["labels"], lane["depth"], lane["reason"]) == (["linux"], 1, "no runner is registered")
    assert lane["jobs"] == [(await shown(gateway, f"/runs/{run}/jobs"))["items"][0]["id"]]
    await gateway.runner("far", ("linux-arm", "x"))
    (lane,) = (await shown(gateway, "/queue"))["items"]
    assert lane["reason"] == "no runner has the labels linux; the nearest, far, lacks linux"
    runner = await gateway.runner()
    await runner.acquire()
    assert (await shown(gateway, "/queue"))["items"] == []


async def test_the_queue_tells_whose_turn_it_is_and_for_how_long(gateway: Gateway) -> None:
    """Line by line in fair order: a repository with nothing running comes before one with a job; then what lasted how long."""
    pay, other = "acme/pay", "acme/other"

    async def push(name: str) -> None:
        repository = {"full_name": name, "provider": "local", "clone_url": "/srv/x.git"}
        assert (await gateway.trigger(repository=repository)).status == 202

    runner = await gateway.runner()
    for _ in range(2):
        await push(pay)
        job = await runner.acquire()
        await runner.work(job)
    await push(pay)
    await runner.acquire()
    for name in (pay, pay, other):
        await push(name)
    found = await shown(gateway, "/queue")
    lines = [(line["repository"], line["depth"], line["position"], line["lane"]) for line in found["items"]]
    assert lines == [(other, 1, 1, "default"), (pay, 2, 2, "default")]
    drains = {line["drain_seconds"] for line in found["items"]}
    assert len(drains) == 1
    assert None not in drains
    assert [row.split()[:2] for row in describe(found).splitlines()[1:]] == [["1", other], ["2", pay]]


async def test_nobody_can_tell_how_long_a_queue_lasts_that_no_runner_takes(gateway: Gateway) -> None:
    """No runner has the labels, or none of their jobs has ended lately."""
    await gateway.run()
    (line,) = (await shown(gateway, "/queue"))["items"]
    assert (line["tenant"], line["drain_seconds"], line["position"]) == ("default", None, 1)


async def test_runners_show_their_state_and_their_jobs(gateway: Gateway) -> None:
    """Busy while it holds a job, paused when told so."""
    await gateway.run()
    runner = await gateway.runner("box")
    message = await runner.acquire()
    (found,) = (await shown(gateway, "/runners"))["items"]
    assert (found["id"], found["name"], found["labels"], found["state"]) == (str(runner.id), "box", ["linux"], "busy")
    assert found["jobs"] == [str(message.job)]
    await gateway.request("POST", f"/api/v1/runners/{runner.id}/pause")
    (found,) = (await shown(gateway, "/runners"))["items"]
    assert found["state"] == "paused"


async def test_repositories_and_workflows_are_listed(gateway: Gateway) -> None:
    """As the first event registered them; one of each by id, the workflow with its version as ETag."""
    await gateway.run()
    (repository,) = (await shown(gateway, "/repositories"))["items"]
    assert (repository["full_name"], repository["provider"]) == ("acme/pay", "local")
    (workflow,) = (await shown(gateway, f"/workflows?repository={repository['id']}"))["items"]
    assert (workflow["path"], workflow["name"], workflow["enabled"], workflow["run_number"]) == (".github/workflows/ci.yml", "ci", True, 1)
    assert (await get(gateway, f"/repositories/{repository['id']}")).json == repository
    answer = await get(gateway, f"/workflows/{workflow['id']}")
    assert (answer.json, answer.headers["ETag"]) == (workflow, f'"{workflow["version"]}"')
    assert (await get(gateway, f"/workflows/{repository['id']}")).json["code"] == "workflow_not_found"


async def test_the_audit_names_who_did_what_and_what_was_refused(gateway: Gateway) -> None:
    """Newest first, each with actor, type, target and command; refusals with their reason."""
    run = await ran(gateway)
    unknown = UUID(int=1)
    assert (await gateway.request("POST", f"/api/v1/runs/{unknown}/cancel")).status == 404
    entries = (await shown(gateway, "/audit?per_page=100"))["items"]
    assert [entry["position"] for entry in entries] == sorted((entry["position"] for entry in entries), reverse=True)
    (triggered,) = [entry for entry in entries if entry["type"] == "RunTriggered"]
    (cause,) = [entry for entry in entries if str(event_id(UUID(entry["stream"]), entry["version"])) == triggered["cause"]]
    assert triggered["target"] == str(run)
    assert cause["command"]
    assert triggered["actor"].startswith("admin-")
    (refused,) = [entry for entry in entries if entry["outcome"] == "refused"]
    assert (refused["action"], refused["target"], refused["code"]) == ("CancelRun", str(unknown), "run_not_found")
    assert "refused" in refused["summary"]
    assert [entry["type"] for entry in (await shown(gateway, "/audit?type=RunTriggered"))["items"]] == ["RunTriggered"]
    assert (await shown(gateway, "/audit?actor=nobody"))["items"] == []


async def test_the_views_tell_how_far_they_are(gateway: Gateway) -> None:
    """Name, position and lag of each; a view that does not exist cannot be rebuilt."""
    await ran(gateway)
    await shown(gateway, "/audit")
    found = (await get(gateway, "/projections")).json["items"]
    assert set(VIEWS) == {view["name"] for view in found}
    assert {view["lag"] for view in found} == {0}
    answer = await gateway.request("POST", "/api/v1/projections/nope/rebuild")
    assert (answer.status, answer.json["code"]) == (404, "projection_not_found")
