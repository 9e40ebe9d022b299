"""The appender when things go wrong: lost connections, an absent database, a full disk, overload."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest

from domain.envelope import Recorded
from domain.ports import CommitUnknown, StoreSilent, StoreUnavailable, Tracking, VersionConflict
from infra import append_call, arrays, codec
from infra.event_store import PostgresEventStore
from tests.proxy import Proxy
from tests.samples import heartbeat, stream, write

PATIENCE_SECONDS = 1.0
A, B = stream("a"), stream("b")


@pytest.fixture
async def cuttable(wire: Proxy) -> AsyncIterator[PostgresEventStore]:
    """A store behind the wire, with little patience; its append statement is prepared, so that one answer is one commit."""
    store = await PostgresEventStore.open(wire.url, patience_seconds=PATIENCE_SECONDS)
    await store.append([], Tracking("warm-up", before=0, after=1))
    yield store
    await store.close()


async def eventually(condition: Any) -> None:
    """Wait, at most 10 s, until an awaitable condition is true."""
    async with asyncio.timeout(10):
        while not await condition():
            await asyncio.sleep(0.005)


async def test_an_append_looks_for_its_streams_by_index(postgres_url: str) -> None:
    """On a log that was never analyzed too, where the planner takes every table for small: an append must not cost more as it grows."""
    topic, state = codec.to_row(heartbeat())
    async with await psycopg.AsyncConnection.connect(postgres_url) as connection:
        arrays.register(connection.adapters)
        for version in range(1, 20):
            rows = [(target, version, topic, state) for target in (A, B)]
            await connection.execute(append_call.statement(0), append_call.parameters(rows), prepare=True)
        reads = await connection.execute("select seq_scan, idx_scan from pg_stat_xact_user_tables where relname = 'events_0'")
        assert await reads.fetchone() == (0, 36)


async def versions(store: PostgresEventStore) -> list[tuple[Any, int]]:
    page = await store.read(0)
    return [] if page is None else [(event.stream, event.version) for event in page.events]


async def test_a_commit_whose_answer_was_lost_is_answered_once(
    cuttable: PostgresEventStore, store: PostgresEventStore, wire: Proxy
) -> None:
    """The connection breaks after the commit: the caller gets the position, and nothing is written twice."""
    await cuttable.append([write(A)])
    wire.answers.clear()
    pending = asyncio.create_task(cuttable.append([write(A, expected=1, events=2), write(B)]))

    async def committed() -> bool:
        return len(await store.load(A)) == 3

    await eventually(committed)
    await wire.cut()
    done = await pending
    assert await versions(store) == [(A, 1), (A, 2), (A, 3), (B, 1)]
    assert done[:2] == (await store.load(A))[1:]
    assert done[2:] == await store.load(B)


async def test_a_request_that_never_arrived_is_written_once(cuttable: PostgresEventStore, store: PostgresEventStore, wire: Proxy) -> None:
    """The connection breaks before the server saw the statement: it is sent again."""
    wire.requests.clear()
    pending = asyncio.create_task(cuttable.append([write(A)]))
    await wire.held.wait()
    await wire.cut()
    assert [event.version for event in await pending] == [1]
    assert await versions(store) == [(A, 1)]


async def test_a_session_that_waits_for_the_lock_is_ended_before_the_second_try(
    cuttable: PostgresEventStore, store: PostgresEventStore, wire: Proxy, postgres_url: str
) -> None:
    """The old session might still commit after the new one looked; so it is ended first, and the events come once."""
    async with await psycopg.AsyncConnection.connect(postgres_url) as other:
        await other.execute("select pg_advisory_xact_lock(7300, 0)")
        pending = asyncio.create_task(cuttable.append([write(A)]))

        async def waits() -> bool:
            cursor = await other.execute("select count(*) from pg_locks where locktype = 'advisory' and not granted")
            row = await cursor.fetchone()
            return row is not None and row[0] == 1

        await eventually(waits)
        await wire.cut()
        await eventually(waits)
        await other.rollback()
    assert [event.version for event in await pending] == [1]
    assert await versions(store) == [(A, 1)]


async def test_a_moved_agent_is_recognised_after_a_lost_answer(
    cuttable: PostgresEventStore, store: PostgresEventStore, wire: Proxy
) -> None:
    """A move without events leaves no row in the log; its position tells that it happened."""
    wire.answers.clear()
    pending = asyncio.create_task(cuttable.append([], Tracking("agent", before=0, after=5)))

    async def moved() -> bool:
        return await store.tracked("agent") == 5

    await eventually(moved)
    await wire.cut()
    assert await pending == ()


async def test_an_absent_database_refuses_and_recovers(cuttable: PostgresEventStore, store: PostgresEventStore, wire: Proxy) -> None:
    """Appends and reads fail with StoreUnavailable while the database is away, and work when it is back."""
    await wire.down()
    with pytest.raises(StoreUnavailable, match="STO005"):
        await cuttable.append([write(A)])
    with pytest.raises(StoreUnavailable, match="STO005"):
        await cuttable.load(A)
    await wire.up()
    assert len(await cuttable.append([write(A)])) == 1
    assert len(await cuttable.load(A)) == 1
    assert await versions(store) == [(A, 1)]


async def test_who_comes_when_the_outage_is_known_is_refused_at_once(cuttable: PostgresEventStore, wire: Proxy) -> None:
    """A heartbeat that waited for as long as the first request did would be silence to its runner, which would end its job."""
    await wire.down()
    with pytest.raises(StoreUnavailable):
        await cuttable.append([write(A)])
    asked_at = time.monotonic()
    with pytest.raises(StoreUnavailable, match="STO005") as refused:
        await cuttable.append([write(A)])
    assert time.monotonic() - asked_at < PATIENCE_SECONDS
    assert not isinstance(refused.value, StoreSilent)
    await wire.up()
    await cuttable.append([write(A)])
    await wire.down()
    late = asyncio.create_task(cuttable.append([write(B)]))
    await asyncio.wait({late}, timeout=0.1)
    assert not late.done(), "the next outage is waited for again"
    await wire.up()
    assert len(await late) == 1


async def test_a_short_outage_is_not_seen(cuttable: PostgresEventStore, wire: Proxy) -> None:
    """Within the patience an append waits for the database."""
    await wire.down()
    pending = [asyncio.create_task(cuttable.append([write(stream(n))])) for n in range(5)]
    done, _ = await asyncio.wait(pending, timeout=0.1)
    assert not done
    await wire.up()
    assert [len(events) for events in await asyncio.gather(*pending)] == [1] * 5


async def test_an_outage_in_mid_commit_leaves_the_outcome_open(
    cuttable: PostgresEventStore, store: PostgresEventStore, wire: Proxy
) -> None:
    """When the connection breaks during the commit and stays away, the caller is told that it is not known."""
    wire.answers.clear()
    pending = asyncio.create_task(cuttable.append([write(A)]))

    async def committed() -> bool:
        return await versions(store) == [(A, 1)]

    await eventually(committed)
    await wire.down()
    with pytest.raises(CommitUnknown, match="STO008"):
        await pending
    await wire.up()
    with pytest.raises(VersionConflict):
        await cuttable.append([write(A)])


async def test_killed_sessions_lose_and_double_nothing(store: PostgresEventStore, postgres_url: str) -> None:
    """All sessions of the store are ended again and again while it appends: every append is there exactly once."""

    async def one(number: int) -> tuple[Recorded, ...]:
        return await store.append([write(stream(number), events=2)])

    async def kill() -> int:
        killed = 0
        async with await psycopg.AsyncConnection.connect(postgres_url, autocommit=True) as other:
            while killed < 15:
                before = await store.head()
                cursor = await other.execute(
                    "select count(pg_terminate_backend(pid)) from pg_stat_activity where datname = current_database()"
                    " and application_name like 'ledgermill appender%'"
                )
                row = await cursor.fetchone()
                killed += row[0] if row else 0

                async def grown(before: int = before) -> bool:
                    return await store.head() > before

                await eventually(grown)
        return killed

    async def load() -> list[tuple[Recorded, ...]]:
        done = []
        number = 0
        while not killer.done():
            done += await asyncio.gather(*(one(number + n) for n in range(20)))
            number += 20
        return done

    killer = asyncio.create_task(kill())
    done = await load()
    assert await killer >= 15
    page = await store.read(0, limit=1_000_000)
    assert page is not None
    assert sorted((event for events in done for event in events), key=lambda event: event.position) == list(page.events)


async def test_a_full_disk_refuses_with_help_and_resumes(store: PostgresEventStore, postgres_url: str) -> None:
    """The server's "no space left" becomes StoreUnavailable; as soon as there is space, appends work."""
    async with await psycopg.AsyncConnection.connect(postgres_url, autocommit=True) as other:
        await other.execute(
            "create function full_disk() returns trigger language plpgsql as"
            " $$ begin raise exception 'could not extend file: No space left on device' using errcode = '53100'; end $$"
        )
        await other.execute("create trigger full_disk before insert on public.events_0 for each statement execute function full_disk()")
        with pytest.raises(StoreUnavailable, match=r"STO001.*free space"):
            await store.append([write(A)])
        await other.execute("drop trigger full_disk on public.events_0")
    assert [event.version for event in await store.append([write(A)])] == [1]


async def test_a_cancelled_caller_does_not_disturb_the_others(store: PostgresEventStore) -> None:
    """A caller that goes away takes only its own request with it."""
    callers = [asyncio.create_task(store.append([write(stream(n))])) for n in range(10)]
    await asyncio.sleep(0)
    callers[3].cancel()
    results = await asyncio.gather(*callers, return_exceptions=True)
    assert [isinstance(result, asyncio.CancelledError) for result in results] == [n == 3 for n in range(10)]
    written = {target for target, _ in await versions(store)}
    assert {stream(n) for n in range(10) if n != 3} <= written


async def test_waiting_bytes_are_bounded(store: PostgresEventStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than the bound is refused at once instead of filling the memory."""
    monkeypatch.setattr("infra.appender.WAITING_BYTES_MAX", 1_000)
    results = await asyncio.gather(*(store.append([write(stream(n))]) for n in range(50)), return_exceptions=True)
    refused = [result for result in results if isinstance(result, StoreUnavailable)]
    assert 0 < len(refused) < 50
    assert len(await versions(store)) == 50 - len(refused)


async def test_many_appends_share_few_commits(store: PostgresEventStore) -> None:
    """What arrives while a commit is under way goes with the next one."""
    commits: list[int] = []
    store.committed.append(lambda rows: commits.append(rows[-1][0]))
    await asyncio.gather(*(store.append([write(stream(n))]) for n in range(200)))
    assert len(commits) <= 3
    assert commits == sorted(commits)


async def test_closing_commits_what_waits(postgres_url: str, store: PostgresEventStore) -> None:
    """close() answers every request that was accepted; later ones are refused."""
    other = await PostgresEventStore.open(postgres_url)
    pending = [asyncio.create_task(other.append([write(stream(n))])) for n in range(20)]
    await asyncio.sleep(0)
    await other.close()
    assert [len(events) for events in await asyncio.gather(*pending)] == [1] * 20
    with pytest.raises(StoreUnavailable, match="closed"):
        await other.append([write(A)])
    assert len(await versions(store)) == 20


async def test_events_are_stored_whole(store: PostgresEventStore) -> None:
    """What the caller gets from append equals what a reader decodes from the stored bytes."""
    done = await store.append([write(A, events=3)])
    page = await store.read(0)
    assert page is not None
    assert page.events == done
    assert done[0].data == heartbeat(1).data
