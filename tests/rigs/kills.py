"""The kill campaign: each part of a server alone, again and again, at random moments and at named points, under load.

    python -m tests.rigs.kills --kills 200 --seed 1

Gateway, relay, projector, reconciler, runner, Postgres and NATS are processes of their own (tests.rigs.parts). Each is
killed with SIGKILL `--kills` times, by turns at a random moment and at each of its named points (tests.rigs.kill_points),
and started again at once; all seven at the same time, so that several may be away together. Meanwhile runs are triggered,
each command twice with one key, its acknowledgements kept in an fsynced journal. At the end: nothing acknowledged is
lost, no key led to two runs, no job is stuck, every run succeeded, the invariants hold, every view equals its fold.
"""

import argparse
import itertools
import random
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from tests.rigs.api import Api
from tests.rigs.crash import Journal, Load, settle
from tests.rigs.parts import Nats, Part, Postgres, Role, Runner
from tests.rigs.ports import free_port

RANDOM_SECONDS = (1.0, 9.0)
ARMED_SECONDS_MAX = 9.0
"""How long a part may take to pass its named point; then it is killed where it is."""
NTH_MAX = 25
RUNS_PER_SECOND = 2.0


class Kill(msgspec.Struct, frozen=True):
    """One death. point: the named point, None for a random moment; recovery_seconds: from the death until it serves again."""

    part: str
    point: str | None
    recovery_seconds: float


class Reaper(threading.Thread):
    """Kills one part `kills` times and starts it again each time."""

    def __init__(self, part: Part, kills: int, chance: random.Random, on_kill: "list[Kill]") -> None:
        super().__init__(name=f"reaper of {part.name}", daemon=True)
        self._part = part
        self._kills = kills
        self._chance = chance
        self._deaths = on_kill
        self.ending = threading.Event()
        self.failure: Exception | None = None

    def run(self) -> None:
        """Until all kills are done; afterwards the part lives."""
        try:
            turns = itertools.cycle((*self._part.points, None))
            self._part.kill()
            died, point = time.monotonic(), None
            for number in range(self._kills):
                last = number == self._kills - 1 or self.ending.is_set()
                armed = None if last else next(turns)
                self._part.start(armed, self._chance.randint(1, NTH_MAX))
                self._deaths.append(Kill(self._part.name, point, time.monotonic() - died))
                if last:
                    return
                point = armed if self._part.ended(ARMED_SECONDS_MAX if armed else self._chance.uniform(*RANDOM_SECONDS)) else None
                if point is None:
                    self._part.kill()
                died = time.monotonic()
        except Exception as error:  # noqa: BLE001 - shown at the end, as a problem
            self.failure = error

    def revive(self) -> None:
        """Start the part once more after a failure, so that the last look finds a whole server."""
        self._part.kill()
        self._part.start()


def verdict(reapers: Sequence[Reaper], look: Callable[[], list[str]]) -> list[str]:
    """The problems: those of the reapers, and what the last look finds. Neither hides the other."""
    problems = []
    for reaper in (each for each in reapers if each.failure is not None):
        problems.append(f"{reaper.name}: {reaper.failure!r}")
        try:
            reaper.revive()
        except Exception as error:  # noqa: BLE001 - shown at the end, as a problem
            problems.append(f"{reaper.name}: its part does not start again: {error!r}")
    try:
        return problems + look()
    except Exception as error:  # noqa: BLE001 - as above
        return [*problems, f"the last look failed: {error!r}"]


def campaign(kills: int, seed: int, root: Path) -> dict[str, Any]:
    """Run it; returns the figures. `problems` is empty when nothing was lost, doubled or stuck."""
    chance = random.Random(seed)
    port = free_port()
    (root / "data").mkdir(mode=0o700)
    api = Api(root / "data", f"http://127.0.0.1:{port}")
    postgres, nats = Postgres(root / "servers"), Nats(root)
    started: list[Part] = []
    journal = Journal(root / "journal")
    load = Load(api, journal, runs_per_second=RUNS_PER_SECOND)
    deaths: list[Kill] = []
    reapers: list[Reaper] = []
    try:
        for part in (postgres, nats):
            started.append(part)
            part.start()
        roles = [Role(role, root, postgres.url, nats.url, port) for role in ("gateway", "relay", "projector", "reconciler")]
        for part in (*roles, Runner(api, root, postgres.url)):
            started.append(part)
            part.start()
        load.start()
        reapers = [Reaper(part, kills, random.Random(chance.random()), deaths) for part in started]
        for reaper in reapers:
            reaper.start()
        for reaper in reapers:
            reaper.join()

        def look() -> list[str]:
            load.finish()
            return settle(api, journal)

        problems = verdict(reapers, look)
    finally:
        for reaper in reapers:
            reaper.ending.set()
        for reaper in reapers:
            reaper.join()
        for part in reversed(started):
            part.kill()
        journal.close()
    return {"seed": seed, "sent": load.sent, "acknowledged": len(journal.acknowledged), "deaths": deaths, "problems": problems}


def table(deaths: list[Kill]) -> list[str]:
    """Rows: part and point, how often, recovery p50 and p99 in seconds."""
    rows = [f"{'part':<12}{'point':<40}{'N':>6}{'p50 s':>8}{'p99 s':>8}"]
    for part, point in sorted({(each.part, each.point or "") for each in deaths}):
        took = sorted(each.recovery_seconds for each in deaths if (each.part, each.point or "") == (part, point))
        rows.append(
            f"{part:<12}{point or 'a random moment':<40}{len(took):>6}{took[len(took) // 2]:>8.2f}{took[int(len(took) * 0.99)]:>8.2f}"
        )
    return rows


def main() -> None:
    """The campaign from the command line."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--kills", type=int, default=200)
    arguments.add_argument("--seed", type=int, default=1)
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory(prefix="lm") as directory:
        Path(directory).chmod(0o711)  # the embedded Postgres runs as another user when this is root
        figures = campaign(given.kills, given.seed, Path(directory))
    for line in table(figures.pop("deaths")):
        print(line)  # noqa: T201 - the table is the point
    for name, value in figures.items():
        print(f"{name:>18}  {value}")  # noqa: T201 - as above
    sys.exit(1 if figures["problems"] else 0)


if __name__ == "__main__":
    main()
