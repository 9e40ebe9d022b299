"""Writes the OpenAPI document, docs/reference/openapi.json, as a gateway on an empty store serves it."""

import asyncio
import sys
import tempfile
from pathlib import Path
from typing import Any

import msgspec

from gateway import wiring
from infra.embedded.supervisor import Embedded
from infra.settings import Settings

TARGET = Path(__file__).parent.parent / "reference" / "openapi.json"


def render(served: bytes) -> str:
    """The document as it is committed."""
    return msgspec.json.format(served, indent=1).decode() + "\n"


async def served(data: Path, database_url: str) -> bytes:
    """What `GET /openapi.json` answers."""
    body = bytearray()

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        body.extend(message.get("body", b""))

    async with wiring.system(Settings(data=data), wiring.Places(database_url, None, ""), ("gateway",)) as system:
        assert system.app is not None, "the gateway is among the roles"  # noqa: S101 - a fact
        scope = {"type": "http", "method": "GET", "path": "/openapi.json", "query_string": b"", "headers": [], "root_path": ""}
        await system.app(scope, receive, send)
    return bytes(body)


def main() -> None:
    """Start, ask, write, stop."""
    with tempfile.TemporaryDirectory() as place:
        embedded = Embedded.start(Path(place) / "data", nats=False)
        try:
            TARGET.write_text(render(asyncio.run(served(Path(place) / "data", embedded.database_url))))
        finally:
            embedded.stop()
    sys.stdout.write(f"wrote {TARGET.name}\n")


if __name__ == "__main__":
    main()
