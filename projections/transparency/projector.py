"""Makes the stored tree grow behind the append, page by page, and signs checkpoints of it.

The position moves with the tree, in one statement. Like the views it may lose its last commits in a crash and adds them
again: rows of the log never change, so it arrives at the same tree. A checkpoint is signed after so many events or seconds,
written to the place outside the database first and then kept in it too. It signs nothing that does not continue what it
signed before, as the place outside remembers it: an owner of the database who writes the tree anew gets no signature for it.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, Protocol

import psycopg

from domain.ports import StoreUnavailable
from domain.transparency import checkpoints
from domain.transparency.checkpoints import Held, IsSigned, Refused, Signed
from domain.transparency.entry import ENTRY_BYTES
from domain.transparency.growth import Growth
from domain.transparency.note import read_checkpoint, read_note, verifier_key
from projections.projector import RETRY_SECONDS, STANDBY_SECONDS, Connect, while_connected
from projections.rows import Connection
from projections.transparency import proofs, tables
from projections.transparency.proofs import TreeDamaged

PAGE_EVENTS = 1000
PAUSE_SECONDS = 0.1
LOOK_SECONDS = 2.0
"""How often it looks without being told."""
LAST_SECONDS_MAX = 5.0
DAMAGED_RETRY_SECONDS = 60.0

_log = logging.getLogger("ledgermill.tree")


Grown = Callable[[int, float], Awaitable[None]]
"""Returns when the log is known to be past a position, on any doubt, or after so many seconds."""


class Key(Protocol):
    """What signs. public: 32 bytes of Ed25519."""

    public: bytes

    def sign(self, content: bytes) -> bytes:
        """The signature."""


class Outside(Protocol):
    """A place outside the database that keeps entries and checkpoints. Its calls block, and raise OSError."""

    def held(self) -> Held:
        """What is there."""

    def extend(self, first: int, entries: bytes) -> None:
        """Put entries behind the first ones, durably; what lies there behind them was never signed."""

    def keep(self, checkpoint: Signed, key: str) -> None:
        """Keep a checkpoint, durably."""


class TreeProjector:
    """Runs until cancelled. Any number of processes may run the same one; one of them works.

    grown: tells of new events; key: gives what signs, when it is first needed. A checkpoint comes after `events_max` events or
    `seconds_max` seconds.
    """

    def __init__(
        self,
        connect: Connect,
        grown: Grown,
        outside: Outside,
        key: Callable[[], Key],
        is_signed: IsSigned,
        *,
        events_max: int,
        seconds_max: float,
    ) -> None:
        self._connect = connect
        self._grown = grown
        self._outside = outside
        self._key = key
        self._is_signed = is_signed
        self._events_max = events_max
        self._seconds_max = seconds_max
        self._growth = Growth()
        self._signed = 0
        self._agreed = False
        self._pending: list[bytes] = []
        self._told = ""
        self._origin = ""
        self._loaded: Key | None = None

    async def run(self) -> None:
        """Work until cancelled. A lost database is met by starting afresh."""
        while True:
            try:
                await self._session()
            except (psycopg.OperationalError, StoreUnavailable) as error:
                _log.warning("the tree stands still: %s", error)
                await asyncio.sleep(RETRY_SECONDS)
            except TreeDamaged as error:
                _log.error("the tree stands still: %s; to have it grow anew: drop schema transparency cascade", error)
                await asyncio.sleep(DAMAGED_RETRY_SECONDS)

    async def _session(self) -> None:
        """One connection's life."""
        connection = await self._connect()
        try:
            await connection.set_autocommit(True)
            await connection.execute("SET synchronous_commit = off")
            await tables.prepare(connection)
            while not await _elected(connection):  # noqa: ASYNC110 - a lock in the database tells nobody that it is free
                await asyncio.sleep(STANDBY_SECONDS)
            self._growth = await proofs.grown(connection)
            self._signed, self._agreed, self._pending = 0, False, []
            self._origin = await self._name(connection)
            await while_connected(connection, self._follow(connection))
        finally:
            await connection.close()

    async def _name(self, connection: Connection) -> str:
        """The name of the log. A tree that grows anew has the one that it was signed under before."""
        if self._growth.size == 0:
            with suppress(OSError, ValueError):
                note = (await asyncio.to_thread(self._outside.held)).note
                if note is not None:
                    await tables.rename(connection, read_checkpoint(read_note(note).text).origin)
        return await tables.origin(connection)

    async def _follow(self, connection: Connection) -> None:
        """Add what is new a few times a second; sign when there is something to sign and it is time.

        Nobody waits for the tree, and a commit of its own for each one of the log would cost as much as the log.
        """
        due = time.monotonic() + self._seconds_max
        try:
            while True:
                unsigned = self._growth.size - self._signed
                await self._grown(self._growth.position, min(LOOK_SECONDS, due - time.monotonic()) if unsigned else LOOK_SECONDS)
                await asyncio.sleep(PAUSE_SECONDS)
                due = due if unsigned else time.monotonic() + self._seconds_max
                while await self._grow(connection):
                    if self._growth.size - self._signed >= self._events_max:
                        await _whole(self._checkpoint(connection))
                if self._growth.size - self._signed >= self._events_max or (unsigned and time.monotonic() >= due):
                    await _whole(self._checkpoint(connection))
        finally:
            if self._growth.size > self._signed:
                with suppress(Exception):  # the next process signs what this one could not
                    await asyncio.wait_for(self._checkpoint(connection), LAST_SECONDS_MAX)

    async def _grow(self, connection: Connection) -> bool:
        """Add a page; whether there may be another one."""
        added = await tables.new_entries(connection, self._growth.position, PAGE_EVENTS)
        if not added:
            return False
        change = self._growth.take(added)
        try:
            await tables.grow(connection, change)
        except BaseException:
            self._signed = self._growth.size  # memory is ahead of the tables: nothing may be signed before it is read again
            raise
        self._pending.append(added)
        return len(added) == PAGE_EVENTS * ENTRY_BYTES

    async def _checkpoint(self, connection: Connection) -> None:
        """Sign the tree as it is, unless it is not what was signed before; then say so, and look again next time."""
        size = self._growth.size
        pending, self._pending = b"".join(self._pending), []
        try:
            await self._sign(connection, pending)
            self._agreed, self._told = True, ""
        except (Refused, TreeDamaged, OSError, ValueError) as error:
            self._agreed = False
            if str(error) != self._told:
                self._told = str(error)
                _log.error("no checkpoint is signed: %s", error)
        self._signed = size

    async def _sign(self, connection: Connection, pending: bytes) -> None:
        growth = self._growth
        size, position, root = growth.size, growth.position, growth.root()
        origin, key = self._origin, await self._signer()
        published = verifier_key(origin, key.public)
        begin = self._signed
        if not self._agreed:
            begin, last = await self._agree(connection, origin, published)
            if last is not None:
                await tables.keep(connection, last, published)  # it may be that only the place outside learned of it
                if last.size == size:
                    return
        kept_from = size - len(pending) // ENTRY_BYTES
        async for first, content in tables.entries(connection, begin, max(begin, kept_from)):
            await asyncio.to_thread(self._outside.extend, first, content)
        begin, rest = max(begin, kept_from), pending[max(0, begin - kept_from) * ENTRY_BYTES :]

        def write() -> Signed:
            made = checkpoints.signed(origin, size, root, position, public=key.public, sign=key.sign)
            self._outside.extend(begin, rest)
            self._outside.keep(made, published)
            return made

        await tables.keep(connection, await asyncio.to_thread(write), published)

    async def _signer(self) -> Key:
        if self._loaded is None:
            self._loaded = await asyncio.to_thread(self._key)
        return self._loaded

    async def _agree(self, connection: Connection, origin: str, key: str) -> tuple[int, Signed | None]:
        """How many signed entries are outside, and what was signed last. Raises Refused where the tree does not continue that."""
        held = await asyncio.to_thread(self._outside.held)
        if held.note is None:
            return 0, None
        last = checkpoints.opened(held.note, origin, (key, *held.keys), self._is_signed)
        if self._growth.size < last.size:
            said = f"{last.size} events, up to position {last.position}, were signed before, and the log has {self._growth.size}"
            raise Refused("size", said)
        if await proofs.root(connection, last.size) != last.root:
            raise Refused("root", f"the log up to position {last.position} is not what was signed before: ledgermill audit verify")
        return min(held.entries, last.size), last


async def _whole(work: Coroutine[Any, Any, None]) -> None:
    """Do it to its end, whoever cancels meanwhile: half a checkpoint would be signed again."""
    working = asyncio.ensure_future(work)
    try:
        await asyncio.shield(working)
    except asyncio.CancelledError:
        await asyncio.wait({working}, timeout=LAST_SECONDS_MAX)
        raise


async def _elected(connection: Connection) -> bool:
    cursor = await connection.execute("SELECT pg_try_advisory_lock(hashtextextended('ledgermill.tree', 0))")
    found = await cursor.fetchone()
    return found is not None and bool(found[0])
