"""Somebody with full access to the database changes the log by SQL: each change is found, and the events are named."""

import random
from typing import Any

import pytest

from domain.transparency import entry
from domain.transparency.checkpoints import Signed, opened
from domain.transparency.entry import Row
from domain.transparency.growth import Growth
from domain.transparency.verify import Report, verify
from infra.connections import Connection
from infra.signatures import is_signed
from projections.transparency import tables
from tests.projections.transparency.conftest import Kept, rows_of

EVENTS = 300
MUTATIONS, MUTATIONS_CAMPAIGN = 30, 1000


async def held_together(connection: Connection, kept: Kept | None, checkpoints: list[Signed]) -> Report:
    """What `audit verify` computes; kept: None where no copy of the entries is at hand."""
    stored = entry.split(b"".join([content async for _, content in tables.entries(connection, 0)]))
    outside = list(entry.each(kept.outside.entries(0))) if kept else []
    return verify(await rows_of(connection), lambda first: stored[first:], lambda first: outside[first:], checkpoints)


class Intruder:
    """Owns the database. connection: in a transaction that is taken back; rows: the log as it was."""

    def __init__(self, chance: random.Random, connection: Connection, rows: list[Row]) -> None:
        self.chance = chance
        self.connection = connection
        self.rows = rows

    async def sql(self, text: str, *values: Any) -> None:
        await self.connection.execute(text, values)

    async def edit(self) -> set[int]:
        """One row: its payload, type, stream or version."""
        position, _, _, topic, state = self.chance.choice(self.rows)
        at = self.chance.randrange(len(state))
        changes = {
            "state": state[:at] + bytes([state[at] ^ 1 << self.chance.randrange(8)]) + state[at + 1 :],
            "topic": f"Job{topic}",
            "originator_id": "00000000-0000-4000-8000-00000000beef",
            "originator_version": 100_000,
        }
        column = self.chance.choice(sorted(changes))
        await self.sql(f"update public.events_0 set {column} = %s where notification_id = %s", changes[column], position)
        return {position}

    async def delete(self) -> set[int]:
        """Some rows."""
        gone = {row[0] for row in self.chance.sample(self.rows, self.chance.randint(1, 5))}
        await self.sql("delete from public.events_0 where notification_id = any(%s)", list(gone))
        return gone

    async def swap(self) -> set[int]:
        """Two rows trade their places."""
        one, other = (row[0] for row in self.chance.sample(self.rows, 2))
        for before, after in ((one, -1), (other, one), (-1, other)):
            await self.sql("update public.events_0 set notification_id = %s where notification_id = %s", after, before)
        return {one, other}

    async def move(self) -> set[int]:
        """A row goes to a hole of the log."""
        taken = {row[0] for row in self.rows}
        hole = self.chance.choice([position for position in range(1, self.rows[-1][0]) if position not in taken])
        position = self.chance.choice(self.rows)[0]
        await self.sql("update public.events_0 set notification_id = %s where notification_id = %s", hole, position)
        return {hole, position}

    async def truncate(self) -> set[int]:
        """Everything from some event on."""
        begin = self.chance.choice(self.rows)[0]
        await self.sql("delete from public.events_0 where notification_id >= %s", begin)
        return {row[0] for row in self.rows if row[0] >= begin}

    async def fork(self) -> set[int]:
        """Another history from some event on, on other streams."""
        begin = self.chance.choice(self.rows)[0]
        await self.sql(
            "update public.events_0 set originator_id = ('10000000' || substr(originator_id::text, 9))::uuid where notification_id >= %s",
            begin,
        )
        return {row[0] for row in self.rows if row[0] >= begin}

    async def cover_up(self) -> None:
        """Make the tree that the changed log would have; what is signed cannot be made."""
        await self.sql("delete from transparency.entries")
        await self.sql("delete from transparency.nodes")
        rows = await rows_of(self.connection)
        if rows:
            await tables.grow(self.connection, Growth().take(b"".join(map(entry.encode, rows))))


async def campaign(kept: Kept, mutations: int) -> None:
    """Every mutation with and without a cover-up, seen with the copy outside and with nothing but an old checkpoint in hand."""
    await kept.append(random.Random(7), EVENTS)
    async with kept.growing(events_max=25):
        pass
    connection = await kept.connection()
    await connection.execute("alter table public.events_0 disable trigger all")
    rows = await rows_of(connection)
    by_position = {row[0]: row for row in rows}
    kinds = ("edit", "delete", "swap", "move", "truncate", "fork")
    (last,) = [opened(each, None, kept.outside.keys(), is_signed) for each in kept.outside.notes()[-1:]]
    assert last.size == EVENTS
    assert (await held_together(connection, kept, [last])).findings == ()
    for seed in range(mutations):
        chance = random.Random(seed)
        async with connection.transaction(force_rollback=True):
            intruder = Intruder(chance, connection, rows)
            touched = await getattr(intruder, kinds[seed % len(kinds)])()
            covered_up = seed // len(kinds) % 2 == 1
            if covered_up:
                await intruder.cover_up()
            report = await held_together(connection, kept, [last])
            in_hand = await held_together(connection, None, [last])
        named = {each.position for each in report.findings if each.check in ("changed", "moved", "dropped", "added")}
        assert named == touched, f"seed {seed}"
        for each in report.findings:
            if each.position in by_position:
                assert (each.stream, each.version) == by_position[each.position][1:3], f"seed {seed}"
        assert in_hand.findings, f"seed {seed}"
        for each in in_hand.findings:
            if each.through is not None:
                assert any(each.position <= position <= each.through for position in touched), f"seed {seed}"
        if not covered_up:
            assert {each.position for each in in_hand.findings} == touched, f"seed {seed}"
    assert (await held_together(connection, kept, [last])).findings == ()
    await connection.close()


async def test_random_changes_by_sql_are_found_and_named(kept: Kept) -> None:
    """Thirty of them; each is taken back."""
    await campaign(kept, MUTATIONS)


@pytest.mark.campaign
@pytest.mark.timeout(1800)
async def test_a_thousand_changes_by_sql_are_found_and_named(kept: Kept) -> None:
    """The same at length."""
    await campaign(kept, MUTATIONS_CAMPAIGN)
