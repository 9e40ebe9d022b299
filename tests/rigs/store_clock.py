"""The clock of a database, in the hand of a test: what its sessions call `clock_timestamp()` can be stepped.

    python -m tests.rigs.store_clock serve all --database-url ...

A process of the server takes its time from the store, so whoever steps that steps all of them. Run like this, it reads
the store's time, and looks which schedules are due, every hundredth of a second: several processes then find the same
times due in the same moment, as they seldom would by themselves. Nothing else of it is changed.
"""

import sys
from datetime import datetime

import psycopg

from commands import schedules
from gateway.cli.main import main
from infra import clock

INTERVAL_SECONDS = 0.01


def install(connection: "psycopg.Connection[tuple[object, ...]]", at: datetime) -> None:
    """Make the database's time `at`, going on from there. Sessions that are open keep the old one."""
    connection.execute("CREATE SCHEMA stepped")
    connection.execute("CREATE TABLE stepped.clock (ahead interval NOT NULL)")
    connection.execute("INSERT INTO stepped.clock VALUES ('0')")
    connection.execute(
        "CREATE FUNCTION stepped.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE"
        " RETURN pg_catalog.clock_timestamp() + (SELECT ahead FROM stepped.clock)"
    )
    name = connection.info.dbname
    connection.execute(f'ALTER DATABASE "{name}" SET search_path = stepped, pg_catalog, public'.encode())
    step(connection, at)


def step(connection: "psycopg.Connection[tuple[object, ...]]", at: datetime) -> None:
    """Make it `at` now."""
    connection.execute("UPDATE stepped.clock SET ahead = %s - pg_catalog.clock_timestamp()", (at,))


if __name__ == "__main__":
    clock.INTERVAL_SECONDS = schedules.TICK_SECONDS = INTERVAL_SECONDS
    sys.exit(main(sys.argv[1:]))
