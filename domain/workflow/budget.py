"""What one evaluation may use: memory as GitHub counts it, and work, so that a hostile expression ends in milliseconds.

The limits are on what an expression makes and walks through, not on the contexts it is given: those exist already.
"""

from typing import Final

from domain.workflow.expression_error import ExpressionError

MEMORY_BYTES_MAX: Final = 1_048_576
"""The default limit on the strings and arrays alive at one moment, at two bytes a character as in GitHub's runner."""

WORK_MAX: Final = 10_000_000
"""The limit on characters compared and items visited (64 units each) in one evaluation; at most about 0.1 s."""

ITEM_COST: Final = 64
_STRING_OVERHEAD: Final = 26


class Budget:
    """Counts the memory and the work of one evaluation."""

    __slots__ = ("bytes", "bytes_max", "work")

    def __init__(self, bytes_max: int) -> None:
        self.bytes = 0
        self.bytes_max = bytes_max
        self.work = 0

    def hold(self, count: int) -> None:
        """Account for memory that a new value takes. Raises ExpressionError when it is too much."""
        self.bytes += count
        if self.bytes > self.bytes_max:
            raise ExpressionError("evaluation", "The maximum allowed memory size was exceeded")

    def hold_text(self, length: int) -> None:
        """Account for a new string of `length` characters."""
        self.hold(_STRING_OVERHEAD + 2 * length)

    def spend(self, units: int) -> None:
        """Account for work. Raises ExpressionError when it is too much."""
        self.work += units
        if self.work > WORK_MAX:
            raise ExpressionError("evaluation", "The expression takes too long to evaluate")
