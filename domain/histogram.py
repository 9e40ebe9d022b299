"""A histogram as monitoring knows it: how many values were at most so large, and their sum."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence

Labels = tuple[str, ...]
"""The values of a figure's labels, in their order."""


class Histogram:
    """Counts of values by upper bound. `observe` costs about what adding to a dictionary does."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        """bounds: the upper bounds, ascending; a last one without a limit is added."""
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Count one value. Below 0 stands for 0: two clocks never agree to the last microsecond."""
        if value < 0:
            value = 0.0
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    @property
    def count(self) -> int:
        """How many values there were."""
        return sum(self.counts)

    def cumulative(self) -> Iterator[tuple[float, int]]:
        """(upper bound, how many values were at most so large), the last bound being infinity."""
        so_far = 0
        for bound, count in zip((*self.bounds, float("inf")), self.counts, strict=True):
            so_far += count
            yield bound, so_far
