"""What subscribers were sent, as the agent that sends wrote it down. It is no view: nothing in the log says it."""

from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec

from projections.rows import Connection

_READ = """
SELECT to_json(t)::text FROM (
    SELECT position, event, type, run AS run_id, outcome, attempts, first_attempt_at, last_attempt_at, next_attempt_at, status, problem
    FROM public.sent_0 WHERE subscription = %s AND position < %s ORDER BY position DESC LIMIT %s) t
"""
_POSITION = "SELECT coalesce((SELECT position FROM public.subscribers_0 WHERE subscription = %s), %s)"
END = 2**63 - 1


class SentEvent(msgspec.Struct, frozen=True):
    """An event that was sent. event: its id; position: in the log; run_id: the run that it belongs to, if to one.

    outcome: "delivered", "retrying" or "failed" (given up). next_attempt_at: while it is retried. status: of the last
    answer, null where there was none; problem: what was wrong, "" where nothing was.
    """

    position: int
    event: UUID
    type: str
    run_id: UUID | None
    outcome: Literal["delivered", "retrying", "failed"]
    attempts: int
    first_attempt_at: datetime
    last_attempt_at: datetime
    next_attempt_at: datetime | None
    status: int | None
    problem: str


_decoder = msgspec.json.Decoder(SentEvent)


async def sent(connection: Connection, subscription: UUID, before: int, limit: int) -> list[SentEvent]:
    """At most `limit` of the events that were sent, the newest first, those before a position."""
    cursor = await connection.execute(_READ, (subscription, before, limit))
    return [_decoder.decode(row[0]) for row in await cursor.fetchall()]


async def served(connection: Connection, subscription: UUID, made: int) -> int:
    """The position up to which everything was sent or given up. made: where the subscription begins."""
    row = await (await connection.execute(_POSITION, (subscription, made))).fetchone()
    return int(row[0]) if row else made
