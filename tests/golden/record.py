"""Records the log of a server as a golden history: `python -m tests.golden.record DATABASE_URL NAME`.

A recorded history is never edited or removed. Later versions must read it, fold it to the rows that the version of its
folder folded it to, and find no breach in it. NAME.jsonl holds the stored rows byte for byte, NAME.rows.json the views.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import psycopg

from domain.envelope import Recorded
from infra import codec
from projections.catalogue import VIEWS
from projections.fold import fold

HERE = Path(__file__).parent
VERSION = "0.1.0"


class StoredRow(msgspec.Struct, frozen=True):
    """A row of the event table; state: its bytes as text."""

    position: int
    stream: str
    version: int
    topic: str
    state: str


def rows_of(events: Sequence[Recorded]) -> dict[str, Any]:
    """All rows of all views that these events make, in key order, as JSON shows them."""
    tables = [table for view in VIEWS.values() for table in view.tables]
    made = fold(tables, events)
    return {name: [msgspec.to_builtins(rows[key]) for key in sorted(rows, key=str)] for name, rows in sorted(made.items())}


def events_of(rows: Sequence[StoredRow]) -> list[Recorded]:
    """The stored rows as events."""
    return [codec.recorded(r.position, UUID(r.stream), r.version, r.topic, r.state.encode()) for r in rows]


def main() -> None:
    """Read the event table of shard 0 and write the two files."""
    url, name = sys.argv[1:]
    with psycopg.connect(url) as connection:
        found = connection.execute(
            "select notification_id, originator_id::text, originator_version, topic, convert_from(state, 'UTF8')"
            " from events_0 order by notification_id"
        ).fetchall()
    rows = [StoredRow(*row) for row in found]
    folder = HERE / VERSION
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.jsonl").write_bytes(b"".join(msgspec.json.encode(row) + b"\n" for row in rows))
    expected = msgspec.json.format(msgspec.json.encode(rows_of(events_of(rows)), order="sorted"), indent=1)
    (folder / f"{name}.rows.json").write_bytes(expected + b"\n")


if __name__ == "__main__":
    main()
