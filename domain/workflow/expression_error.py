"""The one error of the expression language, in the words GitHub uses, so that what people find on the web about it fits."""

from typing import Literal

Phase = Literal["lexing", "parsing", "evaluation"]


class ExpressionError(Exception):
    """An expression could not be read or evaluated.

    phase: where it stopped. message: GitHub's wording, with the place where there is one. position: from 1, in UTF-16
    units over the whole expression as GitHub counts; None in the evaluation phase. expression: the text it is about.
    """

    def __init__(self, phase: Phase, message: str, position: int | None = None, expression: str = "") -> None:
        super().__init__(message)
        self.phase: Phase = phase
        self.message = message
        self.position = position
        self.expression = expression


def at(phase: Phase, what: str, offset: int, expression: str) -> ExpressionError:
    """An error about the character at `offset` (from 0, in code points) of the expression."""
    before = expression[:offset]
    position = offset + 1 if before.isascii() else len(before.encode("utf-16-le", "surrogatepass")) // 2 + 1
    return ExpressionError(phase, f"{what}. Located at position {position} within expression: {expression}", position, expression)
