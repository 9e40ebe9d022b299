"""The OpenAPI document says all that a client has to know, and what is committed is what is served."""

import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs

from gateway.problems import MEDIA_TYPE
from tests.gateway.conftest import Gateway

GENERATOR = Path(__file__).parents[3] / "docs" / "generators" / "openapi.py"


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each operation by its method and path."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def contents(document: dict[str, Any], operation: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each body that the operation takes or gives, by what it is of."""
    if "requestBody" in operation:
        yield "request", operation["requestBody"]["content"]["application/json"]
    for status, answer in operation["responses"].items():
        shown = document["components"]["responses"][status] if "$ref" in answer else answer
        for kind, content in shown.get("content", {}).items():
            yield f"{status} {kind}", content


async def test_the_committed_document_is_the_served_one_and_whole(gateway: Gateway) -> None:
    """Every operation has a summary, an id of its own, examples that fit their schemas, and its errors as problems."""
    async with gateway.session.get(f"{gateway.url}/openapi.json") as response:
        served = await response.read()
        document = await response.json()
    generator = runpy.run_path(str(GENERATOR))
    assert generator["TARGET"].read_text() == generator["render"](served), "stale: run `make docs`"

    found = dict(operations(document))
    assert document["openapi"].startswith("3.1")
    assert len({operation["operationId"] for operation in found.values()}) == len(found)
    assert not any("default" in operation["responses"] for operation in found.values())
    for name, operation in found.items():
        assert operation["summary"], name
        assert all("example" in each or each["name"] == "cursor" for each in operation["parameters"]), name
        for place, content in contents(document, operation):
            assert "example" in content, (name, place)
            schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **content["schema"], "components": document["components"]}
            jsonschema_rs.validator_for(schema).validate(content["example"])
        problems = {status for status, answer in operation["responses"].items() if "$ref" in answer}
        assert problems >= ({"401", "403", "503"} if "security" not in operation else set()), name
    for status, answer in document["components"]["responses"].items():
        assert list(answer["content"]) == [MEDIA_TYPE], status
