"""The functions every expression knows: case, contains, endsWith, format, fromJSON, join, startsWith, toJSON.

What depends on the run or on files (success, failure, always, cancelled, hashFiles) is handed in by the caller; only the
number of arguments they take stands here. A function is called with the evaluation's budget and its evaluated arguments.
"""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, Never

from domain.workflow.budget import ITEM_COST, Budget
from domain.workflow.expression_error import ExpressionError
from domain.workflow.values import SPACES, equals, fold, is_primitive, number_text, to_text

VALUE_DEPTH_MAX: Final = 100
"""How deep arrays and objects may nest in what toJSON writes and fromJSON reads."""

_PLACEHOLDER: Final = re.compile(r"\{\{|\}\}|\{([0-9]++)[^}]*+\}|[{}]")
_INDEX_DIGITS_MAX: Final = 9
_SURROGATE: Final = re.compile(r"\\u[dD][89a-fA-F]")
_quote: Final[Callable[[str], str]] = json.encoder.encode_basestring


def contains(budget: Budget, search: Any, item: Any) -> bool:
    """Whether a text contains another, without case, or an array an item that equals it."""
    if is_primitive(search):
        if not is_primitive(item):
            return False
        text, part = to_text(search), to_text(item)
        budget.spend(len(text) + len(part))
        return part.lower() in text.lower()
    if not isinstance(search, (list, tuple)):
        return False
    budget.spend(ITEM_COST * len(search))
    return any(equals(item, own) for own in search)


def starts_with(budget: Budget, text: Any, part: Any) -> bool:
    """Whether a text begins with another, without case; false for arrays and objects."""
    return _folded(budget, text, part, str.startswith)


def ends_with(budget: Budget, text: Any, part: Any) -> bool:
    """Whether a text ends with another, without case; false for arrays and objects."""
    return _folded(budget, text, part, str.endswith)


def _folded(budget: Budget, text: Any, part: Any, test: Callable[[str, str], bool]) -> bool:
    if not (is_primitive(text) and is_primitive(part)):
        return False
    whole, piece = to_text(text), to_text(part)
    budget.spend(len(whole) + len(piece))
    return test(fold(whole), fold(piece))


def format_text(budget: Budget, template: Any, *arguments: Any) -> str:
    """The template with `{0}`, `{1}`, ... replaced; `{{` and `}}` stand for one brace.

    What stands between the number and its brace is passed over, as in GitHub's library.
    """
    text = to_text(template)
    pieces: list[str] = []
    length = end = 0
    for match in _PLACEHOLDER.finditer(text):
        token = match[0]
        if token in ("{", "}"):
            raise ExpressionError("evaluation", f"The following format string is invalid: {text}")
        if match[1] is None:
            piece = token[0]
        elif (index := int(match[1].lstrip("0")[:_INDEX_DIGITS_MAX] or "0")) >= len(arguments):
            raise ExpressionError("evaluation", f"The following format string references more arguments than were supplied: {text}")
        else:
            piece = to_text(arguments[index])
        pieces += (text[end : match.start()], piece)
        length += match.start() - end + len(piece)
        if budget.bytes + 2 * length > budget.bytes_max:
            budget.hold_text(length)
        end = match.end()
    pieces.append(text[end:])
    return "".join(pieces)


def join(_budget: Budget, items: Any, separator: Any = ",") -> str:
    """The items of an array as texts with the separator between them; a primitive alone is its text."""
    if is_primitive(items):
        return to_text(items)
    if not isinstance(items, (list, tuple)):
        return ""
    glue = to_text(separator) if is_primitive(separator) else ","
    texts = [to_text(item) for item in items]
    _budget.spend(ITEM_COST * len(texts))
    length = sum(map(len, texts)) + len(glue) * max(len(texts) - 1, 0)
    if _budget.bytes + 2 * length > _budget.bytes_max:
        _budget.hold_text(length)
    return glue.join(texts)


def case(_budget: Budget, *arguments: Any) -> Any:
    """The value after the first predicate that is true, else the last argument. Predicates have to be booleans."""
    for predicate, value in zip(arguments[:-1:2], arguments[1::2], strict=True):
        if not isinstance(predicate, bool):
            raise ExpressionError("evaluation", "case predicate must evaluate to a boolean value")
        if predicate:
            return value
    return arguments[-1]


def to_json(budget: Budget, value: Any) -> str:
    """The value as JSON, indented by two blanks. What is no number in JSON (NaN, Infinity) is written as null."""
    pieces: list[str] = []
    _write(budget, value, "\n", pieces, budget.bytes)
    return "".join(pieces)


def _write(budget: Budget, value: Any, newline: str, pieces: list[str], held: int) -> None:
    """Append the JSON of one value; `newline` carries the indentation, two characters a level."""
    if len(newline) > 2 * VALUE_DEPTH_MAX:
        raise ExpressionError("evaluation", f"toJSON: the value is nested more than {VALUE_DEPTH_MAX} levels deep")
    if isinstance(value, (list, tuple)):
        items: Any = [("", item) for item in value]
        opening, closing = "[", "]"
    elif isinstance(value, Mapping):
        items = [(f"{_quote(str(key))}: ", item) for key, item in value.items()]
        opening, closing = "{", "}"
    else:
        pieces.append(_scalar(value))
        budget.hold(2 * len(pieces[-1]))
        return
    pieces.append(opening)
    inner = newline + "  "
    between = inner
    for prefix, item in items:
        pieces.append(between + prefix)
        budget.hold(2 * len(pieces[-1]))
        _write(budget, item, inner, pieces, held)
        between = "," + inner
    pieces.append(newline + closing if items else closing)
    budget.hold(2 * len(pieces[-1]))


def _scalar(value: Any) -> str:
    if isinstance(value, str):
        return _quote(value)
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    text = number_text(float(value)) if isinstance(value, (int, float)) else _quote(str(value))
    return "null" if text in ("NaN", "Infinity", "-Infinity") else text


def from_json(budget: Budget, text: Any) -> Any:
    """The value that a JSON text stands for. Of keys that differ only in case the first one stays."""
    source = to_text(text)
    if not source.strip(SPACES):
        raise ExpressionError("evaluation", "empty input")
    opened = source.count("[") + source.count("{")
    budget.hold(ITEM_COST * (opened + source.count(",")))
    try:
        value = _DECODER.decode(source)
    except RecursionError:
        raise _too_deep() from None
    except ValueError as error:
        place = f" at character {error.pos + 1}" if isinstance(error, json.JSONDecodeError) else ""
        reason = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
        raise ExpressionError("evaluation", f"Error parsing JSON when evaluating fromJson: {reason}{place}") from None
    if opened > VALUE_DEPTH_MAX:
        _check_depth(value)
    return _mend(value) if _SURROGATE.search(source) else value


def _mend(value: Any) -> Any:
    """The value with each half of a surrogate pair replaced: no store and no terminal could take it."""
    if isinstance(value, str):
        return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    if isinstance(value, list):
        return [_mend(item) for item in value]
    return {_mend(key): _mend(item) for key, item in value.items()} if isinstance(value, dict) else value


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(VALUE_DEPTH_MAX):
        level = [item for one in level if not is_primitive(one) for item in (one.values() if isinstance(one, dict) else one)]
        if not level:
            return
    raise _too_deep()


def _too_deep() -> ExpressionError:
    return ExpressionError("evaluation", f"fromJSON: the value is nested more than {VALUE_DEPTH_MAX} levels deep")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose keys are unique without case: a repeated spelling takes the last value, another spelling is dropped."""
    whole = dict(pairs)
    own = {key.lower(): key for key in reversed(whole)}
    return whole if len(own) == len(whole) else {key: value for key, value in whole.items() if own[key.lower()] == key}


def _no_constant(name: str) -> Never:
    raise ValueError(f"{name} is not JSON")


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_object, parse_int=float, parse_float=float, parse_constant=_no_constant)

ANY_NUMBER: Final = 100_000
"""More arguments than an expression of the greatest length can hold."""

ARITY: Final[dict[str, tuple[int, int]]] = {
    "case": (3, ANY_NUMBER),
    "contains": (2, 2),
    "endswith": (2, 2),
    "format": (1, 255),
    "fromjson": (1, 1),
    "join": (1, 2),
    "startswith": (2, 2),
    "tojson": (1, 1),
    "always": (0, 0),
    "cancelled": (0, 0),
    "failure": (0, ANY_NUMBER),
    "success": (0, ANY_NUMBER),
    "hashfiles": (1, 255),
}
"""The least and the greatest number of arguments, by the function's name in lower case."""

BUILT_IN: Final[dict[str, Callable[..., Any]]] = {
    "case": case,
    "contains": contains,
    "endswith": ends_with,
    "format": format_text,
    "fromjson": from_json,
    "join": join,
    "startswith": starts_with,
    "tojson": to_json,
}
"""The functions by their names in lower case."""
