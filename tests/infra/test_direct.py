"""Statements over libpq itself: large ones, failing ones, cancelled ones, lost connections, and a page read ahead."""

import asyncio
import os
import select
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import psycopg
import pytest
import uvloop

from domain.ports import Page
from infra.connections import connect, session_name
from infra.direct import BIGINT_OID, TEXT_OID, Direct, Statement, bigint
from infra.event_store import PostgresEventStore
from tests.samples import stream, write

ECHO = Statement(b"echo", b"select $1, $2", (BIGINT_OID, TEXT_OID))
DIVIDE = Statement(b"divide", b"select 1 / $1", (BIGINT_OID,))
SLEEP = Statement(b"sleep", b"select pg_sleep(30)")
SUICIDE = Statement(b"suicide", b"select pg_terminate_backend(pg_backend_pid())")
A = stream("a")


@pytest.fixture
async def direct(postgres_url: str) -> AsyncIterator[Direct]:
    """On a connection of its own."""
    connection = await connect(postgres_url, session_name("test"))
    yield Direct(connection)
    await connection.close()


async def test_what_does_not_fit_the_socket_goes_and_comes_whole(direct: Direct) -> None:
    """A parameter of 8 MB is sent in pieces and comes back in pieces."""
    text = "ä" * (4 << 20)
    assert await direct.run(ECHO, (bigint(-7), text.encode())) == [(-7, text)]


async def test_runs_do_not_mix(direct: Direct) -> None:
    """Many at once, with a cursor of the driver among them, each get their own answer."""

    async def cursor() -> None:
        found = await (await direct.connection.execute("select 'cursor'")).fetchone()
        assert found == ("cursor",)

    async def run(number: int) -> None:
        assert await direct.run(ECHO, (bigint(number), b"x")) == [(number, "x")]

    await asyncio.gather(*(cursor() if number % 5 == 0 else run(number) for number in range(50)))


async def test_a_statement_that_fails_leaves_the_connection_usable(direct: Direct) -> None:
    """The error is the driver's own class, and the next statement works."""
    with pytest.raises(psycopg.errors.DivisionByZero):
        await direct.run(DIVIDE, (bigint(0),))
    assert await direct.run(DIVIDE, (bigint(1),)) == [(1,)]


async def test_a_lost_connection_is_an_operational_error(direct: Direct) -> None:
    """The run under way fails, the connection is known to be closed, and so do later runs."""
    for _ in range(2):
        with pytest.raises(psycopg.OperationalError):
            await direct.run(SUICIDE)
        assert direct.connection.closed


async def test_a_loss_that_is_seen_while_nobody_waits_is_not_forgotten(direct: Direct) -> None:
    """The server's last word and the end of the socket may both be taken in before the run goes on: nothing comes after them."""
    take_in = direct._take_in

    def take_in_all() -> None:
        while direct._watching is not None and select.select([direct._watching], [], [], 0.2)[0]:
            take_in()  # without giving way, so that the run cannot go on in between

    direct._take_in = take_in_all  # type: ignore[method-assign]  # the moment cannot be met from outside
    with pytest.raises(psycopg.OperationalError):
        async with asyncio.timeout(20):
            await direct.run(SUICIDE)
    assert direct.connection.closed


def test_a_server_that_dies_before_it_reads_the_question_is_noticed(postgres_url: str) -> None:
    """Its last word and the error of the socket come together, and the server's event loop tells of such a socket only once."""

    async def ask() -> None:
        direct = Direct(await connect(postgres_url, session_name("test")))
        backend = direct.connection.info.backend_pid
        await direct.run(ECHO, (bigint(1), b"x"))
        os.kill(backend, signal.SIGSTOP)
        while Path(f"/proc/{backend}/stat").read_text().rpartition(")")[2].split()[0] != "T":
            await asyncio.sleep(0.001)  # polls another process: nothing tells that it stands still
        run = asyncio.create_task(direct.run(ECHO, (bigint(2), b"y")))
        while direct._waiting is None or direct._waiting.done():
            await asyncio.sleep(0)  # until the question is in the socket
        os.kill(backend, signal.SIGTERM)
        os.kill(backend, signal.SIGCONT)
        with pytest.raises(psycopg.OperationalError):
            async with asyncio.timeout(20):
                await run
        assert direct.connection.closed

    for _ in range(8):  # whether the word and the error come in one turn of the loop is the kernel's to say
        uvloop.run(ask())


async def test_a_cancelled_run_ends_the_connection(direct: Direct) -> None:
    """Nobody can take the answer of the cancelled statement for their own."""
    run = asyncio.create_task(direct.run(SLEEP))
    waiting = asyncio.create_task(direct.run(ECHO, (bigint(1), b"x")))
    await asyncio.sleep(0)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert direct.connection.closed
    with pytest.raises(psycopg.OperationalError):
        await waiting


async def test_a_lost_connection_takes_nothing_from_the_one_that_gets_its_number(direct: Direct) -> None:
    """In the turn of the loop in which libpq closes the socket, a new connection may open with the same descriptor and wait."""
    heard = asyncio.Event()
    ours, theirs = socket.socketpair()
    take_in, descriptor = direct._take_in, direct.connection.fileno()

    def lose() -> None:
        take_in()
        if direct.connection.closed:
            os.dup2(ours.fileno(), descriptor)  # what the next connection would get
            asyncio.get_running_loop().add_reader(descriptor, heard.set)

    direct._take_in = lose  # type: ignore[method-assign]  # the moment cannot be met from outside
    with pytest.raises(psycopg.OperationalError):
        await direct.run(SUICIDE)
    theirs.send(b"x")
    async with asyncio.timeout(20):
        await heard.wait()
    asyncio.get_running_loop().remove_reader(descriptor)
    os.close(descriptor)
    ours.close()
    theirs.close()


async def test_a_page_read_ahead_hides_nothing(store: PostgresEventStore) -> None:
    """What was asked for ahead at the end of the log found nothing; what came after it is read all the same."""
    await store.append([write(A)])
    first = await store.read(0, 1)
    assert first is not None
    head = await store.head()  # behind the read ahead on the same connection: it has found nothing by now
    assert first.last == head
    await store.append([write(A, 1)])
    second = await store.read(first.last, 1)
    assert second is not None
    assert [event.version for event in second.events] == [2]
    assert second.previous == first.last


async def test_pages_read_ahead_are_the_log(store: PostgresEventStore) -> None:
    """Full pages one after the other, and the same ones anew from another place, give every event once and in order."""
    await store.append([write(A)])
    for version in range(1, 30):
        await store.append([write(A, version)])

    async def versions(after: int, limit: int) -> list[int]:
        found = []
        page: Page | None
        while page := await store.read(after, limit):
            found += [event.version for event in page.events]
            after = page.last
        return found

    assert await versions(0, 4) == list(range(1, 31))
    page = await store.read(0, 4)
    assert page is not None
    assert await versions(page.last, 3) == list(range(5, 31))
    assert await versions(0, 4) == list(range(1, 31))
