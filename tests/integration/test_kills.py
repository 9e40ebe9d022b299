"""The short form of the kill campaign (`make campaign` runs the whole one), and a proof that its last look sees anything."""

import random
from pathlib import Path

import psycopg
import pytest

from infra.embedded.supervisor import Embedded
from tests.rigs.crash import check, start_runner
from tests.rigs.kills import Reaper, campaign, verdict
from tests.rigs.parts import Part
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


class Frail(Part):
    """A part that fails at the start with this number, and at each one after it where it is dead for good."""

    def __init__(self, fails_at: int, *, for_good: bool = False) -> None:
        super().__init__("frail")
        self.fails_at = fails_at
        self.for_good = for_good
        self.starts = 0
        self.alive = False

    def start(self, point: str | None = None, nth: int = 1) -> None:
        del point, nth
        self.starts += 1
        assert self.starts < self.fails_at or (self.starts > self.fails_at and not self.for_good), "it did not get ready"
        self.alive = True

    def kill(self) -> None:
        self.alive = False

    def ended(self, seconds: float) -> bool:
        del seconds
        return False


@pytest.mark.parametrize("for_good", [False, True])
def test_a_reaper_that_fails_does_not_spare_the_last_look(*, for_good: bool) -> None:
    """Its part is started again, the look is taken, and what both found is told; also where the look itself fails."""
    part = Frail(2, for_good=for_good)
    reaper = Reaper(part, 5, random.Random(1), [])
    reaper.run()
    seen: list[bool] = []

    def look() -> list[str]:
        seen.append(part.alive)
        if for_good:
            raise TimeoutError("the gateway does not answer")
        return ["lost: push-1"]

    problems = verdict([reaper], look)
    assert seen == [not for_good]
    told = (
        ["it did not get ready", "does not start again", "the last look failed"] if for_good else ["it did not get ready", "lost: push-1"]
    )
    assert len(problems) == len(told)
    assert all(words in problem for words, problem in zip(told, problems, strict=True))
