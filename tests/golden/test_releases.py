"""Histories that released versions recorded: today's code reads them, folds them to the same rows, finds no breach."""

from pathlib import Path

import msgspec
import pytest

from domain.invariants import check
from tests.golden.record import StoredRow, events_of, rows_of

HISTORIES = sorted(Path(__file__).parent.glob("*.*.*/*.jsonl"))


def rows(history: Path) -> list[StoredRow]:
    return [msgspec.json.decode(line, type=StoredRow) for line in history.read_bytes().splitlines()]


def test_there_are_recorded_histories() -> None:
    """Every release leaves some."""
    assert HISTORIES


@pytest.mark.parametrize("history", HISTORIES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_recorded_history_folds_to_the_rows_of_its_release(history: Path) -> None:
    """An old log means today what it meant then, in the tables and columns that there were then."""
    expected = msgspec.json.decode(history.with_suffix(".rows.json").read_bytes())
    made = msgspec.json.decode(msgspec.json.encode(rows_of(events_of(rows(history)))))
    known = {
        name: [{column: row[column] for column in then} for row, then in zip(made[name], expected[name], strict=True)] for name in expected
    }
    assert known == expected


@pytest.mark.parametrize("history", HISTORIES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_recorded_history_keeps_the_invariants(history: Path) -> None:
    """The checker of today has nothing to say about it."""
    assert check(events_of(rows(history))) == []
