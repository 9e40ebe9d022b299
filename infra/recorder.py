"""The eventsourcing library's recorder, made safe for tailing readers without a table lock.

Its own insert takes a table lock, which ANALYZE and VACUUM then hold up; its database-function path takes no lock and
loses events for readers that tail by position. This subclass calls the shard's append function instead. Everything
else of the library works as before: select_events, select_notifications, subscriptions. Synchronous: it serves tools
and tests; processes append through infra.appender, which calls the same function.
"""

from collections.abc import Sequence
from typing import Any

import psycopg
from eventsourcing.persistence import IntegrityError, StoredEvent
from eventsourcing.postgres import PostgresApplicationRecorder, PostgresDatastore
from psycopg import conninfo

from infra import append_call, arrays


def datastore(database_url: str, pool_size: int = 1) -> PostgresDatastore:
    """The library's datastore for a database URL. The caller closes it."""
    parts = conninfo.conninfo_to_dict(database_url)
    dbname, host, port, user, password = (str(parts.pop(key, None) or "") for key in ("dbname", "host", "port", "user", "password"))
    store = PostgresDatastore(
        dbname, host, port, user, password, pool_size=pool_size, lock_timeout=10, idle_in_transaction_session_timeout=10
    )
    if isinstance(store.pool.kwargs, dict):
        store.pool.kwargs.update({key: value for key, value in parts.items() if value is not None})
    return store


class OrderedRecorder(PostgresApplicationRecorder):
    """Inserts through the append function of one shard, whose tables infra.migrations has made."""

    def __init__(self, datastore: PostgresDatastore, *, shard: int = 0) -> None:
        if datastore.enable_db_functions:
            raise ValueError("enable_db_functions inserts without any lock, and readers that tail the log lose events")
        super().__init__(datastore, events_table_name=f"events_{shard}")
        self._statement = append_call.statement(shard)

    def create_table(self) -> None:
        """Does nothing: the tables are made by infra.migrations, before."""

    def insert_events(self, stored_events: Sequence[StoredEvent], **_: Any) -> Sequence[int] | None:
        """Append in given order; returns the positions. Raises the library's IntegrityError on a version conflict."""
        rows = [(event.originator_id, event.originator_version, event.topic, event.state) for event in stored_events]
        if not rows:
            return []
        try:
            parameters = append_call.parameters(rows)  # type: ignore[arg-type]  # originator ids are UUIDs here, not str
        except append_call.BrokenSequenceError as error:
            raise IntegrityError(str(error)) from error
        with self.datastore.get_connection() as connection:
            arrays.register(connection.adapters)
            try:
                row = (
                    connection.cursor(binary=True, row_factory=psycopg.rows.scalar_row)
                    .execute(self._statement, parameters, prepare=True)
                    .fetchone()
                )
            except psycopg.DatabaseError as error:
                if error.sqlstate == append_call.STREAM_CONFLICT:
                    raise IntegrityError(str(error)) from error
                raise
        first = int(row or 0)
        return list(range(first, first + len(rows)))
