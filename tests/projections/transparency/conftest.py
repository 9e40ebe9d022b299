"""A log on a real database whose tree is kept, signed and remembered outside."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from domain.transparency.entry import Row
from infra.checkpoint_directory import CheckpointDirectory
from infra.connections import Connection, connect
from infra.event_store import PostgresEventStore
from infra.feed import PostgresFeed
from infra.signatures import is_signed
from infra.signing import SigningKey, signing_key
from projections.transparency import tables
from projections.transparency.projector import TreeProjector
from tests.samples import stream, write

PATIENCE_SECONDS = 60


class Kept(msgspec.Struct):
    """url: of the database; outside: what is remembered of its log; key: what signs."""

    url: str
    outside: CheckpointDirectory
    key: SigningKey
    path: Path

    @asynccontextmanager
    async def growing(self, *, events_max: int = 25, seconds_max: float = 60) -> AsyncIterator[PostgresFeed]:
        """Keep the tree for as long as the block lasts; signs what is unsigned at its end."""
        store = await PostgresEventStore.open(self.url)
        feed = await PostgresFeed.open(store)
        projector = TreeProjector(
            lambda: connect(self.url, "tree"),
            feed.wakeup.after,
            self.outside,
            lambda: self.key,
            is_signed,
            events_max=events_max,
            seconds_max=seconds_max,
        )
        async with await self.connection() as connection:
            await tables.prepare(connection)
        task = asyncio.create_task(projector.run())
        try:
            yield feed
            await self.reached(await store.head())
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await feed.close()
            await store.close()

    async def reached(self, position: int) -> None:
        """Wait until the stored tree holds the event at this position."""
        connection = await self.connection()
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while await tables.position(connection) < position:
                    await asyncio.sleep(0.01)  # the projector tells nobody how far it is
        finally:
            await connection.close()

    async def signed(self) -> None:
        """Wait until there is a checkpoint outside."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not self.outside.notes():
                await asyncio.sleep(0.01)  # see above

    async def connection(self) -> Connection:
        return await connect(self.url, "test")

    async def append(self, chance: random.Random, events: int) -> None:
        """Events of eight streams in turns of chance, with holes between positions."""
        store = await PostgresEventStore.open(self.url)
        connection = await self.connection()
        versions = {number: len(await store.load(stream(number))) for number in range(8)}
        while events > 0:
            number, count = chance.randrange(8), min(events, chance.choice((1, 1, 2, 5, 40)))
            await store.append([write(stream(number), versions[number], count)])
            versions[number] += count
            events -= count
            if chance.random() < 0.2:
                await connection.execute("select nextval('public.events_0_notification_id_seq')")
        await connection.close()
        await store.close()


async def rows_of(connection: Connection) -> list[Row]:
    """The log as it lies there."""
    cursor = await connection.execute(
        "SELECT notification_id, originator_id, originator_version, topic, state FROM public.events_0 ORDER BY notification_id"
    )
    return await cursor.fetchall()


@pytest.fixture
def kept(postgres_url: str, tmp_path: Path) -> Kept:
    """An empty log."""
    return Kept(postgres_url, CheckpointDirectory(tmp_path / "audit"), signing_key(tmp_path / "key"), tmp_path / "audit")
