"""The gateway keeps its OpenAPI document: no answer that is not described, no 5xx, whatever is sent."""

from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from tests.gateway.conftest import Gateway
from tests.rigs.contract import held


async def seeded(gateway: Gateway) -> None:
    """A run with a job that is done, so that ids lead somewhere."""
    await gateway.run()
    runner = await gateway.runner()
    await runner.work(await runner.acquire())


async def test_the_examples_of_the_document_are_answered_as_it_says(gateway: Gateway, tmp_path: Path) -> None:
    """Each operation with its example: every check of schemathesis."""
    await seeded(gateway)
    code, said = await held(gateway, tmp_path, "--phases=examples")
    assert code == 0, said


@pytest.mark.campaign
@pytest.mark.timeout(7200)
async def test_no_request_gets_an_answer_that_the_document_does_not_describe(gateway: Gateway, tmp_path: Path) -> None:
    """At the borders of every schema, at random, and in sequences."""
    await seeded(gateway)
    code, said = await held(gateway, tmp_path, "--phases=examples,coverage,fuzzing,stateful", "--max-examples=50")
    assert code == 0, said


NOWHERE = UUID(int=7)


MISFITS: tuple[tuple[bytes, int, Any], ...] = (
    (b'{"reason": 7}', 422, {"pointer": "/reason", "message": "Expected `str`, got `int`"}),
    (b'{"force":\n x}', 400, {"pointer": "", "line": 2, "column": 2, "message": "JSON is malformed: invalid character"}),
    (b'{"reason": "\xff"}', 400, {"pointer": "", "line": 1, "column": 13, "message": "invalid start byte"}),
    (b"[]", 422, {"pointer": "", "message": "Expected `object`, got `array`"}),
)


async def test_a_body_that_does_not_fit_is_answered_with_the_place(gateway: Gateway) -> None:
    """A pointer into the JSON, or line and column of what is none."""
    for body, status, place in MISFITS:
        answer = await gateway.request("POST", f"/api/v1/runs/{NOWHERE}/cancel", body)
        assert (answer.status, answer.headers["Content-Type"], answer.json["errors"]) == (status, "application/problem+json", [place])


async def test_what_is_out_of_bounds_is_refused_and_never_an_error_of_the_server(gateway: Gateway) -> None:
    """Numbers that no table holds, NUL, JSON nested without end, an empty key."""
    run = await gateway.run()
    huge = "9" * 5000
    for path, status in (
        (f"/api/v1/runs/{run}/stream?after={huge}", 422),
        (f"/api/v1/events?after={huge}", 422),
        (f"/api/v1/runs?at_least={2**63}", 422),
        (f"/api/v1/runs/{run}/attempts/{2**31}", 422),
        ("/api/v1/runs?branch=%00", 400),
        ("/api/v1/runs/%00", 400),
    ):
        answer = await gateway.request("GET", path)
        assert (answer.status, answer.headers["Content-Type"]) == (status, "application/problem+json"), path
    nested = b'{"payload": ' + b'{"a":' * 5000 + b"1" + b"}" * 5001
    assert (await gateway.request("POST", "/api/v1/runs", nested)).status == 400
    assert (await gateway.request("POST", f"/api/v1/runs/{run}/cancel", {}, Idempotency_Key="a b")).json["code"] == "bad_idempotency_key"


async def test_a_path_tells_its_methods(gateway: Gateway) -> None:
    """405 with Allow over both kinds of routes; 404 where it is the id that is wrong."""
    answer = await gateway.request("PUT", "/api/v1/runs")
    assert (answer.status, answer.headers["Allow"], answer.json["code"]) == (405, "GET, POST", "method_not_allowed")
    answer = await gateway.request("GET", "/runner/v1/register")
    assert (answer.status, answer.headers["Allow"]) == (405, "POST")
    answer = await gateway.request("PATCH", "/api/v1/workflows/validate", {})
    assert (answer.status, answer.headers["Allow"]) == (405, "POST")
    answer = await gateway.request("GET", "/api/v1/workflows/validate")
    assert (answer.status, answer.headers["Allow"]) == (405, "POST")
    assert (await gateway.request("PATCH", "/api/v1/workflows/nobody", {"enabled": True})).status == 404


async def test_the_id_of_something_else_is_not_found(gateway: Gateway) -> None:
    """A runner's id where a run or a job is meant: 404, and no stream that waits for ever."""
    await gateway.run()
    runner = (await gateway.runner()).id
    for method, path in (
        ("POST", f"runs/{runner}/cancel"),
        ("POST", f"runs/{runner}/rerun"),
        ("POST", f"jobs/{runner}/rerun"),
        ("GET", f"runs/{runner}/stream"),
        ("GET", f"runs/{runner}/events"),
        ("GET", f"runs/{runner}/state"),
        ("GET", f"jobs/{runner}/logs/stream"),
        ("GET", f"jobs/{runner}/events"),
    ):
        answer = await gateway.request(method, f"/api/v1/{path}")
        assert (answer.status, answer.json["code"]) == (404, f"{path[:3]}_not_found"), path
