"""The matrix: axes, exclude and include to combinations, as GitHub expands them.

Axes are crossed, the first one slowest. `exclude` drops each combination that has all the values of an entry. Then each
`include` entry is added to every crossed combination whose own axes it does not contradict, or, fitting none, becomes a
combination of its own. Values compare as `==` does in expressions. Work is bounded before it is done.
"""

import itertools
import json
import math
from typing import Any

from domain.workflow.values import equals, is_primitive, to_text

INSTANCES_MAX = 256
CROSSED_MAX = 4_096
COMPARISONS_MAX = 250_000
NAME_LENGTH_MAX = 100


class MatrixError(Exception):
    """The matrix cannot be expanded. code and help are the diagnostic's."""

    def __init__(self, message: str, code: str = "WF101", help_: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.help = help_


def expand(matrix: Any) -> list[dict[str, Any]]:
    """The combinations of an evaluated matrix, in GitHub's order; raises MatrixError. At most 256, at least one."""
    if not isinstance(matrix, dict):
        raise MatrixError(f"the matrix is {_kind(matrix)}, and must be a mapping of names to lists")
    include = _entries(matrix, "include")
    exclude = _entries(matrix, "exclude")
    axes = {name: _axis(name, values) for name, values in matrix.items() if name not in ("include", "exclude")}
    crossed = _cross(axes, exclude)
    combinations = _add(crossed, axes, include)
    if not combinations:
        raise MatrixError("the matrix makes no job", help_="give an axis or an include entry; skip the job with `if` where it may be empty")
    if len(combinations) > INSTANCES_MAX:
        raise _too_many(len(combinations))
    return combinations


def written_out(matrix: Any) -> list[dict[str, Any]] | None:
    """The combinations of a matrix as it is written; None where only its evaluation tells them."""
    if not isinstance(matrix, dict) or _holds_expression(matrix):
        return None
    try:
        return expand(matrix)
    except MatrixError:
        return None


def size_at_least(matrix: Any) -> int:
    """How many jobs a matrix as written makes at least: axes that are still expressions count as one value."""
    if not isinstance(matrix, dict):
        return 0
    axes = {name: values for name, values in matrix.items() if name not in ("include", "exclude")}
    product = math.prod(len(values) for values in axes.values() if isinstance(values, list)) if axes else 0
    if product <= INSTANCES_MAX or product > CROSSED_MAX or "exclude" not in matrix:
        return product
    if not isinstance(matrix["exclude"], list) or not all(isinstance(values, list) for values in axes.values()):
        return 0
    if _holds_expression(axes) or _holds_expression(matrix["exclude"]):
        return 0
    try:
        return len(_cross(axes, matrix["exclude"]))
    except MatrixError:
        return product


def instance_text(combination: dict[str, Any]) -> str:
    """The identity of a combination: JSON with sorted keys and no blanks; "" for a job without a matrix."""
    return json.dumps(combination, sort_keys=True, separators=(",", ":"), ensure_ascii=False) if combination else ""


def display_name(name: str, combination: dict[str, Any]) -> str:
    """`name (a, b)`: all single values of the combination in order, cut at 100 characters as GitHub does."""
    words = [word for word in _leaves(combination) if word]
    full = f"{name} ({', '.join(words)})" if words else name
    return full if len(full) <= NAME_LENGTH_MAX else full[: NAME_LENGTH_MAX - 3] + "..."


def value_text(value: Any) -> str:
    """A matrix value as people write it in a filter: a single value as text, anything else as JSON."""
    return to_text(value) if is_primitive(value) else json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _cross(axes: dict[str, list[Any]], exclude: list[dict[str, Any]]) -> list[dict[str, Any]]:
    if not axes:
        return []
    product = math.prod(len(values) for values in axes.values())
    if product > (CROSSED_MAX if exclude else INSTANCES_MAX) or product * len(exclude) > COMPARISONS_MAX:
        raise _too_many(product)
    combinations = [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]
    if not exclude:
        return combinations
    return [each for each in combinations if not any(_matches(entry, each) for entry in exclude)]


def _add(crossed: list[dict[str, Any]], axes: dict[str, list[Any]], include: list[dict[str, Any]]) -> list[dict[str, Any]]:
    if len(crossed) * len(include) > COMPARISONS_MAX or (not crossed and len(include) > INSTANCES_MAX):
        raise _too_many(len(crossed) + len(include))
    own: list[dict[str, Any]] = []
    results = [dict(each) for each in crossed]
    for entry in include:
        fixed = {name: value for name, value in entry.items() if name in axes}
        extra = {name: value for name, value in entry.items() if name not in axes}
        fitted = False
        for original, result in zip(crossed, results, strict=True):
            if all(name in original and _same(value, original[name]) for name, value in fixed.items()):
                result.update(extra)
                fitted = True
        if not fitted:
            own.append(dict(entry))
    return results + own


def _matches(entry: dict[str, Any], combination: dict[str, Any]) -> bool:
    """Whether an exclude entry's values are all in the combination; an entry without keys matches nothing."""
    return bool(entry) and all(name in combination and _same(value, combination[name]) for name, value in entry.items())


def _same(wanted: Any, value: Any) -> bool:
    """Equal as `==` finds it; of a mapping only the wanted keys count."""
    if isinstance(wanted, dict):
        return isinstance(value, dict) and all(name in value and _same(item, value[name]) for name, item in wanted.items())
    if isinstance(wanted, list):
        return isinstance(value, list) and len(wanted) == len(value) and all(map(_same, wanted, value))
    return is_primitive(value) and equals(wanted, value)


def _entries(matrix: dict[str, Any], name: str) -> list[dict[str, Any]]:
    entries = matrix.get(name)
    if entries is None:
        return []
    if not isinstance(entries, list):
        raise MatrixError(f'"{name}" of the matrix is {_kind(entries)}, and must be a list of mappings')
    for entry in entries:
        if not isinstance(entry, dict):
            raise MatrixError(f'an entry of "{name}" is {_kind(entry)}, and must be a mapping')
    return entries


def _axis(name: str, values: Any) -> list[Any]:
    if not isinstance(values, list):
        raise MatrixError(f'the axis "{name}" of the matrix is {_kind(values)}, and must be a list')
    if not values:
        raise MatrixError(f'the axis "{name}" of the matrix has no values', help_="skip the job with `if` where the list may be empty")
    return values


def _too_many(size: int) -> MatrixError:
    return MatrixError(
        f"the matrix makes {size:,} jobs, and GitHub allows {INSTANCES_MAX}", "WF100", "exclude combinations, or split the job"
    )


def _holds_expression(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_holds_expression(part) for item in value.items() for part in item)
    if isinstance(value, list):
        return any(map(_holds_expression, value))
    return isinstance(value, str) and "${{" in value


def _leaves(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [word for item in value.values() for word in _leaves(item)]
    if isinstance(value, list):
        return [word for item in value for word in _leaves(item)]
    return [to_text(value)]


def _kind(value: Any) -> str:
    if isinstance(value, str):
        return "a text"
    if isinstance(value, list):
        return "a list"
    return "nothing" if value is None else "a single value"
