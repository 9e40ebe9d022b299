"""What is asked of the past: a run as it stood, why it stands so, the fold and the checker that both lean on.

Over HTTP, as a user asks: a server on a store of 1,000,000 events, most of them of ordinary runs, one run of 10,000 among
the last of them. Every question is about another position or another run. The views hold the last part of the log only:
to make the rows of all of it takes longer than all rows here, and what is asked for is read from the log. The fold and the
checker are measured in the process, on the bytes of the same runs, the best of a few in processor time: what a busy
machine adds is no part of them.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from uuid import UUID

import msgspec

from bench import history
from bench.harness import Figures, Goal, Row, Side, alternate, judge, percentile
from bench.http import Http
from bench.place import Place
from bench.server import Server, up
from commands import deliveries, reactor
from domain.invariants import check
from infra import codec
from infra.append_call import StoredRow
from infra.connections import connect, session_name
from infra.event_store import PostgresEventStore
from projections import positions
from projections.catalogue import VIEWS
from projections.fold import Folder
from projections.state import run_state
from projections.status import STATUS

EVENTS = 1_000_000
LAST_EVENTS = 60_000
TIMES = 10
REST_SECONDS = 2.0
ASKED = 100
"""Questions of one kind in each round."""
AMONG = f"{EVENTS:,} events in the store"
GOALS = (
    Goal(id="fold", case="decode and fold the status view, 10,000 events", unit="ev/s", must=300_000, figure="status"),
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
    sides: dict[str, Side] = {"ours": lambda: _in_process(large)}
    if place.ids & {"fold", "check"}:
        rounds = await alternate(sides, place.probe)
        for goal in GOALS[:3]:
            yield judge(goal, rounds)
    if not place.ids & {"state-at", "why"}:
        return
    url = place.database()
    runs = await _past(url, small)
    async with up(place.directory / "data", "--no-runner", "--database-url", url) as server:
        runs += history.pour(url, small, LAST_EVENTS, large)
        await server.views_reach_head()
        await _at_rest(server)
        http = Http(server.url, server.token)
        try:
            rounds = await alternate({"ours": lambda: _asked(http, place.ids, runs, large)}, place.probe)
        finally:
            http.close()
    for goal in GOALS[3:]:
        if goal.id in place.ids:
            yield judge(goal, rounds)


async def _past(url: str, small: Sequence[StoredRow]) -> list[UUID]:
    """Fill the store with what views and agents have behind them; the ids of its runs."""
    store = await PostgresEventStore.open(url)
    runs = history.pour(url, small, EVENTS - LAST_EVENTS)
    head = await store.head()
    await store.close()
    connection = await connect(url, session_name("bench"))
    await positions.prepare(connection, tuple(VIEWS.values()))
    await connection.execute("update views.view_positions set position = %s", (head,))
    for agent in (reactor.AGENT, deliveries.AGENT):
        await connection.execute("insert into public.tracking_0 (agent, position) values (%s, %s)", (agent, head))
    await connection.close()
    return runs


async def _at_rest(server: Server) -> None:
    """Return when nothing follows the log any more: the tree and the bridge have taken in what the store was filled with."""
    while True:
        before = server.cpu_seconds()
        await asyncio.sleep(REST_SECONDS)
        if server.cpu_seconds() - before < REST_SECONDS / 5:
            return


async def _in_process(large: Sequence[StoredRow]) -> Figures:
    log = codec.events(large)
    return {
        "status": len(large) / _seconds(lambda: _status(large)),
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
    taken = []
    for _ in range(TIMES):
        before = time.process_time()
        work()
        taken.append(time.process_time() - before)
    return min(taken)


async def _asked(http: Http, wanted: frozenset[str], runs: Sequence[UUID], large: Sequence[StoredRow]) -> Figures:
    run = next(row[1] for row in large if row[3].startswith("RunTriggered."))
    last = msgspec.json.decode(await http.get(f"/api/v1/runs/{run}/state"))["position"]
    first = last - (history.BETWEEN + 1) * len(large)
    figures = {}
    if "state-at" in wanted:
        figures["state"] = await _p99_ms(lambda: http.get(f"/api/v1/runs/{run}/state?at={random.randint(first, last)}"))
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
