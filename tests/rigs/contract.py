"""schemathesis against a real gateway: every operation of its OpenAPI document, with all checks."""

import asyncio
import sys
from pathlib import Path

from tests.gateway.conftest import Gateway

SCHEMATHESIS = Path(sys.executable).with_name("schemathesis")

ENDLESS = ("/api/v1/events/stream", "/api/v1/stream", "/runner/v1/acquire")
"""What answers only when something happens; the tests of streams and of acquire hold these to their words."""

CONFIGURATION = """\
headers = {{ Authorization = "Bearer {admin}" }}
request-timeout = 20
generation.deterministic = true
# NUL is refused everywhere (400), which no schema can say: test_contract.py asks for it.
generation.allow-x00 = false
continue-on-failure = true
# A position that the log has not reached is waited for, two seconds: another test's matter.
parameters = {{ "query.at_least" = 0 }}

[checks.positive_data_acceptance]
# 412: the version of an example is not always the one of the moment. 422: a text that fits its schema may hold a broken
# workflow file, a policy that nobody can read, a cursor of another list.
expected-statuses = ["2xx", "401", "403", "404", "409", "412", "422"]

[[operations]]
include-path-regex = "^/runner/"
headers = {{ Authorization = "Bearer {runner}" }}
"""


async def held(gateway: Gateway, place: Path, *options: str) -> tuple[int, str]:
    """Hold a gateway to its own document; the exit code of schemathesis (0: it keeps all of it) and what it said."""
    configuration = place / "schemathesis.toml"
    configuration.write_text(CONFIGURATION.format(**gateway.tokens))
    process = await asyncio.create_subprocess_exec(
        str(SCHEMATHESIS),
        f"--config-file={configuration}",
        "run",
        f"{gateway.url}/openapi.json",
        "--checks=all",
        "--no-color",
        *(f"--exclude-path={path}" for path in ENDLESS),
        *options,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=place,
    )
    said, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode()
