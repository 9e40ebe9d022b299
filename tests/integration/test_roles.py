"""The roles of a server as processes of their own."""

from pathlib import Path

import pytest

from infra.embedded.supervisor import Embedded
from tests.rigs.api import Api
from tests.rigs.parts import Nats, Role
from tests.rigs.ports import free_port


@pytest.mark.timeout(120)
@pytest.mark.parametrize("role", ["gateway", "reconciler"])
def test_a_role_may_be_the_first_on_a_new_database(short_path: Path, role: str) -> None:
    """Neither needs the projector to have been there before: the views are empty, not missing."""
    database = Embedded.start(short_path / "db", nats=False)
    nats = Nats(short_path)
    port = free_port()
    part = Role(role, short_path, database.database_url, nats.url, port)
    try:
        (short_path / "data").mkdir(mode=0o700)
        nats.start()
        part.start()
        assert not part.ended(2)
        if role == "gateway":
            assert Api(short_path / "data", f"http://127.0.0.1:{port}").call("GET", "/api/v1/runners")["items"] == []
        said = (short_path / "data/logs/server.log").read_text()
        assert "Traceback" not in said, said
    finally:
        for each in (part, nats):
            each.kill()
        database.stop()
