"""Ten workflows with schedules and three servers on one store whose clock is stepped: each time is fired once."""

import contextlib
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from domain.cron_times import times
from tests.rigs import store_clock
from tests.rigs.api import Api
from tests.rigs.parts import Nats, Role
from tests.rigs.ports import free_port
from tests.rigs.runs import until

START = datetime(2026, 10, 25, 0, 2, tzinfo=UTC)
"""Berlin's clock goes back an hour later."""
STEPS = 5
STEP = timedelta(minutes=30)
"""No line below has a time in the first three minutes after a step: so long the clock may go on while a step is seen to."""

LINES = (
    ("*/10 * * * *", "UTC"),
    ("0 * * * *", "UTC"),
    ("5,50 * * * *", "America/New_York"),
    ("30 2 * * *", "Europe/Berlin"),
    ("30 * * * *", "Europe/Berlin"),
    ("0 */2 * * *", "Europe/Berlin"),
    ("15 1-3 * * 0", "UTC"),
    ("45 13 25 10 *", "Australia/Lord_Howe"),
    ("1-59/7 1 * * *", "UTC"),
    ("0 0 31 2 *", "UTC"),
)


class Server(Role):
    """A whole server but for the database, whose reading of the clock is quick."""

    def command(self, point: str | None, nth: int) -> list[str]:
        """See tests.rigs.store_clock."""
        super().command(point, nth)
        return [sys.executable, "-m", "tests.rigs.store_clock", *self._arguments]


def wanted() -> Counter[tuple[str, datetime]]:
    """What fires, and how often: of each line, of the times within one step the latest."""
    found: Counter[tuple[str, datetime]] = Counter()
    for number, (line, timezone) in enumerate(LINES):
        for step in range(STEPS):
            after = START + step * STEP
            within = [at for at, _ in zip(times(line, timezone, after), range(60), strict=False) if at <= after + STEP]
            found.update((f"w{number}.yml", at) for at in within[-1:])
    return found


@pytest.mark.timeout(180)
def test_ten_cron_workflows_and_three_servers_fire_each_time_once(short_path: Path, empty_postgres_url: str) -> None:
    """The clock is stepped over two hours and a half, and one of the servers dies in the midst; what fires is what cron says."""
    with contextlib.ExitStack() as stack:
        database = stack.enter_context(psycopg.connect(empty_postgres_url, autocommit=True))
        store_clock.install(database, START)
        nats = Nats(short_path)
        stack.callback(nats.kill)
        nats.start()
        servers, apis = [], []
        for name in ("one", "two", "three"):
            (data := short_path / name / "data").mkdir(parents=True, mode=0o700)
            (short_path / "blobs").mkdir(exist_ok=True)
            (data / "blobs").symlink_to(short_path / "blobs")
            port = free_port()
            servers.append(Server("all", short_path / name, empty_postgres_url, nats.url, port))
            apis.append(Api(data, f"http://127.0.0.1:{port}"))
            stack.callback(servers[-1].kill)
        with ThreadPoolExecutor(3) as threads:
            list(threads.map(Server.start, servers))
        for number, (line, timezone) in enumerate(LINES):
            text = f"on: {{schedule: [{{cron: '{line}', timezone: {timezone}}}]}}\njobs: {{a: {{runs-on: x, steps: [{{run: a}}]}}}}\n"
            body = {"repository": f"acme/p{number}", "path": f"w{number}.yml", "yaml": text}
            apis[number % 3].call("POST", "/api/v1/workflows", body)
        _seen_to(database, START)
        for step in range(1, STEPS + 1):
            store_clock.step(database, START + step * STEP)
            if step == STEPS // 2:
                servers[1].kill()
            _seen_to(database, START + step * STEP)
        fired, runs = _what_happened(database)
    assert fired == wanted()
    assert fired.total() > 15
    assert runs == fired.total()


def _seen_to(database: "psycopg.Connection[tuple[Any, ...]]", now: datetime) -> None:
    """Until every schedule is known and none is due."""

    def seen_to() -> bool:
        if database.execute("SELECT to_regclass('views.schedules')").fetchone() == (None,):
            return False
        rows = database.execute("SELECT count(*), count(*) FILTER (WHERE due_at <= %s) FROM views.schedules", (now,)).fetchone()
        return rows == (len(LINES), 0)

    until(seen_to, 60, f"all times up to {now} are seen to", lambda: str(database.execute("SELECT * FROM views.schedules").fetchall()))


def _what_happened(database: "psycopg.Connection[tuple[Any, ...]]") -> tuple[Counter[tuple[str, datetime]], int]:
    """How often each time of each workflow was fired, and how many runs there are."""
    rows = database.execute(
        "SELECT fired #>> '{entry,workflow}', (fired ->> 'at')::timestamptz"
        " FROM events_json, jsonb_array_elements(data -> 'fired') AS fired WHERE type = 'ScheduleAdvanced'"
    ).fetchall()
    counted = database.execute("SELECT count(DISTINCT stream) FROM events_json WHERE type = 'RunTriggered'").fetchone()
    assert counted is not None
    return Counter((workflow, at.astimezone(UTC)) for workflow, at in rows), counted[0]
