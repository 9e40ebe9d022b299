"""Real servers for the tests: one embedded Postgres and NATS a session (a worker of pytest-xdist is a session of its own).

Nothing here is a double: a test that needs Postgres gets a fresh database on a real server, copied from a template.
"""

import asyncio
import itertools
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import hypothesis
import psycopg
import pytest

from infra.embedded.supervisor import Embedded
from infra.event_store import PostgresEventStore

hypothesis.settings.register_profile("any machine", deadline=None)  # an example that a busy machine holds up is not wrong
hypothesis.settings.load_profile("any machine")

# A shell starts what runs in the background with SIGINT ignored, which the programs under test would inherit.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A directory whose name is short enough for a socket below it, open to the embedded Postgres's user."""
    path = Path(tempfile.mkdtemp(prefix="lm"))
    path.chmod(0o711)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    """The session's own servers."""
    embedded = Embedded.start(tmp_path_factory.mktemp("servers") / "data")
    yield embedded
    for pid in embedded.pids.values():  # nobody reads them again, and a checkpoint of hundreds of databases took ten seconds
        os.kill(pid, signal.SIGKILL)
    embedded.stop()


def with_database(url: str, name: str) -> str:
    """The same server's URL for another database."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


@pytest.fixture(scope="session")
def make_database(servers: Embedded) -> Iterator[Callable[[str], str]]:
    """Makes a database from the named template and returns its URL; they go with the server."""
    numbers = itertools.count(1)
    with psycopg.connect(servers.database_url, autocommit=True) as connection:

        def make(template: str) -> str:
            name = f"test_{next(numbers)}"
            connection.execute(f"create database {name} template {template}".encode())
            return with_database(servers.database_url, name)

        yield make


@pytest.fixture(scope="session")
def template(make_database: Callable[[str], str], servers: Embedded) -> str:
    """The name of a database in which the log's tables of shard 0 exist and are empty."""
    url = make_database("template0")
    name = urlsplit(url).path[1:]

    async def prepare() -> None:
        await (await PostgresEventStore.open(url)).close()

    with ThreadPoolExecutor(1) as thread:  # a test may ask for this inside its own running loop
        thread.submit(lambda: asyncio.run(prepare())).result()
    return name


@pytest.fixture
def postgres_url(make_database: Callable[[str], str], template: str) -> str:
    """A fresh database with an empty log."""
    return make_database(template)


@pytest.fixture
def empty_postgres_url(make_database: Callable[[str], str]) -> str:
    """A fresh database with nothing in it, not even the log's tables."""
    return make_database("template0")


@pytest.fixture
def nats_url(servers: Embedded) -> str:
    """The session's NATS server. Streams outlive a test: give each test's relay a prefix of its own."""
    return servers.nats_url


@pytest.fixture
async def store(postgres_url: str) -> AsyncIterator[PostgresEventStore]:
    """An open store on a fresh database."""
    opened = await PostgresEventStore.open(postgres_url)
    yield opened
    await opened.close()


@pytest.fixture
def prefix(request: pytest.FixtureRequest) -> str:
    """A name for this test's own streams and subjects on the session's NATS server."""
    return f"test{abs(hash(request.node.nodeid)):x}"
