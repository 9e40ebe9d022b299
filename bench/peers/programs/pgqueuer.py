"""pgqueuer: jobs that do nothing, claimed and run in batches of 100, its faster setting. Queueing is not counted."""

import asyncio
import sys
import time

import psycopg
from pgqueuer.adapters.drivers.psycopg import PsycopgDriver
from pgqueuer.qm import QueueManager
from pgqueuer.queries import Queries

BATCH = 100
QUEUED_AT_ONCE = 500


async def connected() -> PsycopgDriver:
    return PsycopgDriver(await psycopg.AsyncConnection.connect(sys.argv[1], autocommit=True))


async def main() -> None:
    queries = Queries(await connected())
    await queries.install()
    done, wanted, ended = 0, 0, asyncio.Event()

    async def put(jobs: int) -> float:
        """Queue them, then start a worker; the rate from its first job to its last."""
        nonlocal done, wanted
        done, wanted, began = 0, jobs, 0.0
        ended.clear()
        for begin in range(0, jobs, QUEUED_AT_ONCE):
            size = min(QUEUED_AT_ONCE, jobs - begin)
            await queries.enqueue(["job"] * size, [None] * size, [0] * size)
        manager = QueueManager(Queries(await connected()))

        @manager.entrypoint("job")
        async def job(_: object) -> None:
            nonlocal done, began
            began = began or time.perf_counter()
            done += 1
            if done == wanted:
                ended.set()

        worker = asyncio.create_task(manager.run(batch_size=BATCH))
        await ended.wait()
        rate = jobs / (time.perf_counter() - began)
        manager.shutdown.set()
        await worker
        return rate

    print("ready", flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        print(await put(int(line)), flush=True)


asyncio.run(main())
