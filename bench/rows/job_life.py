"""Jobs through HTTP, from the trigger of their run to its end, and what a job costs at a calm pace.

Each job is a run of its own: triggered, queued, acquired, started, five steps that do nothing, completed; about 17 events.
Simulated runners speak the runner protocol to `ledgermill up`; a step begins after the end of the one before it was
acknowledged, and the clock stops when every view shows the last event. Many jobs are in flight, as with the peers.
The peers' jobs have steps where the peer has steps, and their queueing does not count where they are queues.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from typing import Any

import msgspec

from bench.fleet import STEPS, Fleet
from bench.harness import Goal, Row, alternate, judge, without_reference
from bench.http import Http
from bench.peers import program, restate
from bench.peers.environment import PeerMissingError
from bench.place import Place
from bench.samples import run_request
from bench.server import Server, up

JOBS = 1500
SCRIPTS = ["'true'"] * STEPS
RUNNERS, SLOTS, TRIGGERS = 4, 24, 16
CALM_JOBS_A_SECOND, CALM_SECONDS = 200, 4
PEER_JOBS = {"DBOS": 300, "Restate": 1500, "procrastinate": 1500, "pgqueuer": 10_000}
SATURATED = "the same, saturated"
GOALS = (
    Goal(id="job-life-steps", case="durable steps, against DBOS", unit="steps/s", must=8, aim=15, figure="steps", reference="DBOS"),
    Goal(id="job-life-steps", case="durable steps, against Restate", unit="steps/s", must=1.2, aim=2, figure="steps", reference="Restate"),
    Goal(id="job-life-jobs", case="whole jobs, against procrastinate", unit="jobs/s", must=1, aim=1.5, reference="procrastinate"),
    Goal(id="job-life-jobs", case="whole jobs, against pgqueuer", unit="jobs/s", must=0.15, aim=0.3, reference="pgqueuer"),
    Goal(
        id="cpu-per-job",
        case=f"processor time a job, {CALM_JOBS_A_SECOND} jobs/s",
        unit="ms",
        must=3,
        aim=2,
        better="less",
        side="calm",
        figure="cpu",
        reference=SATURATED,
    ),
)


async def measure(place: Place) -> AsyncIterator[Row]:
    """All sides in turn; those that nobody asked for are left out."""
    goals = [goal for goal in GOALS if goal.id in place.ids]
    calm = any(goal.side == "calm" for goal in goals)
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(up(place.directory / "data", "--no-runner"))
        load = Load(server)
        stack.push_async_callback(load.stop)
        await load.start()
        sides: dict[str, Any] = {"ours": lambda: load.jobs(JOBS)}
        missing: dict[str, str] = {}
        for name in dict.fromkeys(goal.reference for goal in goals if goal.reference in PEER_JOBS):
            try:
                peer = await stack.enter_async_context(
                    restate.running(place) if name == "Restate" else program.running(place, name.lower())
                )
            except PeerMissingError as error:
                missing[name] = str(error)
            else:
                sides[name] = lambda peer=peer, jobs=PEER_JOBS[name]: _peer(peer, jobs)
        if calm:
            sides["calm"] = lambda: load.jobs(CALM_JOBS_A_SECOND * CALM_SECONDS, CALM_JOBS_A_SECOND)
        rounds = await alternate(sides, place.probe)
    rounds = [msgspec.structs.replace(each, figures={**each.figures, SATURATED: each.figures["ours"]}) for each in rounds]
    for goal in goals:
        reason = missing.get(goal.reference or "")
        yield without_reference(goal, rounds, reason) if reason else judge(goal, rounds)


async def _peer(peer: program.Program | restate.Restate, jobs: int) -> Mapping[str, float]:
    rate = await peer.rate(jobs)
    return {"rate": rate, "steps": STEPS * rate}


class Load:
    """Triggers and runners against one server."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._admin = Http(server.url, server.token)
        self._runner = Http(server.url, server.runner_token)
        self._fleet = Fleet(self._runner, RUNNERS, SLOTS)

    async def start(self) -> None:
        """Register the runners."""
        await self._fleet.start()

    async def stop(self) -> None:
        """Close all connections."""
        await self._fleet.stop()
        self._admin.close()
        self._runner.close()

    async def jobs(self, count: int, a_second: float = 0.0) -> Mapping[str, float]:
        """Put so many jobs through, as fast as they go or at a pace; jobs/s, steps/s, and milliseconds of processor time a job."""
        cpu, before = self._server.cpu_seconds(), time.perf_counter()
        ended = self._fleet.ended(count)
        numbers = iter(range(count))

        async def trigger() -> None:
            for number in numbers:
                if a_second:
                    await asyncio.sleep(before + number / a_second - time.perf_counter())
                await self._admin.post("/api/v1/runs", run_request(f"acme/pay-{number % TRIGGERS}", SCRIPTS))

        await asyncio.gather(*(trigger() for _ in range(TRIGGERS)))
        await ended
        await self._server.views_reach_head()
        rate = count / (time.perf_counter() - before)
        return {"rate": rate, "steps": STEPS * rate, "cpu": (self._server.cpu_seconds() - cpu) / count * 1e3}
