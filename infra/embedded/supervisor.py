"""The embedded default: Postgres and NATS as children of this process, in one data directory that one owner at a time may use.

Both start in parallel, and this module imports nothing heavy, so that they start before the rest of the program is even loaded.
However the owner ends, its servers end with it (trampoline.py) and the data is there at the next start.
"""

import atexit
import os
from collections.abc import Callable
from pathlib import Path
from typing import Self

from infra.embedded.binaries import nats_program, postgres_programs
from infra.embedded.error import EmbeddedError
from infra.embedded.home import private_data_directory
from infra.embedded.keeper import Keeper
from infra.embedded.lock import DataLock, Owner, acquire, owner
from infra.embedded.nats import Nats
from infra.embedded.postgres import Postgres

__all__ = ["Embedded", "EmbeddedError", "Owner", "owner", "start"]


class Embedded:
    """The running servers of one data directory. Made by `start`; `stop` ends them, as does the end of the process.

    on_failure is called from a thread, once per server, when a server that had served is given up (EMB009). Set it at any time.
    """

    def __init__(self, data: Path, lock: DataLock) -> None:
        self.data = data
        self.lock = lock
        self.on_failure: Callable[[EmbeddedError], None] = lambda _: None
        self.failure: EmbeddedError | None = None
        self._owner = os.getpid()
        self._postgres: Postgres | None = None
        self._nats: Nats | None = None
        self._keepers: list[Keeper] = []

    @classmethod
    def start(
        cls,
        data: Path,
        *,
        postgres: bool = True,
        nats: bool = True,
        pg_bin: Path | None = None,
        on_owned: Callable[[Path], None] = lambda _: None,
    ) -> Self:
        """Take the directory, start what is asked for, return when it serves. Blocking: cold 0.7 s, warm 0.2 s.

        pg_bin: a directory with initdb and postgres to use instead of the bundled ones. on_owned: called with the directory
        as soon as it is taken. Raises EmbeddedError; then nothing runs.
        """
        data = private_data_directory(data)
        embedded = cls(data, acquire(data))
        try:
            if postgres:
                embedded._postgres = Postgres(data, postgres_programs(pg_bin))
                embedded._keep(embedded._postgres)
            if nats:
                embedded._nats = Nats(data, nats_program())
                embedded._keep(embedded._nats)
            on_owned(data)
            for keeper in embedded._keepers:
                keeper.wait_until_ready()
        except BaseException:
            embedded.stop()
            raise
        atexit.register(embedded.stop)
        return embedded

    @property
    def database_url(self) -> str:
        """URL for libpq of the database `ledgermill`, as its superuser; for processes of the same user, while this one lives."""
        if self._postgres is None:
            raise AssertionError("Postgres was not asked for")
        return self._postgres.url

    @property
    def nats_url(self) -> str:
        """With the token in it. Stays the same when the server is restarted after a crash."""
        if self._nats is None:
            raise AssertionError("NATS was not asked for")
        return self._nats.url

    @property
    def pids(self) -> dict[str, int]:
        """Process id by server (`postgres`, `nats`), of those that serve now."""
        return {keeper.service.home.name: keeper.pid for keeper in self._keepers if keeper.pid is not None}

    def stop(self) -> None:
        """End the servers in good order, give the directory free. Blocking, well under 1 s; idempotent; no-op in a forked child."""
        if os.getpid() != self._owner:
            return
        atexit.unregister(self.stop)
        for keeper in self._keepers:
            keeper.ask_to_stop()
        for keeper in self._keepers:
            keeper.join()
        for service in (self._postgres, self._nats):
            if service is not None:
                service.close()
        self.lock.release()

    def _keep(self, service: Postgres | Nats) -> None:
        keeper = Keeper(service, self._given_up)
        self._keepers.append(keeper)
        keeper.start()

    def _given_up(self, error: EmbeddedError) -> None:
        self.failure = error
        self.on_failure(error)


start = Embedded.start
