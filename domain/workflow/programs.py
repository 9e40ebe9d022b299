"""Expressions ready to run, cached by text, and the binding of the names in them to contexts and functions."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final

import msgspec

from domain.workflow.compile import Run, Scope, compile_node
from domain.workflow.expression_error import ExpressionError, at
from domain.workflow.functions import ANY_NUMBER, ARITY, BUILT_IN
from domain.workflow.grammar import Name, Parsed, parse
from domain.workflow.values import find

Contexts = Mapping[str, Any]
Functions = Mapping[str, Callable[..., Any]]

_CACHED_TEXT_MAX: Final = 2_000
_CACHE_SIZE: Final = 4_096
_STAR_ARGUMENTS: Final = 0x04  # the flag of a code object that takes *args


class Program(msgspec.Struct, frozen=True):
    """An expression that is ready to run."""

    parsed: Parsed
    run: Run
    watched: Run


def program(text: str) -> Program:
    """The program of an expression; long texts are rare and not kept."""
    return _cached(text) if len(text) <= _CACHED_TEXT_MAX else _build(text)


def _build(text: str) -> Program:
    parsed = parse(text)
    if parsed.tree is None:
        return Program(parsed, _null, _null)
    return Program(parsed, compile_node(parsed.tree), compile_node(parsed.tree, watch=True))


_cached = lru_cache(maxsize=_CACHE_SIZE)(_build)


def _null(_scope: Scope) -> None:
    return None


def resolve(parsed: Parsed, contexts: Contexts, functions: Functions) -> list[Any]:
    """The values and callables that the names of an expression stand for, in their order.

    Raises ExpressionError for the first name that is unknown or is given a wrong number of arguments, else the
    expression's own syntax error.
    """
    names = []
    for name in parsed.names:
        if name.arguments is None:
            try:
                names.append(contexts[name.text])
            except KeyError:
                own = find(contexts, name.text)
                if own is None:
                    raise at("parsing", f"Unrecognized named-value: '{name.text}'", name.start, parsed.text) from None
                names.append(contexts[own])
        else:
            names.append(_function(parsed, name, name.arguments, functions))
    if parsed.error is not None:
        raise ExpressionError(parsed.error.phase, parsed.error.message, parsed.error.position, parsed.text)
    return names


def _function(parsed: Parsed, name: Name, arguments: int, functions: Functions) -> Callable[..., Any]:
    lower = name.text.lower()
    own = find(functions, lower)
    function = BUILT_IN.get(lower) if own is None else functions[own]
    if function is None:
        raise at("parsing", f"Unrecognized function: '{name.text}'", name.start, parsed.text)
    least, most = ARITY.get(lower, (0, ANY_NUMBER))
    if own is not None:
        fewest, largest = _limits(function)
        least, most = max(least, fewest), min(most, largest)
    problem = "Too few parameters supplied" if arguments < least else "Too many parameters supplied" if arguments > most else ""
    if not problem and lower == "case" and arguments % 2 == 0:
        problem = "Even number of parameters supplied, requires an odd number of parameters"
    if problem:
        raise at("parsing", f"{problem}: '{name.text}'", name.start, parsed.text)
    return function


def _limits(function: Callable[..., Any]) -> tuple[int, int]:
    """How few and how many arguments a function or method takes; a callable that does not say so takes any number."""
    code = getattr(function, "__code__", None)
    if code is None:
        return 0, ANY_NUMBER
    count = code.co_argcount - (getattr(function, "__self__", None) is not None)
    defaults = getattr(function, "__defaults__", None) or ()
    return count - len(defaults), ANY_NUMBER if code.co_flags & _STAR_ARGUMENTS else count
