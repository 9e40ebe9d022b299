"""Work that one process does at a time: the other one goes on when the first is gone."""

import asyncio
from functools import partial

import psycopg
import pytest

from infra import alone

LOCK = 990
WAIT_SECONDS = 60


async def test_one_works_and_the_other_goes_on_when_it_is_gone(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its end, and by the end of its connection alone, which stops its work too."""
    monkeypatch.setattr(alone, "LOOK_SECONDS", 0.05)
    at_work: list[str] = []
    changed = asyncio.Event()

    async def work(name: str) -> None:
        at_work.append(name)
        changed.set()
        try:
            await asyncio.Event().wait()
        finally:
            at_work.remove(name)

    async def until(*names: str) -> None:
        async with asyncio.timeout(WAIT_SECONDS):
            while tuple(at_work) != names:
                changed.clear()
                await changed.wait()

    tasks = {}
    for name in ("first", "second"):
        tasks[name] = asyncio.create_task(alone.alone(postgres_url, LOCK, name, partial(work, name)))
        await until("first")
    tasks["first"].cancel()
    await until("second")
    tasks["third"] = asyncio.create_task(alone.alone(postgres_url, LOCK, "third", partial(work, "third")))
    async with await psycopg.AsyncConnection.connect(postgres_url, autocommit=True) as connection:
        await connection.execute("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND classid = 990 AND granted")
    async with asyncio.timeout(WAIT_SECONDS):
        while "third" not in at_work and "second" not in at_work:
            await asyncio.sleep(0.02)  # either may be the next
    assert len(at_work) == 1
    for task in tasks.values():
        task.cancel()
    await asyncio.gather(*tasks.values(), return_exceptions=True)
    assert at_work == []
