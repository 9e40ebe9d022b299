"""Scalars by the core schema of YAML 1.2, as GitHub resolves them: what a plain or tagged text is.

Octal is `0o17`, hexadecimal `0x1F`; `yes`, `on`, `1_000`, `1:30` and dates are texts. Numbers are doubles.
"""

import math
import re
from typing import Any, ClassVar, Final


class Kind(int):
    """What a node is. EXPRESSION is set by the validator, never by the parser. Compare members with `is`.

    No Enum: its members cost four times as much to look up, and reading a file looks them up once for each value.
    """

    NULL: ClassVar["Kind"]
    BOOLEAN: ClassVar["Kind"]
    NUMBER: ClassVar["Kind"]
    STRING: ClassVar["Kind"]
    SEQUENCE: ClassVar["Kind"]
    MAPPING: ClassVar["Kind"]
    EXPRESSION: ClassVar["Kind"]


for _number_of, _name in enumerate(Kind.__annotations__):
    setattr(Kind, _name, Kind(_number_of))


class TagError(ValueError):
    """A tag that is not of the core schema, or a value that its tag does not allow."""


_NULLS = frozenset(("", "~", "null", "Null", "NULL"))
_BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INTEGER = re.compile(r"[-+]?[0-9]+\Z")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z")
_RADIX = re.compile(r"0o[0-7]+\Z|0x[0-9a-fA-F]+\Z")
_INFINITY = re.compile(r"([-+]?)\.(?:inf|Inf|INF)\Z")
_NAN = frozenset((".nan", ".NaN", ".NAN"))
_NUMBER_START = frozenset("0123456789+-.")
_WORD_START = frozenset("~nNtTfF")
_INTEGER_DIGITS_MAX = 15
_RADIX_LENGTH_MAX = 256
CORE = "tag:yaml.org,2002:"


TELLING: Final = _NUMBER_START | _WORD_START
"""A plain scalar that begins with another character is a text."""


def resolve(value: str) -> tuple[Kind, Any]:
    """What a plain scalar without a tag is."""
    if not value:
        return Kind.NULL, None
    first = value[0]
    if first in _NUMBER_START:
        number = _number(value)
        if number is not None:
            return Kind.NUMBER, number
    elif first in _WORD_START:
        if value in _NULLS:
            return Kind.NULL, None
        if value in _BOOLEANS:
            return Kind.BOOLEAN, _BOOLEANS[value]
    return Kind.STRING, value


def convert(tag: str, value: str) -> tuple[Kind, Any]:
    """What a scalar with an explicit tag is; raises TagError."""
    name = tag.removeprefix(CORE) if tag.startswith(CORE) else ""
    match name:
        case "str":
            return Kind.STRING, value
        case "null" if value in _NULLS:
            return Kind.NULL, None
        case "bool" if value in _BOOLEANS:
            return Kind.BOOLEAN, _BOOLEANS[value]
        case "int" if _INTEGER.match(value) or _RADIX.match(value):
            return Kind.NUMBER, _number(value)
        case "float" if (number := _number(value)) is not None:
            return Kind.NUMBER, number
        case "null" | "bool" | "int" | "float":
            raise TagError(f'the value "{value[:100]}" is not valid for the tag "!!{name}"')
        case _:
            raise TagError(f"the tag {tag!r} is not supported")


def _number(value: str) -> float | int | None:
    """The number that a scalar is, or None. Integers past 15 digits are doubles, as in GitHub."""
    if _INTEGER.match(value):
        return int(value) if len(value) <= _INTEGER_DIGITS_MAX else _whole(float(value))
    if _FLOAT.match(value):
        return _whole(float(value))
    if _RADIX.match(value):
        return _whole(float(int(value[2:], 8 if value[1] == "o" else 16))) if len(value) <= _RADIX_LENGTH_MAX else math.inf
    infinity = _INFINITY.match(value)
    if infinity:
        return -math.inf if infinity[1] == "-" else math.inf
    return math.nan if value in _NAN else None


def _whole(number: float) -> float | int:
    """An integer where the double is one exactly and small, so that 1.0 and 1 are the same value."""
    if number == 0:
        return 0
    return int(number) if abs(number) < 2**53 and number.is_integer() else number
