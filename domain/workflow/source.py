"""Expressions in the text of a file: where exactly a part of a scalar stands, and how GitHub counts a string with some."""

from domain.workflow.nodes import Node
from domain.workflow.templates import Part


class Source:
    """The file's content; it is taken apart only when a finding needs an exact place."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._lines: list[str] | None = None

    def focus(self, node: Node, offset: int, width: int) -> tuple[int, int, int] | None:
        """Line, column and end column of a part of a scalar's value.

        offset (from 0) and width count within the value. None where it cannot be told: folded and escaped texts.
        """
        if self._lines is None:
            self._lines = self._text.split("\n")
        value: str = node.value
        line_start = value.rfind("\n", 0, offset) + 1
        if node.style == "|":
            number = node.line + 1 + value.count("\n", 0, offset)
        elif node.line == node.end_line:
            number = node.line
        else:
            return None
        if number > len(self._lines):
            return None
        line = self._lines[number - 1]
        line_end = value.find("\n", offset)
        wanted = value[line_start : line_end if line_end >= 0 else len(value)]
        found = line.find(wanted, 0 if node.style == "|" else node.column - 1)
        if found < 0:
            return None
        column = found + offset - line_start + 1
        return number, column, column + max(width, 1)


def literal(expression: str) -> str | None:
    """The text of an expression that is one quoted string, else None."""
    if len(expression) < 2 or expression[0] != "'" or expression[-1] != "'":
        return None
    inner = expression[1:-1]
    return None if "'" in inner.replace("''", "") else inner.replace("''", "'")


def formatted_length(pieces: tuple[Part, ...]) -> int:
    """How long the expression is that GitHub makes of the string: itself, or a call of `format` around its parts."""
    if len(pieces) == 1:
        return len(pieces[0].text)
    length = len("format('')")
    ordinal = 0
    for piece in pieces:
        if piece.is_expression:
            length += len(f"{{{ordinal}}}") + 2 + len(piece.text)
            ordinal += 1
        else:
            length += len(piece.text) + sum(piece.text.count(character) for character in "'{}")
    return length
