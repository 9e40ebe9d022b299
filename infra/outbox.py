"""What subscribers were sent, in the database, and whose turn it is to send.

The turn is an advisory lock of a connection, and everything is written over that very connection: whoever has lost the
lock cannot write any more, and a process that is killed loses it at once.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import psycopg

from commands.subscribers import Sent, Standing, Subscriber, Turn, Waiting
from domain.outgoing import Failing
from infra.attendance import VANISHED
from infra.connections import Connection, connect, session_name, unavailable

LOCK = 7304
WAIT_SECONDS = 1.0
KEPT = 1000
"""So many of the newest events that were sent to a subscriber are remembered."""


class PostgresOutbox:
    """See commands.subscribers.Outbox."""

    def __init__(self, database_url: str, shard: int = 0) -> None:
        self._url = database_url
        self._shard = shard

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[Turn]:
        """See the port."""
        connection = await connect(self._url, session_name("subscribers"))
        try:
            try:
                for name, value in VANISHED.items():
                    await connection.execute("SELECT set_config(%s, %s, false)", (name, str(value)))
                while not await _first(connection, "SELECT pg_try_advisory_lock(%s, %s)", (LOCK, self._shard)):  # noqa: ASYNC110 - another process has it
                    await asyncio.sleep(WAIT_SECONDS)
            except psycopg.Error as error:
                raise unavailable(error) from error
            yield PostgresTurn(connection, self._shard)
        finally:
            await connection.close()


class PostgresTurn:
    """See commands.subscribers.Turn."""

    def __init__(self, connection: Connection, shard: int) -> None:
        self._connection = connection
        self._places = f"public.subscribers_{int(shard)}"
        self._sent = f"public.sent_{int(shard)}"

    async def subscribers(self) -> list[Subscriber]:
        """See the port."""
        gone = "USING views.subscriptions s WHERE s.id = o.subscription AND s.deleted_at IS NOT NULL"
        await self._execute(f"WITH placeless AS (DELETE FROM {self._places} o {gone}) DELETE FROM {self._sent} o {gone}")  # noqa: S608 - names of this code
        rows = await self._execute(
            "SELECT id, tenant, url, types, position, version, enabled_at FROM views.subscriptions WHERE enabled AND deleted_at IS NULL"
        )
        return [Subscriber(row[0], row[1], row[2], tuple(row[3]), *row[4:]) for row in rows]

    async def standing(self, subscriber: Subscriber) -> Standing:
        """See the port."""
        known = await self._execute(f"SELECT position, taken_at FROM {self._places} WHERE subscription = %s", (subscriber.id,))  # noqa: S608 - see above
        position, taken_at = known[0] if known else (subscriber.position, None)
        rows = await self._execute(
            f"SELECT position, outcome, attempts, first_attempt_at, status, coalesce(next_attempt_at, last_attempt_at) FROM {self._sent}"  # noqa: S608 - see above
            " WHERE subscription = %s AND position > %s",
            (subscriber.id, position),
        )
        waiting = {row[0]: Waiting(Failing(row[2], row[3], row[4]), row[5]) for row in rows if row[1] == "retrying"}
        return Standing(position, taken_at, frozenset(row[0] for row in rows) - waiting.keys(), waiting)

    async def record(self, subscription: UUID, sent: Sent, position: int) -> None:
        """See the port."""
        event, answer = sent.event, sent.answer
        await self._execute(
            f"WITH kept AS (INSERT INTO {self._sent} VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"  # noqa: S608 - see above
            " ON CONFLICT (subscription, position) DO UPDATE SET outcome = excluded.outcome, attempts = excluded.attempts,"
            " last_attempt_at = excluded.last_attempt_at, next_attempt_at = excluded.next_attempt_at,"
            " status = excluded.status, problem = excluded.problem)"
            f" INSERT INTO {self._places} AS p VALUES (%s, %s, %s) ON CONFLICT (subscription) DO UPDATE"
            " SET position = greatest(p.position, excluded.position), taken_at = coalesce(excluded.taken_at, p.taken_at)",
            (
                *(subscription, event.position, event.id, event.type, event.meta.correlation, sent.outcome, sent.attempts),
                *(sent.since, sent.at, sent.retry_at, answer.status, answer.problem),
                *(subscription, position, sent.at if sent.outcome == "delivered" else None),
            ),
        )

    async def note(self, subscription: UUID, position: int) -> None:
        """See the port. What is older than the newest KEPT is forgotten."""
        await self._execute(
            f"WITH moved AS (INSERT INTO {self._places} AS p (subscription, position) VALUES (%s, %s) ON CONFLICT (subscription) DO UPDATE"  # noqa: S608 - see above
            " SET position = greatest(p.position, excluded.position))"
            f" DELETE FROM {self._sent} WHERE subscription = %s AND position <= %s AND position <="
            f" (SELECT position FROM {self._sent} WHERE subscription = %s ORDER BY position DESC OFFSET %s LIMIT 1)",
            (subscription, position, subscription, position, subscription, KEPT),
        )

    async def _execute(self, query: str, values: tuple[Any, ...] = ()) -> list[Any]:
        try:
            cursor = await self._connection.execute(query.encode(), values)
            return await cursor.fetchall() if cursor.description else []
        except psycopg.Error as error:
            raise unavailable(error) from error


async def _first(connection: Connection, query: str, values: tuple[Any, ...]) -> Any:
    row = await (await connection.execute(query.encode(), values)).fetchone()
    return row[0] if row else None
