"""What the gateways of one store tell each other about runners."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import psycopg

from infra.sightings import PostgresSightings

FIRST, SECOND, THIRD = (UUID(int=number) for number in (1, 2, 3))


async def test_a_gateway_hears_of_the_others_and_not_of_itself(postgres_url: str) -> None:
    """The last to have seen a runner counts, for so long; what is a day old is forgotten."""

    @asynccontextmanager
    async def connections() -> AsyncIterator[Any]:
        async with await psycopg.AsyncConnection.connect(postgres_url, autocommit=True) as connection:
            yield connection

    one, two = PostgresSightings(connections), PostgresSightings(connections)
    await one.tell([FIRST, SECOND])
    everybody = [FIRST, SECOND, THIRD]
    assert await two.elsewhere(everybody, 60) == {FIRST, SECOND}
    assert await two.elsewhere([SECOND], 60) == {SECOND}
    assert await one.elsewhere(everybody, 60) == set()
    await two.tell([SECOND])
    assert await one.elsewhere(everybody, 60) == {SECOND}
    assert await two.elsewhere(everybody, 60) == {FIRST}
    async with connections() as connection:
        await connection.execute("UPDATE public.sightings_0 SET seen_at = seen_at - interval '25 hours'")
    assert await one.elsewhere(everybody, 60) == await two.elsewhere(everybody, 60) == set()
    await one.tell([FIRST])
    async with connections() as connection:
        assert await (await connection.execute("SELECT runner FROM public.sightings_0")).fetchall() == [(FIRST,)]
