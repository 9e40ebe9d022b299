"""What an old snapshot costs: jobs a second while a transaction has been open for a minute, against the same server before.

As long as the snapshot is there, no row version that was replaced or deleted since can be removed, whoever replaced it;
what claims a job, or moves the views, must not have to pass all of them. The load goes on while the snapshot grows old.
"""

import time
from collections.abc import AsyncIterator

import psycopg

from bench.harness import Goal, Round, Row, judge
from bench.place import Place
from bench.rows.job_life import JOBS, Load
from bench.server import up

AGE_SECONDS = 60
ROUNDS = 2
BEFORE = "the same before"
GOALS = (
    Goal(
        id="old-snapshot", case=f"whole jobs, {AGE_SECONDS} s under one old snapshot", unit="jobs/s", must=0.8, aim=0.95, reference=BEFORE
    ),
)


async def measure(place: Place) -> AsyncIterator[Row]:
    """Each round first without a snapshot, then under one, which ends with the round."""
    url = place.database()
    rounds = []
    async with up(place.directory / "data", "--no-runner", "--database-url", url) as server:
        load = Load(server)
        await load.start()
        try:
            await load.jobs(JOBS)
            for _ in range(ROUNDS):
                before = await load.jobs(JOBS)
                with psycopg.connect(url) as old:
                    old.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                    old.execute("SELECT count(*) FROM events_0")  # the snapshot is taken by the first look
                    opened = time.monotonic()
                    while time.monotonic() - opened < AGE_SECONDS:
                        await load.jobs(JOBS)
                    rounds.append(Round(place.probe(), {"ours": await load.jobs(JOBS), BEFORE: before}))
        finally:
            await load.stop()
    for goal in GOALS:
        yield judge(goal, rounds, f"{ROUNDS} rounds, because each takes more than a minute")
