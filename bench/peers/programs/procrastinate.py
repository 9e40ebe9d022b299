"""procrastinate: jobs that do nothing, claimed, run and completed by one worker with 20 at a time. Queueing is not counted."""

import asyncio
import sys
import time

import procrastinate

AT_A_TIME = 20
BATCH = 500
app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=sys.argv[1]))


@app.task(name="job", queue="jobs")
async def job() -> None:
    return


async def main() -> None:
    async with app.open_async():
        await app.schema_manager.apply_schema_async()
        print("ready", flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            for begin in range(0, int(line), BATCH):
                await job.batch_defer_async(*[{} for _ in range(min(BATCH, int(line) - begin))])
            before = time.perf_counter()
            await app.run_worker_async(concurrency=AT_A_TIME, wait=False, install_signal_handlers=False)
            print(int(line) / (time.perf_counter() - before), flush=True)


asyncio.run(main())
