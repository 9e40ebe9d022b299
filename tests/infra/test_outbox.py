"""What was sent, in a real database: kept with the position, taken up where it was, by one process at a time."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from commands.handle import Handler, Origin
from commands.subscribers import Answer, Sent, Subscriber
from domain import ids
from domain.envelope import Meta, Recorded
from domain.ports import StoreUnavailable
from domain.subscription import ChangeSubscription, CreateSubscription, DeleteSubscription
from domain.token import TokenUsed
from infra import outbox
from infra.event_store import PostgresEventStore
from infra.outbox import PostgresOutbox
from projections import positions, rows, sent
from projections.fold import fold
from projections.subscriptions import SUBSCRIPTION_TABLE, SUBSCRIPTIONS
from projections.table import LIVE
from tests.fakes import FixedClock, MemoryBlobs

AT = datetime(2026, 3, 1, 10, tzinfo=UTC)
URL = "https://hooks.example/in"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look often whose turn it is."""
    monkeypatch.setattr(outbox, "WAIT_SECONDS", 0.01)


async def subscribed(store: PostgresEventStore, *commands: Any) -> list[Recorded]:
    """The log after these commands, with the view as it then is."""
    handler = Handler(store, FixedClock(AT), MemoryBlobs())
    for number, command in enumerate(commands):
        await handler.handle(command, Origin("default", "x", command=ids.command_id("test", str(number))))
    page = await store.read(0)
    assert page is not None
    async with await psycopg.AsyncConnection.connect(store.database_url, autocommit=True) as connection:
        await positions.prepare(connection, (SUBSCRIPTIONS,))
        made = fold([SUBSCRIPTION_TABLE], page.events)["subscriptions"]
        await connection.execute("DELETE FROM views.subscriptions")
        await connection.execute(rows.Statements(SUBSCRIPTION_TABLE, LIVE).upsert, (rows.encode(list(made.values())),))
    return list(page.events)


def one(number: int = 1) -> Any:
    """A subscription's stream."""
    return ids.subscription_id("default", ids.derive("test", number))


def event(position: int) -> Recorded:
    """An event of a run."""
    return Recorded(position, ids.derive("stream"), 1, "TokenUsed", 1, Meta(AT, "default", "x", correlation=ids.derive("run")), TokenUsed())


def result(position: int, outcome: Any, attempts: int = 1, status: int | None = 204) -> Sent:
    """What came of it."""
    retry = AT + timedelta(minutes=1) if outcome == "retrying" else None
    problem = "" if outcome == "delivered" else "no"
    return Sent(event(position), outcome, attempts, AT, AT + timedelta(seconds=attempts), Answer(status, problem), retry)


async def test_those_that_are_enabled_are_sent_to(store: PostgresEventStore) -> None:
    """From the position of their creation on; not those that are disabled or deleted."""
    log = await subscribed(
        store,
        CreateSubscription(one(1), URL, ("RunCompleted", "*")),
        CreateSubscription(one(2), URL, ("*",)),
        ChangeSubscription(one(2), enabled=False, reason="x"),
        CreateSubscription(one(3), URL, ("*",)),
        DeleteSubscription(one(3)),
    )
    async with PostgresOutbox(store.database_url).turn() as turn:
        assert await turn.subscribers() == [Subscriber(one(1), "default", URL, ("RunCompleted", "*"), log[0].position, 1, AT)]


async def test_what_was_sent_is_found_again(store: PostgresEventStore) -> None:
    """By the next turn: how far it is, what is settled beyond, and what is tried again with its attempts."""
    await subscribed(store, CreateSubscription(one(), URL, ("*",)))
    box = PostgresOutbox(store.database_url)
    async with box.turn() as turn:
        (subscriber,) = await turn.subscribers()
        fresh = await turn.standing(subscriber)
        assert (fresh.position, fresh.taken_at, fresh.settled, fresh.waiting) == (subscriber.position, None, frozenset(), {})
        await turn.record(one(), result(10, "delivered"), 10)
        await turn.record(one(), result(12, "retrying", 1, 500), 11)
        await turn.record(one(), result(13, "delivered"), 11)
        await turn.record(one(), result(14, "failed", 12, None), 11)
        await turn.record(one(), result(12, "retrying", 2, 502), 11)
        await turn.note(one(), 9)
    async with box.turn() as turn:
        found = await turn.standing(subscriber)
        assert (found.position, found.taken_at, found.settled) == (11, AT + timedelta(seconds=1), frozenset({13, 14}))
        ((place, waiting),) = found.waiting.items()
        assert (place, waiting.failing.attempts, waiting.failing.since, waiting.failing.answer) == (12, 2, AT, 502)
        assert waiting.at == AT + timedelta(minutes=1)
        await turn.record(one(), result(12, "delivered", 3), 14)
        assert (await turn.standing(subscriber)).position == 14
    async with await psycopg.AsyncConnection.connect(store.database_url) as connection:
        listed = await sent.sent(connection, one(), sent.END, 3)
        assert [(each.position, each.outcome, each.attempts, each.status) for each in listed] == [
            (14, "failed", 12, None),
            (13, "delivered", 1, 204),
            (12, "delivered", 3, 204),
        ]
        assert [each.position for each in await sent.sent(connection, one(), 12, 3)] == [10]
        assert (await sent.served(connection, one(), 1), await sent.served(connection, one(2), 1)) == (14, 1)


async def test_old_ones_are_forgotten_and_all_of_what_is_deleted(store: PostgresEventStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """But never what is beyond the position: a restart needs it."""
    monkeypatch.setattr(outbox, "KEPT", 3)
    await subscribed(store, CreateSubscription(one(), URL, ("*",)), CreateSubscription(one(2), URL, ("*",)))
    box = PostgresOutbox(store.database_url)

    async def kept() -> list[tuple[int, int]]:
        async with await psycopg.AsyncConnection.connect(store.database_url) as connection:
            found = [(n, each.position) for n in (1, 2) for each in await sent.sent(connection, one(n), sent.END, 99)]
        return sorted(found)

    async with box.turn() as turn:
        for position in range(10, 20):
            await turn.record(one(), result(position, "delivered"), 14)
        await turn.record(one(2), result(11, "delivered"), 11)
        await turn.note(one(), 14)
        assert await kept() == [(1, position) for position in range(15, 20)] + [(2, 11)]
        await turn.note(one(), 19)
        assert await kept() == [(1, 17), (1, 18), (1, 19), (2, 11)]
        await subscribed(store, DeleteSubscription(one()))
        await turn.subscribers()
        assert await kept() == [(2, 11)]


async def test_one_at_a_time_has_the_turn(store: PostgresEventStore) -> None:
    """The next one when the first ends; one whose connection was cut cannot write any more, and is told."""
    box, order = PostgresOutbox(store.database_url), []

    async def take(name: str) -> None:
        async with box.turn():
            order.append(name)

    async with asyncio.timeout(60):
        async with box.turn() as turn:
            waiting = asyncio.create_task(take("second"))
            async with await psycopg.AsyncConnection.connect(store.database_url, autocommit=True) as connection:
                asked = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                asked += " AND application_name LIKE 'ledgermill subscribers%'"
                while (await (await connection.execute(asked)).fetchone() or (0,))[0] < 2:
                    await asyncio.sleep(0.01)  # the second one connects
                assert order == []
                held = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND classid = %s AND granted"
                held += " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
                await connection.execute(held, (outbox.LOCK,))
            await waiting
            with pytest.raises(StoreUnavailable):
                await turn.note(one(), 1)
    assert order == ["second"]
