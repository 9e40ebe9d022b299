"""Values of the expression language: kinds, coercions and comparison, as GitHub's published library has them.

A value is None, bool, float (int is read as a number too), str, a list or tuple, or a mapping with string keys. The rules
are JavaScript's loose ones with two changes: strings compare without case, and arrays and objects are never coerced, they
are equal only to themselves. Nothing here may depend on the locale or recurse into a value.
"""

import math
import re
from collections.abc import Mapping
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Any, Final

NAN: Final = math.nan
SPACES: Final = (
    "\t\n\v\f\r \u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000\ufeff"
)
"""White space as JavaScript knows it; Python's own set has the separators U+001C to U+001F and U+0085 in addition."""

_DECIMAL: Final = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?\Z")
_RADIX: Final = re.compile(r"0(?:[xX](?P<hex>[0-9a-fA-F]+)|[oO](?P<oct>[0-7]+)|[bB](?P<bin>[01]+))\Z")
_DIGITS_MAX: Final = 800
_FIFTEEN_PLACES: Final = Decimal("1e-15")
_WIDE: Final = Context(prec=60, traps=[])


class Filtered(list[Any]):
    """What `.*` gives: an array on which a further index is applied to each item instead of to the array."""


def kind(value: Any) -> str:
    """The name of the value's kind: Null, Boolean, Number, String, Array or Object."""
    if value is None:
        return "Null"
    if isinstance(value, str):
        return "String"
    if isinstance(value, bool):
        return "Boolean"
    if isinstance(value, (int, float)):
        return "Number"
    return "Array" if isinstance(value, (list, tuple)) else "Object"


def is_primitive(value: Any) -> bool:
    """Whether the value is neither an array nor an object."""
    return value is None or isinstance(value, (str, bool, int, float))


def truthy(value: Any) -> bool:
    """Whether the value counts as true: all but null, false, 0, NaN and the empty string."""
    if value is None or isinstance(value, str):
        return bool(value)
    if isinstance(value, (bool, int, float)):
        return value == value and bool(value)  # noqa: PLR0124 - NaN is the one value that differs from itself
    return True


def to_text(value: Any) -> str:
    """The value as `format` and `${{ }}` inside a text print it; an array gives "Array", an object "Object"."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return number_text(_fifteen_places(as_float(value)))
    return "Array" if isinstance(value, (list, tuple)) else "Object"


def to_number(value: Any) -> float:
    """The value as a number; NaN for an array, an object, and a string that is not a number."""
    if isinstance(value, str):
        return parse_number(value)
    if value is None:
        return 0.0
    if isinstance(value, (int, float)):
        return as_float(value)
    return NAN


def as_float(number: float) -> float:
    """The number as the double it is in the language; an integer beyond the range becomes infinite."""
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf


def parse_number(text: str) -> float:
    """A string as a number: decimal, 0x, 0o, 0b, Infinity, blanks around it; "" is 0, everything else NaN."""
    text = text.strip(SPACES)
    if not text:
        return 0.0
    if _DECIMAL.match(text):
        # Digits beyond the 800th cannot change a double, but reading them takes quadratic time.
        return float(text) if len(text) <= _DIGITS_MAX else float(_WIDE.create_decimal(text))
    match = _RADIX.match(text)
    if match is not None:
        digits, base = match["hex"] or match["oct"] or match["bin"], {"hex": 16, "oct": 8, "bin": 2}[match.lastgroup or "hex"]
        try:
            return float(int(digits, base))
        except OverflowError:
            return math.inf
    return {"Infinity": math.inf, "+Infinity": math.inf, "-Infinity": -math.inf}.get(text, NAN)


def _fifteen_places(number: float) -> float:
    """The number rounded to fifteen decimal places, as GitHub does before it prints one."""
    if number.is_integer() or not math.isfinite(number) or abs(number) >= 1e21:
        return number
    return float(Decimal(number).quantize(_FIFTEEN_PLACES, ROUND_HALF_UP, _WIDE))


def number_text(number: float) -> str:
    """The shortest text that reads back as the number, laid out as JavaScript does: 1e+21, 0.000001, 1e-7, NaN."""
    if not math.isfinite(number):
        return "NaN" if number != number else "Infinity" if number > 0 else "-Infinity"  # noqa: PLR0124 - NaN test
    if number == 0:
        return "0"
    mantissa, _, exponent = format(Decimal(repr(abs(number))).normalize(), "e").partition("e")
    digits = mantissa.replace(".", "")
    point = 1 + int(exponent)
    minus = "-" if number < 0 else ""
    if 0 < point <= 21:
        if point >= len(digits):
            return minus + digits + "0" * (point - len(digits))
        return f"{minus}{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return f"{minus}0.{'0' * -point}{digits}"
    rest = "." + digits[1:] if len(digits) > 1 else ""
    return f"{minus}{digits[0]}{rest}e{point - 1:+d}"


def fold(text: str) -> str:
    """The text in the form in which strings compare: upper case, but the dotless i stays what it is."""
    if text.isascii() or "\u0131" not in text:
        return text.upper()
    return "\u0131".join(part.upper() for part in text.split("\u0131"))


def _order(text: str) -> bytes:
    """A key that orders texts by UTF-16 units, as JavaScript and .NET do."""
    return text.encode("utf-16-be", "surrogatepass")


def equals(left: Any, right: Any) -> bool:
    """Whether `left == right` holds."""
    if isinstance(left, str) and isinstance(right, str):
        return left == right or fold(left) == fold(right)
    if is_primitive(left) and is_primitive(right):
        return to_number(left) == to_number(right)
    return left is right


def less(left: Any, right: Any) -> bool:
    """Whether `left < right` holds; false whenever one side is an array, an object or not a number."""
    if isinstance(left, str) and isinstance(right, str):
        a, b = fold(left), fold(right)
        return a < b if a.isascii() and b.isascii() else _order(a) < _order(b)
    if is_primitive(left) and is_primitive(right):
        return to_number(left) < to_number(right)
    return False


def at_most(left: Any, right: Any) -> bool:
    """Whether `left <= right` holds; null is at most null, and an object at most itself."""
    return equals(left, right) or less(left, right)


def find(mapping: Mapping[str, Any], key: str) -> str | None:
    """The mapping's own spelling of a key that is written in any case; None when it has none."""
    wanted = key.lower()
    return next((own for own in mapping if own.lower() == wanted), None)
