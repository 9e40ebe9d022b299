"""The evaluator: a tree becomes nested closures once, and each evaluation runs them over a scope.

A closure takes the Scope of one evaluation and returns a value; it never changes the contexts. With `watch`, the closures
of the parts that a person would ask about also record what they saw, which is how `why` knows; the plain closures do not
pay for it. Depth is bounded by the grammar, so the closures may call each other freely.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

from domain.workflow.budget import ITEM_COST, Budget
from domain.workflow.functions import BUILT_IN
from domain.workflow.grammar import Call, Comparison, Index, Literal, Logic, Named, Node, Not
from domain.workflow.values import Filtered, at_most, equals, is_primitive, less, to_number, to_text, truthy


class Scope:
    """What one evaluation works on. names: the resolved names (context values, callables) by slot."""

    __slots__ = ("budget", "names", "record", "spellings")

    def __init__(self, names: list[Any], bytes_max: int, record: Callable[[Node, Any], None] | None = None) -> None:
        self.names = names
        self.budget = Budget(bytes_max)
        self.spellings: dict[int, tuple[Mapping[str, Any], dict[str, str]]] = {}
        self.record = record

    def spelling(self, mapping: Mapping[str, Any], key: str) -> str | None:
        """The mapping's own spelling of a key. The lower-case index is built once per mapping and evaluation."""
        known = self.spellings.get(id(mapping))
        if known is None:
            self.budget.spend(ITEM_COST * len(mapping))
            # The mapping is kept with its index: were it freed, another one could get its id.
            known = mapping, {own.lower(): own for own in reversed(list(mapping))}
            self.spellings[id(mapping)] = known
        return known[1].get(key.lower())


Run = Callable[[Scope], Any]
_LONG: Final = 4_096
"""From this length on a string comparison is charged to the budget: shorter ones are bounded by the expression's length."""


def compile_node(node: Node, *, watch: bool = False) -> Run:
    """The closure that evaluates a tree. watch: report the value of each telling part to the scope's `record`."""
    run = _compile(node, watch)
    if not watch or isinstance(node, Literal):
        return run

    def watched(scope: Scope) -> Any:
        value = run(scope)
        if scope.record is not None:
            scope.record(node, value)
        return value

    return watched


def _compile(node: Node, watch: bool) -> Run:
    match node:
        case Literal(value=value):
            return lambda _scope: value
        case Named(slot=slot):
            return lambda scope: scope.names[slot]
        case Index():
            return _index_chain(node, watch)
        case Call():
            return _call(node, watch)
        case Not(operand=operand):
            inner = compile_node(operand, watch=watch)
            return lambda scope: not truthy(inner(scope))
        case Comparison():
            return _comparison(node, watch)
        case Logic():
            return _logic(node, watch)


def _logic(node: Logic, watch: bool) -> Run:
    *first, last = [compile_node(operand, watch=watch) for operand in node.operands]
    stop_at = node.operator == "||"

    def run(scope: Scope) -> Any:
        for operand in first:
            value = operand(scope)
            if truthy(value) is stop_at:
                return value
        return last(scope)

    return run


_OPERATORS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "==": equals,
    "!=": lambda left, right: not equals(left, right),
    "<": less,
    "<=": at_most,
    ">": lambda left, right: less(right, left),
    ">=": lambda left, right: at_most(right, left),
}


def _comparison(node: Comparison, watch: bool) -> Run:
    first = compile_node(node.first, watch=watch)
    rest = [(_OPERATORS[sign], compile_node(operand, watch=watch)) for sign, operand in node.rest]

    def run(scope: Scope) -> Any:
        value = first(scope)
        for operator, operand in rest:
            other = operand(scope)
            for side in (value, other):
                if type(side) is str and len(side) > _LONG:
                    scope.budget.spend(len(side))
            value = operator(value, other)
        return value

    return run


def _call(node: Call, watch: bool) -> Run:
    slot, built_in = node.slot, BUILT_IN.get(node.name.lower())
    arguments = [compile_node(argument, watch=watch) for argument in node.arguments]

    def run(scope: Scope) -> Any:
        budget = scope.budget
        held = budget.bytes
        function = scope.names[slot]
        values = [argument(scope) for argument in arguments]
        value = built_in(budget, *values) if built_in is not None and function is built_in else function(*values)
        # The arguments are gone once the result stands alone; an array or object may still refer to them.
        if is_primitive(value):
            budget.bytes = held
            if type(value) is str:
                budget.hold_text(len(value))
        return value

    return run


def _index_chain(node: Index, watch: bool) -> Run:
    """All indexes in a row are one loop: `a.b.c` asks for two keys, and only the whole path is watched."""
    keys: list[Node | None] = []
    target: Node = node
    while isinstance(target, Index):
        keys.append(target.key)
        target = target.target
    start = _compile(target, watch) if isinstance(target, Named) else compile_node(target, watch=watch)
    if all(isinstance(key, Literal) and isinstance(key.value, str) for key in keys):
        path = [key.value for key in reversed(keys) if isinstance(key, Literal)]

        def run_path(scope: Scope) -> Any:
            value = start(scope)
            for key in path:
                if type(value) is dict:
                    try:
                        value = value[key]
                        continue
                    except KeyError:
                        pass
                value = _index(scope, value, key)
            return value

        return run_path
    steps = [None if key is None else compile_node(key, watch=watch) for key in reversed(keys)]

    def run(scope: Scope) -> Any:
        value = start(scope)
        for step in steps:
            value = _filter(scope, value) if step is None else _index(scope, value, step(scope))
        return value

    return run


def _index(scope: Scope, value: Any, key: Any) -> Any:
    """`value[key]`; null where there is nothing. On a filtered array the key is applied to each item."""
    if isinstance(value, Filtered):
        scope.budget.spend(ITEM_COST * len(value))
        found = Filtered()
        for item in value:
            missing = _get(scope, item, key, found)
            if missing is not found:
                found.append(missing)
        return found
    return _get(scope, value, key, None)


def _get(scope: Scope, value: Any, key: Any, default: Any) -> Any:
    if isinstance(value, Mapping):
        if not is_primitive(key):
            return default
        text = to_text(key)
        try:
            return value[text]
        except KeyError:
            own = scope.spelling(value, text)
            return default if own is None else value[own]
    if isinstance(value, (list, tuple)):
        number = to_number(key)
        if 0 <= number < len(value):
            return value[math.floor(number)]
    return default


def _filter(scope: Scope, value: Any) -> Filtered:
    """`value.*`: the items of an array, the values of an object, nothing of anything else."""
    if not isinstance(value, Filtered):
        value = [value]
    found = Filtered()
    for item in value:
        if isinstance(item, Mapping):
            found.extend(item.values())
        elif isinstance(item, (list, tuple)):
            found.extend(item)
    scope.budget.hold(8 * len(found))
    scope.budget.spend(ITEM_COST * (len(found) + len(value)))
    return found
