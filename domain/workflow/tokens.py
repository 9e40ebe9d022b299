"""The lexer: an expression's text becomes tokens, or an error that names the first character that fits nowhere.

The whole text is read before the parser starts, so a bad symbol is reported before an unknown name that stands left of
it; GitHub's library does the same. It must stay linear in the length of the text.
"""

import re
from typing import Any, Final, NamedTuple

from domain.workflow.expression_error import ExpressionError, at
from domain.workflow.values import SPACES, parse_number

EXPRESSION_LENGTH_MAX: Final = 21_000
"""Characters an expression may have, in UTF-16 units."""

_SYMBOLS: Final = re.compile(r"==|!=|<=|>=|&&|\|\||[()\[\],.!<>*]")
_IDENTIFIER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*\Z")
_STRING: Final = re.compile(r"'((?:[^']++|'')*+)'")
_BOUNDARY: Final = "()[],.!><=&|" + SPACES
_WORD_END: Final = re.compile(f"[{re.escape(_BOUNDARY)}]")
_NUMBER_END: Final = re.compile(f"[{re.escape(_BOUNDARY.replace('.', ''))}]")
_KEYWORDS: Final[dict[str, Any]] = {"true": True, "false": False, "null": None, "NaN": float("nan"), "Infinity": float("inf")}
_BEFORE_PROPERTY: Final = frozenset({"name", ")", "]", "*"})


class Token(NamedTuple):
    """kind: a symbol itself, "name", "literal" or "end". text: as written (a string literal without its quotes)."""

    kind: str
    text: str
    start: int
    end: int
    value: Any = None


def tokenize(expression: str) -> list[Token]:
    """The tokens of an expression, the last one of kind "end".

    Raises ExpressionError in the lexing phase.
    """
    length = len(expression) if expression.isascii() else len(expression.encode("utf-16-le", "surrogatepass")) // 2
    if length > EXPRESSION_LENGTH_MAX:
        raise ExpressionError("lexing", f"Exceeded max expression length {EXPRESSION_LENGTH_MAX}", 1, expression)
    tokens: list[Token] = []
    offset = 0
    while offset < len(expression):
        if expression[offset] in " \t\r\n":
            offset += 1
            continue
        token = _next(expression, offset, tokens[-1].kind if tokens else "end")
        tokens.append(token)
        offset = token.end
    tokens.append(Token("end", "", len(expression), len(expression)))
    return tokens


def _next(expression: str, start: int, previous: str) -> Token:
    """The token at `start`. A dot after a name, `)`, `]` or `*` is a symbol, elsewhere it begins a number."""
    first = expression[start]
    if first == "'":
        match = _STRING.match(expression, start)
        if match is None:
            raise _unexpected(expression, start, len(expression))
        text = match[1].replace("''", "'")
        return Token("literal", text, start, match.end(), text)
    if first in "+-0123456789" or (first == "." and previous not in _BEFORE_PROPERTY):
        end = _after(_NUMBER_END, expression, start)
        number = parse_number(expression[start:end])
        if number != number:  # noqa: PLR0124 - NaN test
            raise _unexpected(expression, start, end)
        return Token("literal", expression[start:end], start, end, number)
    match = _SYMBOLS.match(expression, start)
    if match is not None:
        return Token(match[0], match[0], start, match.end())
    end = _after(_WORD_END, expression, start)
    word = expression[start:end]
    if not _IDENTIFIER.match(word):
        raise _unexpected(expression, start, end)
    if word in _KEYWORDS and previous != ".":
        return Token("literal", word, start, end, _KEYWORDS[word])
    return Token("name", word, start, end)


def _after(boundary: re.Pattern[str], expression: str, start: int) -> int:
    """Where the word that begins at `start` ends; its first character belongs to it whatever it is."""
    match = boundary.search(expression, start + 1)
    return len(expression) if match is None else match.start()


def _unexpected(expression: str, start: int, end: int) -> ExpressionError:
    return at("lexing", f"Unexpected symbol: '{expression[start:end]}'", start, expression)
