"""The short form of the kill campaign (`make campaign` runs the whole one), and a proof that its last look sees anything."""

from pathlib import Path

import psycopg
import pytest

from infra.embedded.supervisor import Embedded
from tests.rigs.crash import check, start_runner
from tests.rigs.kills import campaign
from tests.rigs.ports import free_port
from tests.rigs.runs import send, succeed
from tests.rigs.server import Server


@pytest.mark.timeout(400)
def test_killing_each_part_at_its_named_points_loses_nothing(short_path: Path) -> None:
    """Each part is killed at a random moment and at each of its points; what was acknowledged ends in success, once."""
    figures = campaign(kills=3, seed=3, root=short_path)
    assert figures["problems"] == []
    assert figures["acknowledged"] == figures["sent"] > 0
    assert {each.point for each in figures["deaths"]} >= {"before the append", "after the append, before the answer", None}


@pytest.mark.timeout(120)
def test_the_last_look_names_a_changed_view_and_a_changed_log(short_path: Path) -> None:
    """A cell of a view and an event of the log are changed behind the server's back: each is a problem."""
    database = Embedded.start(short_path / "db", nats=False)
    server = Server(short_path / "data", free_port(), database_url=database.database_url)
    try:
        server.start()
        runner = start_runner(server, short_path / "work")
        try:
            succeed(server, [send(server, "one")])
        finally:
            runner.kill()
            runner.wait()
        assert check(server) == []
        with psycopg.connect(database.database_url, autocommit=True) as connection:
            connection.execute("UPDATE views.runs SET number = number + 7")
            assert any("a view is not its fold" in problem for problem in check(server))
            connection.execute("UPDATE views.runs SET number = number - 7")
            assert check(server) == []
            connection.execute("ALTER TABLE events_0 DISABLE TRIGGER USER")
            connection.execute("UPDATE events_0 SET originator_version = originator_version + 7 WHERE topic LIKE 'JobSucceeded%'")
            assert check(server) != []
    finally:
        server.kill()
        database.stop()
