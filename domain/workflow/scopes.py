"""Whether an expression can stand at a place: its syntax, and whether the names in it are available there.

GitHub evaluates keys at different times, and each knows other contexts; naming one that is not there is an error of the
file, found before anything runs. Nothing is evaluated here.
"""

from functools import lru_cache

import msgspec

from domain.workflow.expression_error import ExpressionError
from domain.workflow.functions import ARITY, BUILT_IN
from domain.workflow.grammar import Name, Parsed, parse
from domain.workflow.shapes import ANY_NUMBER, Scope
from domain.workflow.suggest import did_you_mean, quoted_list

ALL_CONTEXTS = ("github", "inputs", "vars", "needs", "strategy", "matrix", "secrets", "steps", "job", "runner", "env", "jobs")
SPECIAL_FUNCTIONS = ("hashFiles", "success", "failure", "cancelled", "always")


class Fault(msgspec.Struct, frozen=True):
    """Why an expression cannot stand where it is. offset (from 0) and width: the part of its text that is meant."""

    code: str
    message: str
    offset: int
    width: int
    because: str | None = None
    help: str | None = None


@lru_cache(maxsize=4096)
def check(text: str, scope: Scope) -> Fault | None:
    """The first fault of an expression without `${{ }}`, or None."""
    parsed = _parse(text)
    for name in parsed.names:
        fault = _context(name, scope) if name.arguments is None else _function(name, name.arguments, scope)
        if fault is not None:
            return fault
    return _syntax(parsed, parsed.error) if parsed.error is not None else None


_parse = lru_cache(maxsize=4096)(parse)


def _context(name: Name, scope: Scope) -> Fault | None:
    folded = name.text.lower()
    if folded in scope.contexts:
        return None
    available = f"available here: {quoted_list(scope.contexts)}" if scope.contexts else None
    if folded in ALL_CONTEXTS:
        message = f'the context "{name.text}" is not available here'
        return Fault("EX003", message, name.start, len(name.text), because=_when(folded), help=available)
    hint = did_you_mean(name.text, scope.contexts) or available
    return Fault("EX003", f'there is no context "{name.text}"', name.start, len(name.text), help=hint)


def _when(context: str) -> str | None:
    match context:
        case "secrets":
            return "secrets are only given to env, with, steps and called workflows"
        case "steps" | "job" | "runner" | "env":
            return f'"{context}" exists only while the job runs, and this key is evaluated before'
        case "matrix" | "strategy":
            return f'"{context}" exists once the matrix is expanded, and this key is evaluated before'
        case "needs":
            return '"needs" exists once other jobs are done, and this key is evaluated before'
        case _:
            return None


def _function(name: Name, arguments: int, scope: Scope) -> Fault | None:
    folded = name.text.lower()
    arity = next(((least, most) for own, least, most in scope.functions if own.lower() == folded), None)
    if arity is None and folded in BUILT_IN:
        arity = ARITY.get(folded, (0, ANY_NUMBER))
    if arity is None:
        known = [*BUILT_IN, *(own for own, _, _ in scope.functions)]
        if folded in (own.lower() for own in SPECIAL_FUNCTIONS):
            return Fault("EX004", f'the function "{name.text}" is not available here', name.start, len(name.text))
        hint = did_you_mean(name.text, known)
        return Fault("EX004", f'there is no function "{name.text}"', name.start, len(name.text), help=hint)
    least, most = arity
    if least <= arguments <= most and not (folded == "case" and arguments % 2 == 0):
        return None
    if folded == "case":
        wanted = "an odd number of"
    elif least == most:
        wanted = f"{least}"
    else:
        wanted = f"at least {least}" if arguments < least else f"at most {most}"
    given = "1 argument" if arguments == 1 else f"{arguments} arguments"
    return Fault("EX004", f'the function "{name.text}" takes {wanted} arguments, and is given {given}', name.start, len(name.text))


def _syntax(parsed: Parsed, error: ExpressionError) -> Fault:
    message = error.message.split(". Located at position", 1)[0]
    message = message[:1].lower() + message[1:]
    offset = max((error.position or 1) - 1, 0)
    code = "EX001" if error.phase == "lexing" else "EX002"
    hint = None
    if parsed.text[offset : offset + 1] == '"' or '"' in message:
        hint = "strings in expressions stand in single quotes"
    elif message.startswith("unexpected end"):
        hint = "a bracket, an operand or an argument is missing at the end"
    word = parsed.text[offset:].split(None, 1)
    return Fault(code, f"the expression is not valid: {message}", offset, len(word[0]) if word else 1, help=hint)
