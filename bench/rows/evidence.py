"""What is asked of the past: a run as it stood, why it stands so, the fold and the checker that both lean on.

Over HTTP, as a user asks: a server on a store of 1,000,000 events, most of them of ordinary runs, one run of 10,000 among
them, spread over half a million others. Every question is about another position or another run, so nothing is asked twice.
The fold and the checker are measured in the process, in processor time, on the bytes of the same runs.
"""

import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from uuid import UUID

from bench import history
from bench.harness import Figures, Goal, Row, Side, alternate, judge, percentile
from bench.http import Http
from bench.place import Place
from bench.server import up
from domain.invariants import check
from infra import codec
from infra.append_call import StoredRow
from projections.fold import Folder
from projections.state import run_state
from projections.status import STATUS

EVENTS = 1_000_000
FOLDED_EVENTS = 50_000
ASKED = 100
"""Questions of one kind in each round."""
AMONG = f"{EVENTS:,} events in the store"
GOALS = (
    Goal(id="fold", case="decode and fold the status view, in process", unit="ev/s", must=300_000, figure="status"),
    Goal(id="fold", case="decode and fold the state of a 10,000-event run", unit="ev/s", must=300_000, figure="state"),
    Goal(id="check", case="all invariants of a log of 10,000 events", unit="ev/s", must=100_000, figure="check"),
    Goal(id="state-at", case="state at any position of a 10,000-event run, p99", unit="ms", must=200, better="less", figure="state"),
    Goal(id="why", case=f"why of ordinary runs, {AMONG}, p99", unit="ms", must=50, better="less", figure="why"),
    Goal(id="why", case=f"why of a 10,000-event run, {AMONG}, p99", unit="ms", must=50, better="less", figure="why-large"),
)


async def measure(place: Place) -> AsyncIterator[Row]:
    """First what needs no server, then the routes."""
    small = await history.record(place.database(), place.directory / "small")
    large = await history.record(place.database(), place.directory / "large", history.LARGE)
    sides: dict[str, Side] = {"ours": lambda: _in_process(small, large)}
    if place.ids & {"fold", "check"}:
        rounds = await alternate(sides, place.probe)
        for goal in GOALS[:3]:
            yield judge(goal, rounds)
    if not place.ids & {"state-at", "why"}:
        return
    url = place.database()
    async with up(place.directory / "data", "--no-runner", "--database-url", url) as server:
        runs = history.pour(url, small, EVENTS, large)
        await server.views_reach_head()
        http = Http(server.url, server.token)
        try:
            rounds = await alternate({"ours": lambda: _asked(http, place.ids, runs, large)}, place.probe)
        finally:
            http.close()
    for goal in GOALS[3:]:
        if goal.id in place.ids:
            yield judge(goal, rounds)


async def _in_process(small: Sequence[StoredRow], large: Sequence[StoredRow]) -> Figures:
    log = codec.events(large)
    copies = FOLDED_EVENTS // len(small)
    return {
        "status": len(small) * copies / _seconds(lambda: [_status(small) for _ in range(copies)]),
        "state": len(large) / _seconds(lambda: run_state(codec.events(large))),
        "check": len(log) / _seconds(lambda: _sound(check(log))),
    }


def _status(rows: Sequence[StoredRow]) -> None:
    folder = Folder(STATUS.tables, capacity=0)
    folder.run(codec.events(rows))


def _sound(breaches: Sequence[object]) -> None:
    if breaches:
        raise RuntimeError(f"the log of the benchmark is not sound: {breaches[0]}")


def _seconds(work: Callable[[], object]) -> float:
    before = time.process_time()
    work()
    return time.process_time() - before


async def _asked(http: Http, wanted: frozenset[str], runs: Sequence[UUID], large: Sequence[StoredRow]) -> Figures:
    run = next(row[1] for row in large if row[3].startswith("RunTriggered."))
    last = history.SIDE_BY_SIDE * len(large)
    figures = {}
    if "state-at" in wanted:
        figures["state"] = await _p99_ms(lambda: http.get(f"/api/v1/runs/{run}/state?at={random.randint(1, last)}"))
    if "why" in wanted:
        figures["why"] = await _p99_ms(lambda: http.get(f"/api/v1/runs/{random.choice(runs)}/why"))
        figures["why-large"] = await _p99_ms(lambda: http.get(f"/api/v1/runs/{run}/why"))
    return figures


async def _p99_ms(ask: Callable[[], Awaitable[object]]) -> float:
    taken = []
    for _ in range(ASKED):
        before = time.perf_counter()
        await ask()
        taken.append((time.perf_counter() - before) * 1e3)
    return percentile(taken, 0.99)
