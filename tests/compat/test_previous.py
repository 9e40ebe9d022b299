"""An upgrade while work goes on: the previous release and this one on one database, replaced part by part.

The order is that of docs/how-to/upgrade.md: projector, reconciler and relay first, then the gateways, runners at any time.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from infra.embedded.supervisor import Embedded
from tests.rigs.api import Api
from tests.rigs.crash import check
from tests.rigs.parts import Nats, Role, Runner
from tests.rigs.ports import free_port
from tests.rigs.runs import send, story, succeed, until
from tests.rigs.server import LEDGERMILL

BEHIND = ("projector", "reconciler", "relay")


class System:
    """The parts of a server and one runner, each of the previous release or of this one."""

    def __init__(self, root: Path, database_url: str) -> None:
        (root / "data").mkdir(mode=0o700)
        self.root = root
        self.database_url = database_url
        self.port = free_port()
        self.nats = Nats(root)
        self.api = Api(root / "data", f"http://127.0.0.1:{self.port}")
        self.parts: dict[str, Role | Runner] = {}

    def start(self, programs: Path, *names: str) -> None:
        """Start these parts, of the release whose programs these are, in place of the ones that ran before.

        Those are killed, not told to end: a gateway of 0.1.0 that ends answers 500 to open polls, at which its runners end.
        """
        for name in names:
            if name in self.parts:
                self.parts[name].kill()
            if name == "runner":
                self.parts[name] = Runner(self.api, self.root, self.database_url, str(programs / "python"))
            else:
                self.parts[name] = Role(name, self.root, self.database_url, self.nats.url, self.port, program=programs / "ledgermill")
            self.parts[name].start()

    def told(self, run: str, what: str) -> list[Any]:
        """One member of each job of a run."""
        return [job[what] for job in self.api.call("GET", f"/api/v1/runs/{run}/jobs")["items"]]

    def in_progress(self, run: str) -> None:
        """Wait until a run's job has begun: one that was handed to a gateway which dies before it is handed on is tried again."""
        until(lambda: None not in self.told(run, "started_at"), 30, "the job runs")


@pytest.fixture
def system(short_path: Path) -> Iterator[System]:
    """Nothing runs yet but Postgres and NATS."""
    database = Embedded.start(short_path / "db", nats=False)
    made = System(short_path, database.database_url)
    made.nats.start()
    yield made
    for part in (*made.parts.values(), made.nats):
        part.kill()
    database.stop()


@pytest.mark.timeout(900)
def test_a_server_is_upgraded_part_by_part_while_jobs_run(previous: Path, system: System) -> None:
    """Nothing acknowledged is lost, each job ends in its first attempt, and the views of this release are the fold of all."""
    this = LEDGERMILL.parent
    system.start(previous, *BEHIND, "gateway", "runner")
    runs = [send(system.api, f"before-{number}") for number in range(3)]
    succeed(system.api, runs)

    across = send(system.api, "across-the-views", seconds=5)
    system.in_progress(across)
    system.start(this, *BEHIND)
    during = [send(system.api, f"during-{number}") for number in range(3)]
    succeed(system.api, [across, *during])
    system.start(previous, "gateway")
    again = send(system.api, "gateway-started-anew")
    succeed(system.api, [again])

    over = send(system.api, "across-the-gateways", seconds=5)
    system.in_progress(over)
    system.start(this, "gateway")
    after = [send(system.api, f"after-{number}") for number in range(3)]
    succeed(system.api, [over, *after])
    system.start(this, "runner")
    last = send(system.api, "last")
    succeed(system.api, [last])

    for run in (*runs, across, *during, again, over, *after, last):
        assert system.told(run, "attempt") == [1], story(system.api, run)
    assert check(system.api) == []


@pytest.mark.timeout(900)
def test_a_gateway_waits_for_the_views_that_it_reads(previous: Path, system: System) -> None:
    """Beside a projector of the previous release it serves nothing wrong; when that one is replaced it begins."""
    system.start(previous, *BEHIND, "gateway", "runner")
    succeed(system.api, [send(system.api, "before")])
    waiting = Role("gateway", system.root, system.database_url, system.nats.url, free_port())
    with ThreadPoolExecutor(1) as thread:
        started = thread.submit(waiting.start)
        try:
            log = system.root / "data" / "logs" / "server.log"
            until(lambda: "views are of an earlier version" in log.read_text(), 30, "the gateway says what it waits for")
            assert not started.done()
            system.start(LEDGERMILL.parent, *BEHIND)
            started.result(60)
        finally:
            waiting.kill()
