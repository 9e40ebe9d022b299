"""The rules by which a goal holds: medians, void rounds, the worst round against the reference's median."""

import itertools

import pytest

from bench.harness import Goal, Round, alternate, counted, holds, judge, line, percentile, unmeasured, without_reference
from bench.rows import GROUPS

FASTER = Goal(id="read", case="log", unit="ev/s", must=3, aim=5, reference="library")
LATENCY = Goal(id="first-step", case="p99", unit="ms", must=0.1, reference="peer", better="less")


def rounds(*figures: tuple[float, float], reference: str = "library", fsync_us: float = 100.0) -> list[Round]:
    """Rounds of ours and the reference, on a steady disk."""
    return [Round(fsync_us, {"ours": {"rate": ours}, reference: {"rate": other}}) for ours, other in figures]


def test_a_ratio_is_that_of_the_medians() -> None:
    """An odd round on either side moves neither the figure nor the ratio."""
    row = judge(FASTER, rounds((400, 100), (900, 100), (410, 10), (390, 101), (405, 99)))
    assert (row.figure, row.reference_figure, row.min, row.max, row.rounds) == (405, 100, 390, 900, 5)
    assert row.ratio == pytest.approx(4.05)
    assert row.holds


def test_one_bad_round_of_ours_breaks_a_ratio() -> None:
    """The worst round has to keep the goal against the reference's median, not only the median."""
    row = judge(FASTER, rounds((400, 100), (400, 100), (299, 100)))
    assert row.ratio == 4
    assert row.holds is False


def test_less_is_better_for_latencies() -> None:
    """There the longest round counts, and the ratio has to stay below the goal."""
    assert judge(LATENCY, rounds((9, 100), (10, 100), (8, 100), reference="peer")).holds
    assert judge(LATENCY, rounds((9, 100), (10.1, 100), (8, 100), reference="peer")).holds is False


def test_without_a_reference_the_goal_is_a_bound_in_the_rows_unit() -> None:
    """Every round has to be within it."""
    goal = Goal(id="help", case="process", unit="ms", must=120, better="less")
    row = judge(goal, rounds((100, 0), (119, 0)))
    assert (row.ratio, row.reference_figure, row.holds) == (None, None, True)
    assert not holds("less", [100, 121], None, 120)
    assert not holds("more", [119, 121], None, 120)


def test_a_round_on_a_slow_disk_is_void() -> None:
    """Over three times the median of the probes: its figures count neither for nor against."""
    given = [*rounds((400, 100), (410, 100), (405, 100)), *rounds((20, 100), fsync_us=301.0)]
    row = judge(FASTER, given)
    assert (row.rounds, row.min, row.holds, row.fsync_us) == (3, 400, True, 100.0)
    assert len(counted([*given[:3], *rounds((20, 100), fsync_us=300.0)])) == 4


async def test_sides_take_turns_and_void_rounds_are_made_up_for() -> None:
    """One warm-up of each side, then rounds of all sides until enough of them count."""
    turns: list[str] = []
    disk = itertools.chain([100.0, 900.0], itertools.repeat(100.0))

    async def ours() -> dict[str, float]:
        turns.append("ours")
        return {"rate": 1.0}

    async def library() -> dict[str, float]:
        turns.append("library")
        return {"rate": 1.0}

    done = await alternate({"ours": ours, "library": library}, lambda: next(disk), rounds=3)
    assert len(done) == 4
    assert len(counted(done)) == 3
    assert turns == ["ours", "library"] * 5


async def test_a_disk_that_never_calms_down_does_not_hold_the_run_up() -> None:
    """At most twice the rounds are tried."""

    async def ours() -> dict[str, float]:
        return {"rate": 1.0}

    disk = itertools.cycle([1.0, 1.0, 1.0, 100.0, 100.0])
    assert len(await alternate({"ours": ours}, lambda: next(disk), rounds=5)) <= 10


def test_a_percentile_is_one_of_the_values() -> None:
    """The smallest that at least that share of the values do not exceed."""
    values = [float(number) for number in range(1, 101)]
    assert (percentile(values, 0.5), percentile(values, 0.99), percentile(values, 1.0)) == (50, 99, 100)
    assert percentile([7.0], 0.5) == percentile([7.0], 0.99) == 7


def test_a_peer_that_is_not_there_gives_no_judgement() -> None:
    """Our own figure stands, the verdict is open, and the reason is told; never a figure from elsewhere."""
    row = without_reference(FASTER, [Round(100.0, {"ours": {"rate": 5.0}})], "no package index")
    assert (row.figure, row.reference, row.reference_figure, row.ratio, row.holds) == (5.0, "library", None, None, None)
    assert "no package index" in line(row)
    nothing = unmeasured(FASTER, "the server did not start")
    assert (nothing.figure, nothing.holds) == (None, None)
    assert "the server did not start" in line(nothing)


def test_the_printed_line_says_what_was_measured_and_asked() -> None:
    """Figure, spread, ratio, reference, goal and verdict stand on one line."""
    text = line(judge(FASTER, rounds((400, 100), (400, 100))))
    for part in ("read", "400 ev/s", "[400 .. 400]", "4x library (100)", "must >= 3x, aim 5x: holds"):
        assert part in text


def test_every_id_belongs_to_one_group() -> None:
    """No row is measured twice."""
    ids = [name for group in GROUPS.values() for name in group]
    assert len(ids) == len(set(ids))
