"""The parser of the expression language: tokens become a tree and the list of names the tree needs.

Names are not resolved here, because whether `needs` is known depends on where the expression stands; so one parse serves
every place and can be cached. `Parsed.names` is in the order in which GitHub checks them, and a syntax error is kept
beside the names before it: whoever resolves the names reports an unknown one first, if it stands first. Operators of one
level are parsed into one flat node, so that nesting (and with it recursion, here and in everything that walks the tree)
is bounded by EXPRESSION_DEPTH_MAX and never by the length of the text.
"""

from typing import Any, Final

import msgspec

from domain.workflow.expression_error import ExpressionError, at
from domain.workflow.tokens import Token, tokenize

EXPRESSION_DEPTH_MAX: Final = 50

_LEVELS: Final = {"||": 1, "&&": 2, "==": 3, "!=": 3, "<": 4, "<=": 4, ">": 4, ">=": 4}
_LOGICAL: Final = 2


class Span(msgspec.Struct, frozen=True, gc=False):
    """A part of an expression; start and end are offsets into its text."""

    start: int
    end: int


class Literal(Span, frozen=True, gc=False):
    """null, true, a number or a string."""

    value: Any


class Named(Span, frozen=True, gc=False):
    """A context: `slot` is its place in `Parsed.names`."""

    slot: int
    name: str


class Index(Span, frozen=True, gc=False):
    """`target.key`, `target[key]`, and `target.*` where key is None."""

    target: "Node"
    key: "Node | None"


class Call(Span, frozen=True, gc=False):
    """A function call: `slot` is the function's place in `Parsed.names`."""

    slot: int
    name: str
    arguments: "tuple[Node, ...]"


class Not(Span, frozen=True, gc=False):
    """`!operand`."""

    operand: "Node"


class Comparison(Span, frozen=True, gc=False):
    """`first op operand op operand ...` of one precedence, from left to right."""

    first: "Node"
    rest: "tuple[tuple[str, Node], ...]"


class Logic(Span, frozen=True, gc=False):
    """`a && b && ...` or `a || b || ...`; the value is that of the operand that decided."""

    operator: str
    operands: "tuple[Node, ...]"


Node = Literal | Named | Index | Call | Not | Comparison | Logic
"""Any part of an expression."""


class Name(msgspec.Struct, frozen=True, gc=False):
    """A name that has to be resolved. arguments: how many a function is given, None for a context."""

    text: str
    start: int
    arguments: int | None = None


class Parsed(msgspec.Struct, frozen=True):
    """What the text of an expression says. tree is None for an empty one and where `error` says why there is none."""

    text: str
    names: tuple[Name, ...]
    tree: Node | None
    error: ExpressionError | None = None


def parse(expression: str) -> Parsed:
    """Read an expression; a lexing or syntax error is in the answer, after the names that stand before it.

    The error loses its traceback, which would keep the parser alive for as long as the answer is.
    """
    try:
        parser = _Parser(expression, tokenize(expression))
    except ExpressionError as error:
        return Parsed(expression, (), None, error.with_traceback(None))
    try:
        tree = parser.whole()
    except ExpressionError as error:
        return Parsed(expression, tuple(parser.names), None, error.with_traceback(None))
    return Parsed(expression, tuple(parser.names), tree)


class _Parser:
    """A Pratt parser over one list of tokens."""

    def __init__(self, expression: str, tokens: list[Token]) -> None:
        self.expression = expression
        self.tokens = tokens
        self.offset = 0
        self.depth = 0
        self.names: list[Name] = []
        self.slots: dict[str, int] = {}

    def whole(self) -> Node | None:
        if self.tokens[0].kind == "end":
            return None
        tree = self.nested()
        if self.tokens[self.offset].kind != "end":
            raise self.unexpected()
        return tree

    def nested(self) -> Node:
        """An expression one level deeper than the one around it."""
        self.deepen()
        tree = self.binary(0)
        self.depth -= 1
        return tree

    def binary(self, level: int) -> Node:
        """An operand with all operators after it that bind tighter than `level`."""
        left = self.operand()
        while (found := _LEVELS.get(self.tokens[self.offset].kind, 0)) > level:
            left = self.chain(left, found)
        return left

    def chain(self, first: Node, level: int) -> Node:
        """All operators of one level in a row become one node."""
        logical = level <= _LOGICAL
        operator = self.tokens[self.offset].kind
        rest: list[tuple[str, Node]] = []
        if logical:
            self.deepen()
        while _LEVELS.get(self.tokens[self.offset].kind) == level:
            sign = self.take().kind
            rest.append((sign, self.binary(level)))
        if not logical:
            return Comparison(first.start, rest[-1][1].end, first, tuple(rest))
        self.depth -= 1
        return Logic(first.start, rest[-1][1].end, operator, (first, *(node for _, node in rest)))

    def operand(self) -> Node:
        token = self.tokens[self.offset]
        if token.kind != "!":
            return self.postfix()
        self.offset += 1
        self.deepen()
        operand = self.operand()
        self.depth -= 1
        return Not(token.start, operand.end, operand)

    def postfix(self) -> Node:
        """A literal, or a group, call or context with its indexes; each index counts as a level of depth."""
        token = self.take()
        if token.kind == "literal":
            return Literal(token.start, token.end, token.value)
        if token.kind == "(":
            node = self.nested()
            if self.tokens[self.offset].kind == "end":
                raise self.ended()
            node = msgspec.structs.replace(node, start=token.start, end=self.expect(")").end)
        elif token.kind == "name":
            node = self.call(token) if self.tokens[self.offset].kind == "(" else self.named(token)
        else:
            self.offset -= 1
            raise self.ended() if token.kind == "end" else self.unexpected()
        depth = self.depth
        while (kind := self.tokens[self.offset].kind) in (".", "["):
            self.offset += 1
            node = self.property(node) if kind == "." else self.bracket(node)
            self.deepen()
        self.depth = depth
        return node

    def property(self, target: Node) -> Node:
        token = self.tokens[self.offset]
        if token.kind not in ("name", "*"):
            raise self.ended() if token.kind == "end" else self.unexpected()
        self.offset += 1
        key = Literal(token.start, token.end, token.text) if token.kind == "name" else None
        return Index(target.start, token.end, target, key)

    def bracket(self, target: Node) -> Node:
        key: Node | None = None
        if self.tokens[self.offset].kind == "*":
            self.offset += 1
        else:
            key = self.nested()
        return Index(target.start, self.expect("]").end, target, key)

    def named(self, token: Token) -> Node:
        """A context. Two mentions share a slot: a name is resolved once."""
        slot = self.slots.setdefault(token.text.lower(), len(self.names))
        if slot == len(self.names):
            self.names.append(Name(token.text, token.start))
        return Named(token.start, token.end, slot, token.text)

    def call(self, token: Token) -> Node:
        """A function call. A comma may stand before the closing parenthesis, as in GitHub's library."""
        self.offset += 1
        arguments: list[Node] = []
        while self.tokens[self.offset].kind != ")":
            arguments.append(self.nested())
            if self.tokens[self.offset].kind != ")":
                self.expect(",")
        end = self.take().end
        self.names.append(Name(token.text, token.start, len(arguments)))
        return Call(token.start, end, len(self.names) - 1, token.text, tuple(arguments))

    def take(self) -> Token:
        self.offset += 1
        return self.tokens[self.offset - 1]

    def expect(self, kind: str) -> Token:
        if self.tokens[self.offset].kind != kind:
            raise self.ended() if self.tokens[self.offset].kind == "end" else self.unexpected()
        return self.take()

    def deepen(self) -> None:
        self.depth += 1
        if self.depth > EXPRESSION_DEPTH_MAX:
            raise at("parsing", f"Exceeded max expression depth {EXPRESSION_DEPTH_MAX}", self.tokens[self.offset].start, self.expression)

    def unexpected(self) -> ExpressionError:
        token = self.tokens[self.offset]
        return at("parsing", f"Unexpected symbol: '{token.text}'", token.start, self.expression)

    def ended(self) -> ExpressionError:
        last = self.tokens[self.offset - 1]
        return at("parsing", f"Unexpected end of expression: '{last.text}'", last.start, self.expression)
