"""What those who follow a log read next, read once for all of them.

A thousand readers of one job are at the same line nearly all the time: the first of them reads, the others get the same
page. So a page costs its making and its memory once, and a client that takes nothing holds one page of it. It must never
keep an empty page: what it keeps has to be true for ever.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import aclosing
from typing import Any, cast
from uuid import UUID

from gateway.batches import NOTHING, PIECE_BYTES, Batch, batch
from gateway.ports import Logs

READ_BYTES = 256 * 1024
"""So much is read at a time: a stored segment is unpacked whole in any case."""
KEPT_BYTES = 4 * 1024 * 1024

Key = tuple[UUID, int, int]
"""Job, attempt, number of the first line."""


class LogPages:
    """The pages that were read last, of all logs together at most KEPT_BYTES. Ids are attempt:line."""

    def __init__(self, logs: Logs) -> None:
        self._logs = logs
        self._kept: OrderedDict[Key, Batch] = OrderedDict()
        self._bytes = 0
        self._reading: dict[Key, asyncio.Task[Batch]] = {}

    async def read(self, job: UUID, attempt: int, first: int) -> Batch:
        """Records from line `first` on, about PIECE_BYTES at most; empty where there are none yet."""
        key = (job, attempt, first)
        kept = self._kept.get(key)
        if kept is not None:
            self._kept.move_to_end(key)
            return kept
        received = self._logs.received_through(job, attempt)
        if received is not None and received < first:
            return NOTHING
        joined = self._reading.get(key)
        if joined is not None:
            page = await asyncio.shield(joined)
            if page.count:
                return page
            # It began before this one was asked for, so it may be older than the lines that this one is asked for. Whatever
            # is under way now began after that: one more look is enough, however many look.
        reading = self._reading.get(key)
        if reading is None:
            reading = self._reading[key] = asyncio.create_task(self._read(key))
        return await asyncio.shield(reading)  # the others wait for it, whoever began

    async def _read(self, key: Key) -> Batch:
        """Read on from there; keeps all that was found, returns its first page."""
        try:
            found = await self._found(key)
        finally:
            del self._reading[key]  # at once: nobody may join a reading that has ended
        job, attempt, first = key
        pages = []
        for records in _cut(found):
            page = batch((b"%d:%d" % (attempt, line), record) for line, record in enumerate(records, first))
            pages.append(((job, attempt, first), page))
            first += page.count
        for place, page in reversed(pages):  # the first one is needed first, so it goes last
            self._keep(place, page)
        return pages[0][1] if pages else NOTHING

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

    def _keep(self, key: Key, page: Batch) -> None:
        if key in self._kept:
            return
        self._kept[key] = page
        self._bytes += page.size
        while self._bytes > KEPT_BYTES and len(self._kept) > 1:
            _, gone = self._kept.popitem(last=False)
            self._bytes -= gone.size


def _cut(records: list[bytes]) -> Iterator[list[bytes]]:
    """The records in pages."""
    begin = size = 0
    for number, record in enumerate(records, 1):
        size += len(record)
        if size >= PIECE_BYTES or number == len(records):
            yield records[begin:number]
            begin, size = number, 0
