"""Shapes: the small language in which the tables of the workflow syntax are written.

A shape says which values may stand at a place: scalars, a list of one shape, mappings of known keys. It also adds to the
scope, the contexts and functions that an expression there can name; scopes accumulate from the root to a value. The
tables (domain/workflow/syntax.py, syntax_events.py) use only what is here; the validator knows only what is here.
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

import msgspec

ANY_NUMBER = 255


class Scope(msgspec.Struct, frozen=True):
    """What an expression can name: contexts in GitHub's order, and functions beyond the common ones with their arity."""

    contexts: tuple[str, ...] = ()
    functions: tuple[tuple[str, int, int], ...] = ()

    def __bool__(self) -> bool:
        """Whether expressions are evaluated here at all."""
        return bool(self.contexts or self.functions)


NOTHING = Scope()


@lru_cache(maxsize=512)
def merge(outer: Scope, inner: Scope) -> Scope:
    """Both together."""
    contexts = outer.contexts + tuple(name for name in inner.contexts if name not in outer.contexts)
    known = {function[0] for function in inner.functions}
    functions = tuple(each for each in outer.functions if each[0] not in known) + inner.functions
    return Scope(contexts, functions)


class Keys:
    """A mapping: its known keys with their shapes, those that it must have, and the shape of all other values, if any."""

    __slots__ = ("keys", "loose", "required", "title")

    def __init__(self, title: str, keys: Mapping[str, "Shape"], required: Iterable[str] = (), loose: "Shape | None" = None) -> None:
        self.title = title
        self.keys = dict(keys)
        self.required = tuple(required)
        self.loose = loose


class Shape:
    """What may stand at one place. text: strings are allowed; constants: only these; filled: not the empty one.

    condition: the string is an expression without `${{ }}`, as in `if`. plain: any text that is not empty is right.
    """

    __slots__ = ("boolean", "condition", "constants", "filled", "item", "mappings", "null", "number", "plain", "scope", "text")

    def __init__(
        self,
        *,
        null: bool = False,
        boolean: bool = False,
        number: bool = False,
        text: bool = False,
        filled: bool = False,
        constants: Iterable[str] | None = None,
        item: "Shape | None" = None,
        mappings: Iterable[Keys] = (),
        scope: Scope = NOTHING,
        condition: bool = False,
    ) -> None:
        self.null = null
        self.boolean = boolean
        self.number = number
        self.text = text or filled or constants is not None
        self.filled = filled
        self.constants = frozenset(constants) if constants is not None else None
        self.item = item
        self.mappings = tuple(mappings)
        self.scope = scope
        self.condition = condition
        self.plain = self.text and self.constants is None and not condition

    def within(self, scope: Scope) -> "Shape":
        """The same shape where these names are available."""
        return Shape(**{**self._fields(), "scope": merge(self.scope, scope)})

    def _fields(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__ if name != "plain"}

    def expected(self) -> str:
        """What may stand here, in words."""
        words = []
        if self.constants is not None:
            words.append("one of " + ", ".join(sorted(self.constants)) if len(self.constants) > 1 else f'"{next(iter(self.constants))}"')
        elif self.text:
            words.append("a text")
        if self.number:
            words.append("a number")
        if self.boolean:
            words.append("true or false")
        if self.item is not None:
            words.append("a list")
        if self.mappings:
            words.append("a mapping")
        if self.null and not words:
            words.append("nothing")
        return " or ".join(words)


def one_of(*shapes: Shape, scope: Scope = NOTHING) -> Shape:
    """Any of these: their scalars, their mappings, and the list of the one that is a list."""
    constants: set[str] | None = set()
    for shape in shapes:
        if shape.text and shape.constants is None:
            constants = None
        elif constants is not None and shape.constants is not None:
            constants |= shape.constants
    return Shape(
        null=any(shape.null for shape in shapes),
        boolean=any(shape.boolean for shape in shapes),
        number=any(shape.number for shape in shapes),
        text=any(shape.text for shape in shapes),
        filled=any(shape.filled for shape in shapes) and not any(shape.text and not shape.filled for shape in shapes),
        constants=constants or None,
        item=next((shape.item for shape in shapes if shape.item is not None), None),
        mappings=[keys for shape in shapes for keys in shape.mappings],
        scope=scope,
    )


def constant(*values: str) -> Shape:
    """One of these words."""
    return Shape(constants=values)


def listed(item: Shape) -> Shape:
    """A list of one shape."""
    return Shape(item=item)


def mapping(title: str, keys: Mapping[str, Shape] | None = None, required: Iterable[str] = (), loose: Shape | None = None) -> Shape:
    """A mapping; title names it in messages ("step", "job")."""
    return Shape(mappings=[Keys(title, keys or {}, required, loose)])


NULL = Shape(null=True)
BOOLEAN = Shape(boolean=True)
NUMBER = Shape(number=True)
TEXT = Shape(text=True)
NAME = Shape(filled=True)
NAMES = listed(NAME)
NAME_OR_NAMES = one_of(NAME, NAMES)
SCALAR = one_of(TEXT, BOOLEAN, NUMBER)


def _anything() -> Shape:
    shape = Shape(null=True, boolean=True, number=True, text=True)
    shape.item = shape
    shape.mappings = (Keys("value", {}, loose=shape),)
    return shape


ANYTHING = _anything()
