"""Where a group of rows is measured: a scratch directory on the clone's own disk, and real servers in it.

The servers are the product's embedded default with its settings, so the figures are those that a user gets. They start
on first use and end with the group; the next group starts on empty ones.
"""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg

from bench import harness
from infra.embedded.supervisor import Embedded

ROOT = Path(__file__).resolve().parents[1]
SCRATCH = ROOT / ".ledgermill" / "bench"


class Place:
    """One group's directory and servers. ids: the rows that were asked for; a group may measure others beside them."""

    def __init__(self, directory: Path, ids: frozenset[str]) -> None:
        self.directory = directory
        self.ids = ids
        self._embedded: Embedded | None = None
        self._numbers = count(1)

    def probe(self) -> float:
        """What the disk takes now for an fsync, in microseconds."""
        return harness.fsync_us(self.directory)

    @property
    def servers(self) -> Embedded:
        """Postgres and NATS, started on first use."""
        if self._embedded is None:
            self._embedded = Embedded.start(self.directory / "servers")
        return self._embedded

    @property
    def nats_url(self) -> str:
        """The NATS server."""
        return self.servers.nats_url

    def database(self) -> str:
        """The URL of a fresh, empty database."""
        name = f"bench_{next(self._numbers)}"
        url = self.servers.database_url
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(f"create database {name} template template0".encode())
        return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))

    def close(self) -> None:
        """End the servers."""
        if self._embedded is not None:
            self._embedded.stop()


@contextmanager
def place(ids: frozenset[str]) -> Iterator[Place]:
    """A place that is gone afterwards."""
    SCRATCH.mkdir(parents=True, exist_ok=True)
    directory = Path(tempfile.mkdtemp(prefix="rows-", dir=SCRATCH))
    made = Place(directory, ids)
    try:
        yield made
    finally:
        made.close()
        shutil.rmtree(directory, ignore_errors=True)
