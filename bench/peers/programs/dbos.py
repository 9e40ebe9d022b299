"""DBOS: workflows of five durable steps that do nothing, from eight threads, which is its fastest way here."""

import sys
import time
from concurrent.futures import ThreadPoolExecutor

from dbos import DBOS

THREADS = 8
DBOS(
    config={
        "name": "peer",
        "system_database_url": sys.argv[1].replace("postgresql://", "postgresql+psycopg://"),
        "sys_db_pool_size": 20,
        "log_level": "ERROR",
        "run_admin_server": False,
    }
)


@DBOS.step()
def step(number: int) -> int:
    return number


@DBOS.workflow()
def job() -> int:
    return sum(step(number) for number in range(5))


DBOS.launch()
job()
print("ready", flush=True)
for line in sys.stdin:
    before = time.perf_counter()
    with ThreadPoolExecutor(THREADS) as threads:
        done = list(threads.map(lambda _: job(), range(int(line))))
    print(len(done) / (time.perf_counter() - before), flush=True)
