"""The library's recorder on our table: what the library promises still holds, without its locks."""

from collections.abc import Iterator

import psycopg
import pytest
from eventsourcing.persistence import IntegrityError, StoredEvent

from infra.event_store import PostgresEventStore
from infra.recorder import OrderedRecorder, datastore
from tests.samples import stream, write

A, B = stream("a"), stream("b")


@pytest.fixture
def recorder(postgres_url: str) -> Iterator[OrderedRecorder]:
    """A recorder of shard 0 on a fresh log."""
    with datastore(postgres_url, pool_size=2) as store:
        yield OrderedRecorder(store)


def stored(target: object, version: int) -> StoredEvent:
    return StoredEvent(target, version, "HeartbeatRecorded.v1", b"{}")  # type: ignore[arg-type]  # a UUID


def test_inserts_and_selects_as_the_library_does(recorder: OrderedRecorder) -> None:
    """Notification ids come back in given order; both selects find the events."""
    positions = recorder.insert_events([stored(A, 1), stored(B, 1), stored(A, 2)])
    assert positions == [1, 2, 3]
    assert [(event.originator_id, event.originator_version) for event in recorder.select_events(A)] == [(A, 1), (A, 2)]
    assert [notification.id for notification in recorder.select_notifications(start=2, limit=10)] == [2, 3]
    assert recorder.max_notification_id() == 3
    assert recorder.insert_events([]) == []


@pytest.mark.parametrize("versions", [[1], [3], [2, 4], [2, 2], [0]])
def test_conflicts_and_holes_are_integrity_errors(recorder: OrderedRecorder, versions: list[int]) -> None:
    """A version that exists, and one that would leave a hole, write nothing."""
    recorder.insert_events([stored(A, 1)])
    with pytest.raises(IntegrityError):
        recorder.insert_events([stored(B, 1), *(stored(A, version) for version in versions)])
    assert len(recorder.select_notifications(start=1, limit=10)) == 1


async def test_a_subscription_hears_the_appender(recorder: OrderedRecorder, store: PostgresEventStore) -> None:
    """The library's subscription is woken by what the asynchronous appender commits."""
    await store.append([write(A, events=2)])
    with recorder.subscribe(gt=0) as subscription:
        assert [next(subscription).id for _ in range(2)] == [1, 2]


def test_the_function_path_of_the_library_is_refused(postgres_url: str) -> None:
    """It takes no lock, so readers that tail the log would lose events."""
    with datastore(postgres_url) as store:
        store.enable_db_functions = True
        with pytest.raises(ValueError, match="without any lock"):
            OrderedRecorder(store)


@pytest.mark.parametrize("statement", ["update public.events_0 set topic = 'x'", "delete from public.events_0", "truncate public.events_0"])
def test_events_are_immutable(recorder: OrderedRecorder, postgres_url: str, statement: str) -> None:
    """Not even the owner changes history by accident."""
    recorder.insert_events([stored(A, 1)])
    with psycopg.connect(postgres_url) as connection, pytest.raises(psycopg.DatabaseError, match="immutable"):
        connection.execute(statement.encode())


async def test_the_application_role_may_append_and_nothing_else(empty_postgres_url: str) -> None:
    """Where the role exists when the tables are made, it gets the function and no INSERT."""
    with psycopg.connect(empty_postgres_url, autocommit=True) as owner:
        owner.execute("create role ledgermill_app login")
        try:
            await (await PostgresEventStore.open(empty_postgres_url)).close()
            store = await PostgresEventStore.open(empty_postgres_url.replace("//ledgermill@", "//ledgermill_app@"))
            assert len(await store.append([write(A)])) == 1
            await store.close()
            with psycopg.connect(empty_postgres_url.replace("//ledgermill@", "//ledgermill_app@"), autocommit=True) as app:
                for statement in (
                    "insert into public.events_0 values (gen_random_uuid(), 1, 'x', '')",
                    "select nextval('public.events_0_notification_id_seq')",
                    "update public.tracking_0 set position = 1",
                ):
                    with pytest.raises(psycopg.errors.InsufficientPrivilege):
                        app.execute(statement.encode())
        finally:
            owner.execute("drop owned by ledgermill_app")
            owner.execute("drop role ledgermill_app")


async def test_the_log_is_readable_with_sql(store: PostgresEventStore, postgres_url: str) -> None:
    """events_json shows envelope and data."""
    done = await store.append([write(A)])
    with psycopg.connect(postgres_url) as connection:
        row = connection.execute("select position, stream, version, type, schema, at, actor, data ->> 'epoch' from events_json").fetchone()
    event = done[0]
    assert row == (event.position, A, 1, "HeartbeatRecorded", 1, event.meta.at, "actor-1", "1")


async def test_shards_have_tables_of_their_own(postgres_url: str, store: PostgresEventStore) -> None:
    """A second shard in one database has its own positions; one view shows both."""
    other = await PostgresEventStore.open(postgres_url, shard=3)
    await store.append([write(A)])
    assert [event.position for event in await other.append([write(A)])] == [1]
    await other.close()
    with psycopg.connect(postgres_url) as connection:
        assert connection.execute("select shard, position from events_json order by shard").fetchall() == [(0, 1), (3, 1)]
