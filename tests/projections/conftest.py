"""A database for the views, and projectors that end with the test."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import psycopg
import pytest

from domain.ports import EventStore, Feed
from infra.pool import Pool
from projections import positions
from projections.catalogue import VIEWS
from projections.projector import Projector
from projections.table import View

Connect = Callable[[], Any]


@pytest.fixture
async def pool(postgres_url: str) -> AsyncIterator[Pool]:
    """Connections to a fresh database, in autocommit mode as the product uses them."""
    opened = Pool(postgres_url, "views")
    yield opened
    await opened.close()


@pytest.fixture
def connect(postgres_url: str) -> Connect:
    """Makes a connection of its own."""
    return lambda: psycopg.AsyncConnection.connect(postgres_url, autocommit=True)


@pytest.fixture
def projecting(connect: Connect, pool: Pool) -> Callable[..., AbstractAsyncContextManager[Projector]]:
    """Runs a projector over a log for as long as the block lasts, which begins when its views have reached the head."""

    @asynccontextmanager
    async def run(log: Any, views: Sequence[View] = tuple(VIEWS.values())) -> AsyncIterator[Projector]:
        feed: Feed = log
        store: EventStore = log
        projector = Projector(connect, feed, views)
        await projector.prepare()
        task = asyncio.create_task(projector.run())
        try:
            for view in views:
                reached = await positions.wait(pool.connection, view.name, await store.head(), 20)
                assert reached or task.done(), f"{view.name} does not reach the head"
            yield projector
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    return run
