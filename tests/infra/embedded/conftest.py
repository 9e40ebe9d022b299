"""What the tests of the embedded servers share: a data directory, and clients that write and count."""

import asyncio
import importlib.util
from pathlib import Path
from types import ModuleType

import nats
import psycopg
import pytest


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data directory that does not exist yet; pytest's own directory above it has mode 0700."""
    return tmp_path / "state" / "ledgermill"


@pytest.fixture(scope="session")
def owners() -> ModuleType:
    """The module owner_process.py; tests are no package, so it is loaded by its place."""
    spec = importlib.util.spec_from_file_location("owner_process", Path(__file__).with_name("owner_process.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Clients:
    """Adds one row and one message, and says how many there are then."""

    def add_row(self, database_url: str) -> int:
        with psycopg.connect(database_url, connect_timeout=10) as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS kept (n int)")
            connection.execute("INSERT INTO kept VALUES (1)")
            return connection.execute("SELECT count(*) FROM kept").fetchone()[0]

    def add_message(self, nats_url: str) -> int:
        async def add() -> int:
            client = await nats.connect(nats_url, allow_reconnect=False)
            try:
                stream = client.jetstream()
                await stream.add_stream(name="kept", subjects=["kept"])
                return (await stream.publish("kept", b"")).seq
            finally:
                await client.close()

        return asyncio.run(add())


@pytest.fixture(scope="session")
def clients() -> Clients:
    """See Clients."""
    return Clients()
