"""The stock eventsourcing library on the same server: the reference of the event store's rows.

Its recorder as it comes (a table lock, one INSERT of composite rows), on a table of its own with the same columns and the
same two indexes; its JSON mapper with the transcodings that its documentation gives for UUIDs and datetimes.
"""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from uuid import UUID, uuid4

from eventsourcing.domain import DomainEvent
from eventsourcing.persistence import DatetimeAsISO, JSONTranscoder, Mapper, StoredEvent, UUIDAsHex
from eventsourcing.postgres import PostgresApplicationRecorder, PostgresDatastore

from infra.append_call import Row
from infra.recorder import datastore


class StepCompleted(DomainEvent):
    """The event that our side writes, as the library's users would write it."""

    tenant: str
    actor: str
    attempt: int
    epoch: int
    index: int
    outcome: str
    effect: str
    started_at: datetime
    ended_at: datetime


class Library:
    """A recorder and a mapper. threads: how many writers will use it."""

    def __init__(self, url: str, table: str, threads: int = 8) -> None:
        self._datastore: PostgresDatastore = datastore(url, pool_size=threads + 2)
        self.recorder = PostgresApplicationRecorder(self._datastore, events_table_name=table)
        self.recorder.create_table()
        with self._datastore.transaction(commit=True) as cursor:
            cursor.execute(f"alter table {table} set (autovacuum_enabled = off)")  # its table lock would wait for every vacuum
        transcoder = JSONTranscoder()
        transcoder.register(UUIDAsHex())
        transcoder.register(DatetimeAsISO())
        self.mapper: Mapper[UUID] = Mapper(transcoder=transcoder)

    def insert(self, rows: Sequence[Row]) -> None:
        """Append rows in one call."""
        self.recorder.insert_events([StoredEvent(*row) for row in rows])

    def event(self) -> StoredEvent:
        """One stored event by the library's own mapper."""
        now = datetime.now(UTC)
        event = object.__new__(StepCompleted)
        facts = {"tenant": "default", "actor": "actor-1", "attempt": 1, "epoch": 1, "index": 3, "outcome": "success"}
        times = {"timestamp": now, "started_at": now, "ended_at": now}
        event.__dict__.update(originator_id=uuid4(), originator_version=1, effect="e" * 64, **facts, **times)
        return self.mapper.to_stored_event(event)

    def close(self) -> None:
        """Disconnect."""
        self._datastore.close()


def threaded(work: Callable[[], int], threads: int, seconds: float) -> float:
    """Events a second when so many threads call `work` for so long; it returns how many it wrote."""
    before = time.perf_counter()
    stop = before + seconds

    def loop() -> int:
        done = 0
        while time.perf_counter() < stop:
            done += work()
        return done

    with ThreadPoolExecutor(threads) as crowd:
        done = sum(each.result() for each in [crowd.submit(loop) for _ in range(threads)])
    return done / (time.perf_counter() - before)
