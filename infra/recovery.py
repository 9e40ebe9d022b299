"""After a connection was lost in mid-commit: make sure that nothing commits any more, then find out what did."""

import asyncio
from collections.abc import Sequence

from psycopg.rows import scalar_row

from domain.ports import Tracking
from infra import conflicts
from infra.append_call import Request
from infra.connections import Connection


async def end_session(connection: Connection, session: str) -> None:
    """End the server's side of a lost connection and wait until it is gone. Raises psycopg.Error when it cannot."""
    while True:
        cursor = connection.cursor(row_factory=scalar_row)
        await cursor.execute(
            "select count(*) filter (where pg_terminate_backend(pid, 5000) is not null) from pg_stat_activity where application_name = %s",
            (session,),
        )
        if not await cursor.fetchone():
            return
        await asyncio.sleep(0.01)


async def find(connection: Connection, shard: int, batch: Sequence[Request]) -> int | None:
    """The first position of the batch where its transaction is in the log, else None. One row of it proves all."""
    first = next((request for request in batch if request.rows), None)
    if first is None:
        moves = [request.tracking for request in batch if request.tracking is not None]
        arrived = [Tracking(move.agent, move.after, move.after) for move in moves]
        return None if await conflicts.moved_agents(connection, shard, arrived) else 0
    stream, version, topic, state = first.rows[0]
    cursor = connection.cursor(binary=True)
    await cursor.execute(
        f"select notification_id, topic, state from public.events_{int(shard)}"  # noqa: S608 - the shard is an integer
        " where originator_id = %b and originator_version = %b".encode(),
        (stream, version),
    )
    row = await cursor.fetchone()
    return int(row[0]) if row is not None and (row[1], bytes(row[2])) == (topic, state) else None
