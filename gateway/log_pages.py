"""What those who follow a log read next, read once for all of them.

A thousand readers of one job are at the same line nearly all the time: the first of them reads, the others get the same
page. So a page costs its memory once, and a client that takes nothing holds one page of it. It must never keep an empty
page: what it keeps has to be true for ever.
"""

import asyncio
from collections import OrderedDict
from contextlib import aclosing
from typing import Any, cast
from uuid import UUID

from gateway.ports import Logs

PAGE_BYTES = 64 * 1024
READ_BYTES = 256 * 1024
"""So much is read at a time: a stored segment is unpacked whole in any case."""
KEPT_BYTES = 4 * 1024 * 1024

Page = tuple[bytes, ...]
Key = tuple[UUID, int, int]
"""Job, attempt, number of the first line."""


class LogPages:
    """The pages that were read last, of all logs together at most KEPT_BYTES."""

    def __init__(self, logs: Logs) -> None:
        self._logs = logs
        self._kept: OrderedDict[Key, Page] = OrderedDict()
        self._bytes = 0
        self._reading: dict[Key, asyncio.Task[Page]] = {}

    async def read(self, job: UUID, attempt: int, first: int) -> Page:
        """Records from line `first` on, about PAGE_BYTES at most; empty where there are none yet."""
        key = (job, attempt, first)
        while True:
            kept = self._kept.get(key)
            if kept is not None:
                self._kept.move_to_end(key)
                return kept
            reading = self._reading.get(key)
            joined = reading is not None
            if reading is None:
                reading = self._reading[key] = asyncio.create_task(self._read(key))
            page = await asyncio.shield(reading)  # the others wait for it, whoever began
            if page or not joined:
                return page
            # A reading that began before this one was asked for may be older than the lines that it was asked for.

    async def _read(self, key: Key) -> Page:
        """Read on from there; keeps all that was found, returns its first page."""
        try:
            found = await self._found(key)
        finally:
            del self._reading[key]  # at once: nobody may join a reading that has ended
        job, attempt, first = key
        pages = _cut(found)
        for page in reversed(pages):  # the first one is needed first, so it goes last
            self._keep((job, attempt, first + len(found) - len(page)), page)
            del found[len(found) - len(page) :]
        return pages[0] if pages else ()

    async def _found(self, key: Key) -> list[bytes]:
        job, attempt, first = key
        found: list[bytes] = []
        size = 0
        async with aclosing(cast("Any", self._logs.read(job, attempt, first))) as parts:  # the log store's is a generator
            async for _, records in parts:
                found += records
                size += sum(map(len, records))
                if size >= READ_BYTES:
                    break
        return found

    def _keep(self, key: Key, page: Page) -> None:
        if key in self._kept:
            return
        self._kept[key] = page
        self._bytes += sum(map(len, page))
        while self._bytes > KEPT_BYTES and len(self._kept) > 1:
            _, gone = self._kept.popitem(last=False)
            self._bytes -= sum(map(len, gone))


def _cut(records: list[bytes]) -> list[Page]:
    """The records in pages."""
    pages: list[Page] = []
    begin = size = 0
    for number, record in enumerate(records, 1):
        size += len(record)
        if size >= PAGE_BYTES or number == len(records):
            pages.append(tuple(records[begin:number]))
            begin, size = number, 0
    return pages
