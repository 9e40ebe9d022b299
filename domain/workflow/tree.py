"""The tree of a YAML text: nodes with their places, and what every reader does with a tree."""

from collections.abc import Iterator
from typing import Any

import msgspec

from domain.workflow.core_schema import Kind


class Node(msgspec.Struct, gc=False):
    """A value with its place. value: None, bool, int or float, str, list of nodes, or list of (key, value) pairs.

    line and column count from 1 and name the first character (of a block scalar: its `|`). style is libyaml's: "" plain,
    a quote, "|" or ">". used: how many alias-weighted nodes it counts for.
    """

    kind: Kind
    value: Any
    line: int
    column: int
    end_line: int
    end_column: int
    style: str = ""
    weight: int = 1


def duplicate(node: Node) -> Node:
    """A deep copy: bounded by the weight that was checked before, and by the depth of a tree within the limit."""
    value = node.value
    if node.kind is Kind.SEQUENCE:
        value = [duplicate(item) for item in value]
    elif node.kind is Kind.MAPPING:
        value = [(duplicate(key), duplicate(item)) for key, item in value]
    return Node(node.kind, value, node.line, node.column, node.end_line, node.end_column, node.style, node.weight)


def walk(node: Node) -> Iterator[Node]:
    """The node and everything below it, keys included."""
    stack = [node]
    while stack:
        current = stack.pop()
        yield current
        if current.kind is Kind.SEQUENCE:
            stack.extend(reversed(current.value))
        elif current.kind is Kind.MAPPING:
            for key, item in reversed(current.value):
                stack.extend((item, key))


def plain(node: Node) -> Any:
    """The node as JSON-shaped Python values; keys become strings. Not-finite numbers stay doubles."""
    if node.kind is Kind.SEQUENCE:
        return [plain(item) for item in node.value]
    if node.kind is Kind.MAPPING:
        return {str(key.value): plain(item) for key, item in node.value}
    return node.value
