"""Own commits from memory: only what is the log itself for whoever stands before it."""

import pytest

from infra import codec, recent
from infra.append_call import StoredRow
from infra.recent import Recent
from tests.samples import stream, write


def rows(first: int, count: int) -> list[StoredRow]:
    """Rows of consecutive positions."""
    topic, state = codec.to_row(write(stream(1)).events[0])
    return [(first + number, stream(first + number), 1, topic, state) for number in range(count)]


def positions(kept: Recent, after: int, limit: int = 100) -> list[int]:
    """Of the page behind `after`, which must be the rows behind it too."""
    page = kept.page(after, limit)
    found = [event.position for event in page.events] if page is not None else []
    assert [row[0] for row in kept.rows(after, limit)] == found
    assert page is None or (page.previous, page.first, page.last) == (after, found[0], found[-1])
    return found


def test_commits_that_follow_each_other_are_one_piece_of_the_log() -> None:
    """From any place in it, up to the limit; none from its end or from elsewhere."""
    kept = Recent()
    assert positions(kept, 0) == []
    kept.add(rows(5, 2))
    kept.add(rows(7, 3))
    assert positions(kept, 4) == [5, 6, 7, 8, 9]
    assert positions(kept, 4, 3) == [5, 6, 7]
    assert positions(kept, 6) == [7, 8, 9]
    assert positions(kept, 3) == []
    assert positions(kept, 9) == []
    assert positions(kept, 20) == []


def test_a_hole_ends_what_came_before_it() -> None:
    """Behind 6 somebody else has written, or will not: only the store knows."""
    kept = Recent()
    kept.add(rows(5, 2))
    kept.add(rows(9, 1))
    assert positions(kept, 4) == []
    assert positions(kept, 6) == []
    assert positions(kept, 7) == []
    assert positions(kept, 8) == [9]


def test_a_log_that_was_set_back_is_believed() -> None:
    """A restored database gives positions again that were given before."""
    kept = Recent()
    kept.add(rows(5, 2))
    kept.add(rows(3, 1))
    assert positions(kept, 2) == [3]
    assert positions(kept, 4) == []


def test_events_are_decoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Consumers at the same place share them."""
    kept = Recent()
    kept.add(rows(1, 3))
    one, other = kept.page(0, 10), kept.page(0, 10)
    assert one is not None
    assert other is not None
    assert all(first is second for first, second in zip(one.events, other.events, strict=True))
    monkeypatch.setattr(recent, "ROWS_MAX", 4)
    kept.add(rows(4, 2))
    again = kept.page(3, 10)
    assert again is not None
    assert [event.position for event in again.events] == [4, 5]


def test_it_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Past the bound only the last commit is kept."""
    monkeypatch.setattr(recent, "ROWS_MAX", 4)
    kept = Recent()
    kept.add(rows(1, 3))
    kept.add(rows(4, 2))
    assert positions(kept, 0) == []
    assert positions(kept, 3) == [4, 5]
    monkeypatch.setattr(recent, "BYTES_MAX", 10)
    kept.add(rows(6, 1))
    assert positions(kept, 3) == []
    assert positions(kept, 5) == [6]
