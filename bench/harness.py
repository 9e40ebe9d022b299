"""How a figure is taken and when a goal holds: ours and the references in turn, in one run, on one machine.

A machine that others share drifts more than most differences that are measured here. So every round runs every side
once, beside a probe of the disk; a round in which the disk was unlike the others is void; and a goal holds only if our
worst round keeps it against the reference's median. A figure from another run or another machine must never stand in
for one that could not be measured: such a row says why, and holds neither way.
"""

import gc
import math
import os
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import msgspec

Better = Literal["more", "less"]
Figures = Mapping[str, float]
"""What one side measured in one round, by name: {"rate": 3400.0, "p99": 4.1}."""

Side = Callable[[], Awaitable[Figures]]

ROUNDS = 5
VOID_FACTOR = 3.0
PROBES = 60


class Round(msgspec.Struct, frozen=True):
    """One turn of all sides. fsync_us: what the disk took just before. figures: by side and name."""

    fsync_us: float
    figures: Mapping[str, Figures]


class Goal(msgspec.Struct, frozen=True, kw_only=True):
    """What one row asks. must, aim: a ratio to the reference, or a bound in the row's own unit (`bound`, or no reference).

    side, figure: which of the measured figures is ours. reference, reference_figure: the same of the other side; the
    figure's name is ours by default. With `bound` the reference stands beside the figure and does not decide.
    """

    id: str
    case: str
    unit: str
    must: float
    side: str = "ours"
    figure: str = "rate"
    reference: str | None = None
    reference_figure: str | None = None
    aim: float | None = None
    better: Better = "more"
    bound: bool = False

    @property
    def goal_unit(self) -> str:
        """What must and aim count: "x" for ratios."""
        return self.unit if self.bound or self.reference is None else "x"


class Row(msgspec.Struct, kw_only=True):
    """One line of the results. holds: None where nothing could be measured; reason says why, or what was left out."""

    id: str
    case: str
    better: Better
    figure: float | None
    unit: str
    reference: str | None
    reference_figure: float | None
    ratio: float | None
    must: float
    aim: float | None
    goal_unit: str
    holds: bool | None
    min: float | None
    max: float | None
    rounds: int
    fsync_us: float | None
    load: float
    reason: str = ""


async def alternate(sides: Mapping[str, Side], probe: Callable[[], float], rounds: int = ROUNDS) -> list[Round]:
    """Warm every side up once, then run all of them in turn until `rounds` rounds count, at most twice as many in all."""
    for side in sides.values():
        await side()
    done: list[Round] = []
    while len(done) < 2 * rounds and len(counted(done)) < rounds:
        figures = {}
        fsync_us = probe()
        for name, side in sides.items():
            gc.collect()
            figures[name] = await side()
        done.append(Round(fsync_us, figures))
    return done


def counted(rounds: Sequence[Round]) -> list[Round]:
    """The rounds that are not void: whose probe is within three times the median of all."""
    if not rounds:
        return []
    usual = statistics.median(each.fsync_us for each in rounds)
    return [each for each in rounds if each.fsync_us <= VOID_FACTOR * usual]


def judge(goal: Goal, rounds: Sequence[Round], note: str = "") -> Row:
    """The row of a goal from its rounds. note: stands in `reason`, e.g. why there were few rounds."""
    valid = counted(rounds)
    ours = [each.figures[goal.side][goal.figure] for each in valid]
    figure = statistics.median(ours)
    reference_figure = ratio = None
    if goal.reference is not None:
        reference_figure = statistics.median(each.figures[goal.reference][goal.reference_figure or goal.figure] for each in valid)
        ratio = figure / reference_figure
    return Row(
        id=goal.id,
        case=goal.case,
        better=goal.better,
        figure=figure,
        unit=goal.unit,
        reference=goal.reference,
        reference_figure=reference_figure,
        ratio=ratio,
        must=goal.must,
        aim=goal.aim,
        goal_unit=goal.goal_unit,
        holds=holds(goal.better, ours, reference_figure if goal.goal_unit == "x" else None, goal.must),
        min=min(ours),
        max=max(ours),
        rounds=len(valid),
        fsync_us=statistics.median(each.fsync_us for each in valid),
        load=os.getloadavg()[0],
        reason=note,
    )


def holds(better: Better, ours: Sequence[float], reference: float | None, must: float) -> bool:
    """Whether our worst round keeps the goal: against the reference's median, or by itself where there is no reference."""
    scale = 1.0 if reference is None else reference
    if better == "more":
        return min(ours) >= must * scale
    return max(ours) <= must * scale


def unmeasured(goal: Goal, reason: str) -> Row:
    """The row of a goal that could not be measured at all."""
    return Row(
        id=goal.id,
        case=goal.case,
        better=goal.better,
        figure=None,
        unit=goal.unit,
        reference=goal.reference,
        reference_figure=None,
        ratio=None,
        must=goal.must,
        aim=goal.aim,
        goal_unit=goal.goal_unit,
        holds=None,
        min=None,
        max=None,
        rounds=0,
        fsync_us=None,
        load=os.getloadavg()[0],
        reason=reason,
    )


def without_reference(goal: Goal, rounds: Sequence[Round], reason: str) -> Row:
    """The row of a goal whose reference could not be measured: our figure, and no judgement."""
    row = judge(msgspec.structs.replace(goal, reference=None), rounds)
    row.reference, row.goal_unit, row.reason = goal.reference, goal.goal_unit, reason
    if goal.goal_unit == "x":
        row.holds = None
    return row


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of all are not above."""
    ordered = sorted(values)
    return ordered[math.ceil(share * len(ordered)) - 1]


def fsync_us(directory: Path) -> float:
    """Median microseconds of an 8 KiB overwrite with fdatasync in `directory`."""
    content = os.urandom(8192)
    descriptor = os.open(directory / "fsync.probe", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        os.pwrite(descriptor, content, 0)
        os.fsync(descriptor)
        taken = []
        for _ in range(PROBES):
            before = time.perf_counter()
            os.pwrite(descriptor, content, 0)
            os.fdatasync(descriptor)
            taken.append(time.perf_counter() - before)
    finally:
        os.close(descriptor)
    return statistics.median(taken) * 1e6


def line(row: Row) -> str:
    """A row as it is printed."""
    verdict = {True: "holds", False: "FALLS SHORT", None: "not judged"}[row.holds]
    text = f"{row.id:<16} {row.case:<46} "
    if row.figure is None:
        return f"{text}{verdict}: {row.reason}"
    text += f"{_number(row.figure)} {row.unit} [{_number(row.min)} .. {_number(row.max)}]"
    unit = "x" if row.goal_unit == "x" else f" {row.goal_unit}"
    goal = f"must {'>=' if row.better == 'more' else '<='} {_number(row.must)}{unit}"
    if row.aim is not None:
        goal += f", aim {_number(row.aim)}{unit}"
    if row.ratio is not None:
        text += f"  {_number(row.ratio)}x {row.reference} ({_number(row.reference_figure)})"
    text += f"  {goal}: {verdict}  fsync {row.fsync_us:.0f} us, load {row.load:.1f}, {row.rounds} rounds"
    return f"{text}  ({row.reason})" if row.reason else text


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"
