"""What a server imports, and when: everything that is ours while the embedded servers start."""

import subprocess
import sys
from pathlib import Path

PROGRAM = """
import asyncio, sys
from pathlib import Path
from gateway import wiring
from gateway.auth import ensure_tokens
from infra.settings import Settings

async def main(data, database_url, nats_url):
    ensure_tokens(data)
    wiring.load()
    assert "aiohttp" not in sys.modules, "it is there for tests alone"
    before = set(sys.modules)
    async with wiring.system(Settings(data=data), wiring.Places(database_url, nats_url, "http://127.0.0.1:1")):
        print(*sorted(set(sys.modules) - before))

asyncio.run(main(Path(sys.argv[1]), *sys.argv[2:]))
"""
OURS = ("commands", "domain", "fastapi", "gateway", "infra", "nats", "projections", "psycopg", "pydantic", "runner", "yaml")


def test_nothing_is_imported_once_the_servers_wait(tmp_path: Path, postgres_url: str, nats_url: str) -> None:
    """A module that is missing in `LOADED` would be imported between the servers' start and ours."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path), postgres_url, nats_url], capture_output=True, text=True, check=True, timeout=60
    )
    assert [name for name in done.stdout.split() if name.split(".")[0] in OURS] == []
