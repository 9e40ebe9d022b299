"""The door to the expression language: evaluate, interpolate, condition, their traces, and check.

Contexts are mappings whose keys are read without case (an exact spelling wins); functions are callables by name, which add
to the built-in ones or stand in for them. A name that is not among the contexts is a parsing error, whether or not the
evaluation would reach it. A text that is one `${{ }}` keeps the value's type; any other is a string into which the values
are printed.
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Final

from domain.job.events import Trace
from domain.workflow.budget import MEMORY_BYTES_MAX, Budget
from domain.workflow.compile import Scope
from domain.workflow.expression_error import ExpressionError
from domain.workflow.grammar import Parsed
from domain.workflow.programs import Contexts, Functions, program, resolve
from domain.workflow.templates import OPEN, as_format, parts
from domain.workflow.trace import Recorder
from domain.workflow.values import SPACES, as_float, to_text, truthy

__all__ = ["ExpressionError", "Trace", "check", "condition", "condition_expression", "evaluate", "interpolate", "trace", "trace_condition"]

NONE: Final[dict[str, Any]] = {}
STATUS_FUNCTIONS: Final = frozenset({"always", "cancelled", "failure", "success"})
TEMPLATE_MEMORY_BYTES_MAX: Final = 10_485_760
"""The memory limit of a value in a workflow file, ten times that of a bare expression, as in GitHub's runner."""


def evaluate(text: str, contexts: Contexts = NONE, functions: Functions = NONE, *, memory_bytes_max: int = MEMORY_BYTES_MAX) -> Any:
    """The value of an expression without `${{ }}`: None, bool, float, str, a list or a mapping; None for an empty text.

    Raises ExpressionError.
    """
    ready = program(text)
    value = ready.run(Scope(resolve(ready.parsed, contexts, functions), memory_bytes_max))
    return as_float(value) if type(value) is int else value


def check(text: str, contexts: Iterable[str], functions: Iterable[str] = ()) -> Parsed:
    """Read an expression where only the names of its contexts and functions are known yet, and say what it refers to.

    Raises ExpressionError for what `evaluate` would refuse before it evaluates.
    """
    parsed = program(text).parsed
    resolve(parsed, dict.fromkeys(contexts), dict.fromkeys(functions, _unavailable))
    return parsed


def _unavailable() -> None:
    raise AssertionError("a function that was named for a check is never called")


def interpolate(text: str, contexts: Contexts = NONE, functions: Functions = NONE) -> Any:
    """The value of a text with `${{ }}` parts: typed when the text is one expression, else a string.

    Raises ExpressionError, whose `expression` names the part.
    """
    if OPEN not in text:
        return text
    pieces = parts(text)
    if len(pieces) == 1:
        return _in_file(pieces[0].text, contexts, functions)
    budget = Budget(TEMPLATE_MEMORY_BYTES_MAX)
    texts = []
    for piece in pieces:
        texts.append(to_text(_in_file(piece.text, contexts, functions)) if piece.is_expression else piece.text)
        budget.hold_text(len(texts[-1]))
    return "".join(texts)


def _in_file(expression: str, contexts: Contexts, functions: Functions) -> Any:
    return evaluate(expression, contexts, functions, memory_bytes_max=TEMPLATE_MEMORY_BYTES_MAX)


@lru_cache(maxsize=4_096)
def condition_expression(text: str) -> str:
    """The expression that an `if:` stands for: `success()` when empty, `success() && (...)` unless it asks for a status.

    A text with `${{ }}` in the middle of other characters is a string and so always true, on GitHub too; it becomes the
    `format(...)` call that GitHub makes of it. Raises ExpressionError when a bracket is not closed.
    """
    bare = text.strip(SPACES)
    if OPEN in bare:
        pieces = parts(bare)
        bare = pieces[0].text if len(pieces) == 1 else as_format(pieces)
    if not bare:
        return "success()"
    parsed = program(bare).parsed
    return bare if parsed.error is not None or asks_for_status(parsed) else f"success() && ({bare})"


def asks_for_status(parsed: Parsed) -> bool:
    """Whether the expression calls success, failure, cancelled or always anywhere."""
    return any(name.arguments is not None and name.text.lower() in STATUS_FUNCTIONS for name in parsed.names)


def condition(text: str, contexts: Contexts = NONE, functions: Functions = NONE) -> bool:
    """Whether an `if:` holds. `functions` has to know at least `success`. Raises ExpressionError."""
    return truthy(_in_file(condition_expression(text), contexts, functions))


def trace(text: str, contexts: Contexts = NONE, functions: Functions = NONE) -> tuple[Any, tuple[Trace, ...]]:
    """The value of an expression without `${{ }}`, and what its parts came to, in the order in which they were evaluated.

    Raises ExpressionError.
    """
    ready = program(text)
    recorder = Recorder(ready.parsed)
    scope = Scope(resolve(ready.parsed, contexts, functions), TEMPLATE_MEMORY_BYTES_MAX, recorder.record)
    value = ready.watched(scope)
    return (as_float(value) if type(value) is int else value), recorder.traces()


def trace_condition(text: str, contexts: Contexts = NONE, functions: Functions = NONE) -> tuple[bool, tuple[Trace, ...]]:
    """Whether an `if:` holds, and what its parts came to: what the event of a skipped job keeps. Raises ExpressionError."""
    value, traces = trace(condition_expression(text), contexts, functions)
    return truthy(value), traces
