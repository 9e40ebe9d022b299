"""A mapping node read by its keys: what the builders of the model take values from, once the shapes fit."""

from collections.abc import Iterable, Iterator
from typing import Any

from domain.workflow.model import Defaults, Place
from domain.workflow.nodes import Kind, Node, plain
from domain.workflow.templates import parts


class Fields:
    """The keys of a mapping node; of anything else, none."""

    __slots__ = ("_items", "owner")

    def __init__(self, owner: Node | None) -> None:
        self.owner = owner
        self._items: dict[str, tuple[Node, Node]] = {}
        if owner is not None and owner.kind is Kind.MAPPING:
            for key, value in owner.value:
                self._items[key.value] = (key, value)

    def __contains__(self, name: str) -> bool:
        """Whether the key is there."""
        return name in self._items

    def __iter__(self) -> Iterator[tuple[str, Node, Node]]:
        """All keys in order: name, the key's node, the value's node."""
        for name, (key, value) in self._items.items():
            yield name, key, value

    def node(self, name: str) -> Node | None:
        """The value's node."""
        found = self._items.get(name)
        return found[1] if found else None

    def key(self, name: str) -> Node:
        """The key's node; the key must be there."""
        return self._items[name][0]

    def value(self, name: str) -> Any:
        """The value as plain data; strings keep their `${{ }}`."""
        found = self._items.get(name)
        return plain(found[1]) if found else None

    def text(self, name: str) -> str | None:
        """A text."""
        found = self._items.get(name)
        return found[1].value if found else None

    def mapping(self, name: str) -> Any:
        """A mapping as a dict, an expression as its text, nothing as an empty dict."""
        found = self._items.get(name)
        return {} if found is None or found[1].kind is Kind.NULL else plain(found[1])

    def defaults(self) -> Defaults:
        """`defaults.run` of this mapping."""
        node = self.node("defaults")
        if node is None:
            return Defaults()
        run = Fields(Fields(node).node("run"))
        return Defaults(shell=run.text("shell"), working_directory=run.text("working-directory"))

    def condition(self, name: str = "if") -> str:
        """The expression of a condition without `${{ }}`; "" where there is none."""
        node = self.node(name)
        if node is None or node.value is None:
            return ""
        return bare(node.value) if node.kind is Kind.EXPRESSION else str(node.value).strip()

    def places(self, names: Iterable[str]) -> dict[str, Place]:
        """Where the values of those keys stand."""
        return {name: Place(node.line, node.column) for name in names if (node := self.node(name)) is not None}


def bare(value: str) -> str:
    """The expression inside a condition with `${{ }}`; one with text around it stays as it is written."""
    pieces = parts(value)
    return pieces[0].text if len(pieces) == 1 else value
