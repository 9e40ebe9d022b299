"""What is named when rows, tree and checkpoints do not agree, and where nothing outside is at hand."""

import random
from uuid import UUID

import pytest

from domain.transparency import entry
from domain.transparency.checkpoints import Signed
from domain.transparency.entry import Row
from domain.transparency.merkle import Tree, leaf_hash
from domain.transparency.verify import FINDINGS_MAX, Report, verify

ROWS: list[Row] = [(2 * n + 1, UUID(int=n % 5), n // 5 + 1, "JobStarted.v1", b"%d" % n) for n in range(100)]


def entries(rows: list[Row]) -> list[bytes]:
    return [entry.encode(row) for row in rows]


def checkpoints(*sizes: int) -> list[Signed]:
    tree = Tree()
    for each in entries(ROWS):
        tree.append(leaf_hash(each))
    return [Signed("log", size, tree.root(size), ROWS[size - 1][0], "") for size in sizes]


def found(
    rows: list[Row], tree: list[Row] | None = None, outside: list[Row] | None = None, sizes: tuple[int, ...] = (30, 60, 90)
) -> Report:
    kept, stored = entries(outside or []), entries(ROWS if tree is None else tree)
    return verify(rows, lambda first: stored[first:], lambda first: kept[first:], checkpoints(*sizes))


def named(report: Report) -> list[tuple[str, int | None, int | None]]:
    return [(each.check, each.position, each.through) for each in report.findings]


def changed(row: Row) -> Row:
    return (*row[:4], row[4] + b"!")


def test_a_sound_log_has_no_findings() -> None:
    """With and without a copy outside; events that the tree does not hold yet are counted apart."""
    assert found(ROWS) == Report(100, 100, ROWS[89][0], ())
    assert found(ROWS, outside=ROWS[:90]) == Report(100, 100, ROWS[89][0], ())
    assert found(ROWS, tree=ROWS[:95], outside=ROWS[:90]) == Report(100, 95, ROWS[89][0], ())
    assert found(ROWS, sizes=()) == Report(100, 100, 0, ())
    assert found([], tree=[], sizes=()) == Report(0, 0, 0, ())


@pytest.mark.parametrize("outside", [None, ROWS[:90]], ids=["no copy outside", "a copy outside"])
def test_a_changed_row_is_named_by_the_tree(outside: list[Row] | None) -> None:
    """Changed, dropped, added, moved, cut off: its position, stream and version as they were."""
    rows = list(ROWS)
    rows[7] = changed(rows[7])
    assert named(found(rows, outside=outside)) == [("changed", 15, None)]
    assert (found(rows).findings[0].stream, found(rows).findings[0].version) == (ROWS[7][1], ROWS[7][2])
    assert named(found(ROWS[:7] + ROWS[9:], outside=outside)) == [("dropped", 15, None), ("dropped", 17, None)]
    assert named(found([*ROWS[:7], (14, *ROWS[3][1:]), *ROWS[7:]], outside=outside)) == [("added", 14, None)]
    rows = list(ROWS)
    rows[7], rows[20] = (ROWS[7][0], *ROWS[20][1:]), (ROWS[20][0], *ROWS[7][1:])
    report = found(rows, outside=outside)
    assert named(report) == [("moved", 15, None), ("moved", 41, None)]
    assert "the event of position 41" in report.findings[0].message
    assert named(found(ROWS[:97], outside=outside)) == [("dropped", row[0], None) for row in ROWS[97:]]


def test_a_tree_that_was_written_anew_is_named_by_the_copy_outside() -> None:
    """To the event, although rows and tree agree with each other."""
    rows = list(ROWS)
    rows[70] = changed(rows[70])
    report = found(rows, tree=rows, outside=ROWS[:90])
    assert named(report) == [("tree", 141, None), ("changed", 141, None)]
    report = found(ROWS[:50], tree=ROWS[:50], outside=ROWS[:90])
    assert named(report)[0][0] == "size"
    assert named(report)[1:] == [("dropped", row[0], None) for row in ROWS[50:90]]


def test_without_the_copy_the_checkpoints_name_the_events_between_two() -> None:
    """A root that differs: after the last one that did not; a log that is too short: by the checkpoint's own position."""
    rows = list(ROWS)
    rows[70] = changed(rows[70])
    assert named(found(rows, tree=rows)) == [("root", ROWS[59][0] + 1, ROWS[89][0])]
    assert found(rows, tree=rows).covered == ROWS[59][0]
    assert named(found(ROWS[:50], tree=ROWS[:50])) == [("size", ROWS[29][0] + 1, ROWS[59][0])]
    assert named(found(rows, tree=rows, sizes=(90,))) == [("root", 1, ROWS[89][0])]


def test_a_copy_outside_that_was_damaged_counts_only_as_far_as_it_is_proved() -> None:
    """It is named itself, and the tree takes its place."""
    kept = list(ROWS[:90])
    kept[40] = changed(kept[40])
    assert named(found(ROWS, outside=kept)) == [("outside", ROWS[29][0] + 1, ROWS[59][0])]
    rows = list(ROWS)
    rows[3] = changed(rows[3])
    assert named(found(rows, outside=kept)) == [("outside", ROWS[29][0] + 1, 119), ("changed", 7, None)]


def test_a_fork_is_named_from_its_first_event_on() -> None:
    """A list that is cut off says how much longer it is."""
    forked = [*ROWS[:80], *((*row[:2], row[2], row[3], b"other") for row in ROWS[80:])]
    assert named(found(forked, outside=ROWS[:90])) == [("changed", row[0], None) for row in ROWS[80:]]
    many: list[Row] = [(n + 1, UUID(int=1), n + 1, "T.v1", b"") for n in range(FINDINGS_MAX + 5)]
    report = verify([], lambda first: entries(many)[first:], lambda _: [], [])
    assert (len(report.findings), report.more) == (FINDINGS_MAX, 5)


def test_random_changes_are_found_exactly() -> None:
    """Any set of rows changed, dropped and added: those positions are named and no others."""
    chance = random.Random(4)
    for _ in range(200):
        rows, touched = list(ROWS), set()
        for index in sorted(chance.sample(range(100), chance.randint(1, 6)), reverse=True):
            touched.add(rows[index][0])
            match chance.choice(("change", "drop", "add")):
                case "change":
                    rows[index] = changed(rows[index])
                case "drop":
                    del rows[index]
                case _:
                    touched.remove(rows[index][0])
                    touched.add(rows[index][0] - 1)
                    rows.insert(index, (rows[index][0] - 1, UUID(int=9), 1, "T.v1", b""))
        report = found(rows, outside=ROWS[:90])
        assert {each.position for each in report.findings} == touched
