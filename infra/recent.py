"""The last rows that this process has committed, for consumers that stand right before them: they need not ask the store.

Positions are given under the shard's lock, so nothing can lie between a position and the next number. Rows of this
process whose positions follow each other without a hole are therefore the log itself for whoever stands at their
beginning. A hole (another process has written, or a transaction has failed) ends that: the rows before it are forgotten,
and who stood before it reads the store. Each row is decoded from its stored bytes, once for all consumers.
"""

from collections.abc import Sequence

from domain.envelope import Recorded
from domain.ports import Page
from infra import codec
from infra.append_call import StoredRow

ROWS_MAX = 4_000
BYTES_MAX = 4 << 20


class Recent:
    """Rows of consecutive positions up to the last own commit. Belongs to one event loop."""

    def __init__(self) -> None:
        self._rows: list[StoredRow] = []
        self._events: list[Recorded] = []
        """Of the first rows; the others are decoded when somebody wants them."""
        self._bytes = 0

    def add(self, rows: Sequence[StoredRow]) -> None:
        """Rows that were just committed, of consecutive positions."""
        if self._rows and rows[0][0] != self._rows[-1][0] + 1:
            self._forget(len(self._rows))
        self._rows.extend(rows)
        self._bytes += sum(len(row[4]) for row in rows)
        if len(self._rows) > ROWS_MAX or self._bytes > BYTES_MAX:
            self._forget(len(self._rows) - len(rows))  # who is that far behind reads larger pages from the store

    def rows(self, after: int, limit: int) -> Sequence[StoredRow]:
        """At most `limit` rows from the one right behind `after`; none where it is not here."""
        start = self._start(after)
        return () if start is None else self._rows[start : start + limit]

    def page(self, after: int, limit: int) -> Page | None:
        """The same as a page."""
        start = self._start(after)
        if start is None:
            return None
        end = min(start + limit, len(self._rows))
        self._events.extend([codec.recorded(*row) for row in self._rows[len(self._events) : end]])
        events = tuple(self._events[start:end])
        return Page(after, events[0].position, events[-1].position, events)

    def _start(self, after: int) -> int | None:
        start = after + 1 - self._rows[0][0] if self._rows else -1
        return start if 0 <= start < len(self._rows) else None

    def _forget(self, count: int) -> None:
        self._bytes -= sum(len(row[4]) for row in self._rows[:count])
        del self._rows[:count]
        del self._events[:count]
