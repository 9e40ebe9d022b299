"""Many readers of one log: one look for all of them, one page for all of them."""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

from gateway.log_pages import LogPages

JOB = UUID(int=7)
READERS = 300


class Log:
    """A log whose lines come from another process: who wants to know whether there are more has to look."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.looks = 0

    def received_through(self, *_: object) -> int | None:
        return None

    async def read(self, _job: UUID, _attempt: int, first: int) -> AsyncIterator[tuple[int, list[bytes]]]:
        self.looks += 1
        there = self.lines[first - 1 :]
        for _ in range(9):
            await asyncio.sleep(0)  # a look takes a while, in which more may come, and others
        if there:
            yield first, there


async def test_many_readers_at_the_end_of_a_log_look_twice_at_most() -> None:
    """Each of them may have asked after the first look began, so there is a second one; more would tell nothing more."""
    log = Log()
    pages = LogPages(log)  # type: ignore[arg-type]  # what readers need of it
    found = await asyncio.gather(*(pages.read(JOB, 1, 1) for _ in range(READERS)))
    assert [page.count for page in found] == [0] * READERS
    assert log.looks <= 2


async def test_a_line_that_comes_while_others_look_is_found() -> None:
    """Who asks after the line came gets it, also where a look is under way that began before."""
    log = Log()
    pages = LogPages(log)  # type: ignore[arg-type]  # what readers need of it
    early = asyncio.create_task(pages.read(JOB, 1, 1))
    while not log.looks:
        await asyncio.sleep(0)
    log.lines.append(b"{}")
    assert [page.count for page in await asyncio.gather(*(pages.read(JOB, 1, 1) for _ in range(READERS)))] == [1] * READERS
    assert (await early).count == 0


async def test_readers_at_the_same_place_get_the_same_bytes() -> None:
    """A page is made once, whoever asks, and its ids count on behind what was asked for."""
    log = Log()
    log.lines += [b'{"line":%d}' % number for number in range(1, 4)]
    pages = LogPages(log)  # type: ignore[arg-type]  # what readers need of it
    found = await asyncio.gather(*(pages.read(JOB, 2, 2) for _ in range(READERS)))
    assert log.looks == 1
    assert all(page is found[0] for page in found)
    assert list(found[0].items()) == [(b"2:2", b'{"line":2}'), (b"2:3", b'{"line":3}')]
