"""Folds in memory: the same rows whatever the pages, and whatever the heartbeats."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.envelope import Recorded, Unreadable
from domain.job.events import HeartbeatRecorded, StepCompleted
from projections.catalogue import VIEWS
from projections.fold import Folder, fold, folded
from projections.table import View
from tests.projections.histories import history, paged

HISTORIES = {seed: history(seed, 150) for seed in range(3)}


def rows_of(folder: Folder) -> dict[str, dict[Any, Any]]:
    """All rows of a folder, by table and key."""
    return {cache.table.name: {key: slot.row for key, slot in cache.young.items() if slot.row is not None} for cache in folder.caches}


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS.keys())
@settings(max_examples=25)
@given(seed=st.sampled_from(sorted(HISTORIES)), cuts=st.lists(st.integers(1, 600), max_size=12))
def test_page_boundaries_do_not_matter(view: View, seed: int, cuts: list[int]) -> None:
    """Folding page by page, with rows forgotten and fetched again in between, gives what one fold gives."""
    events = HISTORIES[seed].log
    folder = Folder(view.tables, 0)
    stored: dict[str, dict[Any, Any]] = {table.name: {} for table in view.tables}
    for page in paged(events, cuts):
        steps = folder.claim(page.events)
        for cache in folder.caches:
            known = stored[cache.table.name]
            cache.fill([known[slot.key] for slot in cache.missing if slot.key in known])
        folder.apply(steps)
        for cache in folder.caches:
            for slot in cache.dirty:
                stored[cache.table.name].pop(slot.key, None)
                if slot.row is not None:
                    stored[cache.table.name][slot.key] = slot.row
            cache.written()
            cache.old.clear()
    assert stored == fold(view.tables, events)


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS.keys())
def test_every_view_has_rows_to_be_tested_on(view: View) -> None:
    """The histories reach every table of every view; otherwise the tests above would prove nothing."""
    reached = [fold(view.tables, world.log) for world in HISTORIES.values()]
    for table in view.tables:
        assert any(made[table.name] for made in reached), table.name


def test_only_the_last_heartbeat_counts() -> None:
    """Dropping all heartbeats changes nothing in the status view, so they may be as many as they like."""
    events = HISTORIES[0].log
    quiet = [event for event in events if not isinstance(event.data, HeartbeatRecorded)]
    assert fold(VIEWS["status"].tables, quiet) == fold(VIEWS["status"].tables, events)


def test_an_event_that_this_version_cannot_read_touches_no_row() -> None:
    """It is left to the rebuild that the version which can read it starts with."""
    first = HISTORIES[0].log[0]
    unreadable = Recorded(first.position, first.stream, 1, "FromTheFuture", 1, first.meta, Unreadable("unknown_type", b"{}"))
    for view in VIEWS.values():
        assert not any(fold(view.tables, [unreadable]).values())


def test_a_changed_definition_has_another_digest() -> None:
    """Another version, or another table, means that the stored rows were made by another fold."""
    status = VIEWS["status"]
    assert View("status", status.tables, version=2).digest != status.digest
    assert View("status", status.tables[:3]).digest != status.digest
    assert View("status", status.tables).digest == status.digest


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS.keys())
def test_the_quick_fold_is_the_careful_one(view: View) -> None:
    """The same rows; and where an event cannot be folded, or makes a row that Postgres cannot hold, the same streams wait."""
    events = HISTORIES[0].log
    at = next(index for index, event in enumerate(events) if isinstance(event.data, StepCompleted))
    large = msgspec.structs.replace(events[at], data=msgspec.structs.replace(events[at].data, exit_code=2**70))
    broken = msgspec.structs.replace(events[at], data=Unreadable("malformed", b"{}"))
    for log in (events, [*events[:at], large, *events[at + 1 :]], [*events[:at], broken, *events[at + 1 :]]):
        careful = Folder(view.tables, 0, careful=True)
        careful.apply(careful.claim(log))
        quick = folded(view.tables, log)
        assert (rows_of(quick), quick.parked) == (rows_of(careful), careful.parked)
        assert bool(quick.parked) == (log is not events and (view.name == "status" or log[at] is broken))
