"""Texts with `${{ }}` in them: where the expressions are, and the one expression that the whole amounts to."""

from functools import lru_cache
from typing import Final

import msgspec

from domain.workflow.expression_error import ExpressionError
from domain.workflow.values import SPACES

OPEN: Final = "${{"
_CACHED_TEXT_MAX: Final = 2_000


class Part(msgspec.Struct, frozen=True, gc=False):
    """A piece of a template. text: literal text, or the expression without its brackets and blanks; start: its offset."""

    text: str
    start: int
    is_expression: bool = False


def parts(text: str) -> tuple[Part, ...]:
    """The pieces of a template in their order.

    Raises ExpressionError (parsing) for an expression that is empty or not closed; position counts over the whole text.
    """
    return _parts(text) if len(text) <= _CACHED_TEXT_MAX else _split(text)


def _split(text: str) -> tuple[Part, ...]:
    found: list[Part] = []
    offset = 0
    while (opening := text.find(OPEN, offset)) >= 0:
        if opening > offset:
            found.append(Part(text[offset:opening], offset))
        closing = _closing(text, opening + len(OPEN))
        inner = text[opening + len(OPEN) : closing]
        start = opening + len(OPEN) + len(inner) - len(inner.lstrip(SPACES))
        found.append(Part(inner.strip(SPACES), start, is_expression=True))
        offset = closing + 2
        if not found[-1].text:
            raise ExpressionError("parsing", "An expression was expected", opening + 1, text)
    if offset < len(text):
        found.append(Part(text[offset:], offset))
    return tuple(found)


_parts = lru_cache(maxsize=4_096)(_split)


def _closing(text: str, start: int) -> int:
    """The offset of the `}}` that ends the expression which begins at `start`; one inside quotes does not count."""
    offset = start
    while (closing := text.find("}}", offset)) >= 0:
        while (quote := text.find("'", offset, closing)) >= 0:
            offset = text.find("'", quote + 1) + 1
            if not offset:
                raise _unclosed(text, start)
        if offset <= closing:
            return closing
    raise _unclosed(text, start)


def _unclosed(text: str, start: int) -> ExpressionError:
    message = "The expression is not closed. An unescaped ${{ sequence was found, but the closing }} sequence was not found."
    return ExpressionError("parsing", message, start - len(OPEN) + 1, text)


def as_format(pieces: tuple[Part, ...]) -> str:
    """The template as one call of `format`, as GitHub rewrites it."""
    template = ""
    arguments: list[str] = []
    for piece in pieces:
        if piece.is_expression:
            template += f"{{{len(arguments)}}}"
            arguments.append(piece.text)
        else:
            template += piece.text.replace("'", "''").replace("{", "{{").replace("}", "}}")
    return f"format('{template}', {', '.join(arguments)})"
