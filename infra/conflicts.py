"""Who lost: which streams and agents are no longer where a refused append expected them. One query each for a whole batch."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from psycopg.rows import scalar_row

from domain.ports import Tracking
from infra.arrays import Bigints, Texts, Uuids
from infra.connections import Connection


async def moved_streams(connection: Connection, shard: int, expected: Mapping[UUID, int]) -> set[UUID]:
    """The streams that are not at their expected version."""
    cursor = connection.cursor(binary=True, row_factory=scalar_row)
    await cursor.execute(
        "select w.stream from unnest(%b, %b) as w(stream, expected) where w.expected <> coalesce((select max(originator_version)"  # noqa: S608 - the shard is an integer
        f" from public.events_{int(shard)} e where e.originator_id = w.stream), 0)".encode(),
        (Uuids.of(list(expected)), Bigints.of(list(expected.values()))),
    )
    return set(await cursor.fetchall())


async def moved_agents(connection: Connection, shard: int, moves: Sequence[Tracking]) -> set[str]:
    """The agents that are not at `before`."""
    if not moves:
        return set()
    cursor = connection.cursor(binary=True, row_factory=scalar_row)
    await cursor.execute(
        "select a.agent from unnest(%b, %b) as a(agent, before) where a.before <> coalesce((select position"  # noqa: S608 - see above
        f" from public.tracking_{int(shard)} t where t.agent = a.agent), 0)".encode(),
        (Texts.of([move.agent for move in moves]), Bigints.of([move.before for move in moves])),
    )
    return set(await cursor.fetchall())
