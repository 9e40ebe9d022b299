"""Nodes against shapes: which keys and values are not GitHub's, each with its place.

One walk down the tree. It also settles what a scalar is at its place, as GitHub does: a number where a text is asked for
becomes text (`3.10` is the text "3.1"), a string with `${{ }}` becomes an EXPRESSION node. It never looks at what keys
mean (ids, needs, cron lines); that is the reader's second pass, which only sees trees without findings.
"""

from typing import Any

from domain.workflow.diagnostics import Diagnostic
from domain.workflow.expression_error import ExpressionError
from domain.workflow.nodes import Kind, Node
from domain.workflow.scopes import Fault, check
from domain.workflow.shapes import NOTHING, Keys, Scope, Shape, merge
from domain.workflow.source import Source, formatted_length, literal
from domain.workflow.suggest import did_you_mean, quoted_list
from domain.workflow.templates import parts
from domain.workflow.tokens import EXPRESSION_LENGTH_MAX
from domain.workflow.values import to_text

TEXT_LENGTH_MAX = 4 * EXPRESSION_LENGTH_MAX
"""Beyond it a text with expressions is too long whatever blanks its expressions hold, and is not even taken apart."""
_NOT_HERE = "expressions are not evaluated here"
_KIND_NAMES = {
    Kind.NULL: "nothing",
    Kind.BOOLEAN: "true or false",
    Kind.NUMBER: "a number",
    Kind.STRING: "a text",
    Kind.SEQUENCE: "a list",
    Kind.MAPPING: "a mapping",
    Kind.EXPRESSION: "an expression",
}


FINDINGS_MAX = 100


class TooManyFindings(Exception):  # noqa: N818 - not an error of the program
    """The file has so many errors that the rest is not read: a bomb of errors costs no more than a few."""


class Validator:
    """Collects findings about one file. text is the file's content, for exact places inside scalars.

    as_server: refuse, too, what GitHub's parser reads and its server then refuses; else that is a warning.
    """

    def __init__(self, file: str, text: str, *, as_server: bool = False) -> None:
        self.file = file
        self.found: list[Diagnostic] = []
        self.server_says = "error" if as_server else "warning"
        self._source = Source(text)

    def report(
        self,
        code: str,
        node: Node,
        message: str,
        *,
        because: str | None = None,
        help: str | None = None,  # noqa: A002  the field of a diagnostic is called help, as people see it
        focus: tuple[int, int, int] | None = None,
        severity: str = "error",
    ) -> None:
        """Adds a finding at a node; raises TooManyFindings once there are more errors than anybody reads.

        Warnings beyond that many are dropped: they must never decide whether a file is read.
        """
        if len(self.found) >= FINDINGS_MAX:
            if severity == "warning":
                return
            if sum(each.severity == "error" for each in self.found) >= FINDINGS_MAX:
                raise TooManyFindings
        self.found.append(
            Diagnostic(
                code=code,
                severity="warning" if severity == "warning" else "error",
                message=message,
                line=node.line,
                column=node.column,
                end_line=node.end_line,
                end_column=node.end_column,
                file=self.file,
                because=because,
                help=help,
                focus=focus,
            )
        )

    def focus(self, node: Node, offset: int, width: int) -> tuple[int, int, int] | None:
        """The exact place of a part of a scalar's value, for `report`."""
        return self._source.focus(node, offset, width)

    def check(self, node: Node, shape: Shape, where: str, scope: Scope = NOTHING) -> None:
        """Checks a node and everything below it. where: the key or item in words, for messages."""
        if shape.scope is not NOTHING:
            scope = merge(scope, shape.scope)
        kind = node.kind
        if kind is Kind.STRING and shape.plain and node.value and "${{" not in node.value:
            return  # what most values are
        if kind is Kind.MAPPING:
            self._mapping(node, shape, where, scope)
        elif kind is Kind.SEQUENCE:
            item = shape.item
            if item is None:
                self.report("WF013", node, f"{where} cannot be a list", because=f"it is {shape.expected()}")
                return
            for child in node.value:
                self.check(child, item, where, scope)
        else:
            self._scalar(node, shape, where, scope)

    def _scalar(self, node: Node, shape: Shape, where: str, scope: Scope) -> None:
        if node.kind is Kind.STRING and "${{" in node.value and self._expressions(node, scope, where):
            if shape.condition:
                self._warn_of_text_beside(node, where)
            return
        if not self._fits(node, shape):
            self._unexpected(node, shape, where)
        elif shape.condition and node.value.strip():
            self._condition(node, scope)

    def _fits(self, node: Node, shape: Shape) -> bool:
        """Whether a literal is allowed; a literal of another kind becomes a text where only texts are."""
        kind = node.kind
        if kind is Kind.STRING:
            return shape.text and self._text_fits(node.value, shape)
        if (kind is Kind.NULL and shape.null) or (kind is Kind.BOOLEAN and shape.boolean) or (kind is Kind.NUMBER and shape.number):
            return True
        if not shape.text:
            return False
        text = to_text(node.value)
        if not self._text_fits(text, shape):
            return False
        node.kind, node.value = Kind.STRING, text
        return True

    @staticmethod
    def _text_fits(text: str, shape: Shape) -> bool:
        if shape.constants is not None:
            return text in shape.constants
        return bool(text) or not shape.filled

    def _unexpected(self, node: Node, shape: Shape, where: str) -> None:
        expected = shape.expected()
        if node.kind is Kind.NULL or node.value == "":
            self.report("WF015", node, f"{where} is empty", because=f"it must be {expected}")
            return
        scalars = shape.text or shape.number or shape.boolean
        if not scalars:
            self.report("WF015", node, f"{where} cannot be {_KIND_NAMES[node.kind]}", because=f"it must be {expected}")
            return
        hint = did_you_mean(str(node.value), shape.constants) if shape.constants else None
        shown = to_text(node.value)
        self.report("WF015", node, f'{where} cannot be "{shown[:100]}"', because=f"it must be {expected}", help=hint)

    def _mapping(self, node: Node, shape: Shape, where: str, scope: Scope) -> None:
        if not shape.mappings:
            self.report("WF013", node, f"{where} cannot be a mapping", because=f"it must be {shape.expected()}")
            return
        fitting = list(shape.mappings)
        seen: set[str] = set()
        has_expression_key = False
        for key, value in node.value:
            if (key.kind is not Kind.STRING or "${{" in key.value) and not self._key(key, scope, where):
                has_expression_key = has_expression_key or key.kind is Kind.EXPRESSION
                continue
            name = key.value
            folded = name.upper()
            if folded in seen and name:
                self.report("WF011", key, f'the key "{name}" stands twice in {_named(fitting[0], where)}', help="keep one of the two")
                continue
            seen.add(folded)
            inner = fitting[0].keys.get(name) if len(fitting) == 1 else self._known_key(fitting, name)
            if inner is not None:
                self.check(value, inner, f'"{name}"', scope)
                continue
            loose = fitting[0].loose
            if loose is None:
                self._unknown_key(key, fitting, where)
            elif not name:
                self.report("WF015", key, f"a key in {where} is empty")
            else:
                self.check(value, loose, f'"{name}" in {where}' if where != '"jobs"' else f'"{name}"', scope)
        if len(fitting) > 1:
            self._undecided(node, fitting)
        elif not has_expression_key:
            for name in fitting[0].required:
                if name.upper() not in seen:
                    self.report("WF012", node, f'{_named(fitting[0], where)} has no "{name}"', help=f'add "{name}:"')

    @staticmethod
    def _known_key(fitting: list[Keys], name: str) -> Shape | None:
        """The shape of a key that one of several kinds of mappings has. Kinds that do not have it are dropped from `fitting`."""
        having = [keys for keys in fitting if name in keys.keys]
        if not having:
            return None
        fitting[:] = having
        return having[-1].keys[name]

    def _key(self, key: Node, scope: Scope, where: str) -> bool:
        """Whether a key that is no plain name can be one; one that is an expression is allowed where expressions are."""
        if key.kind is Kind.STRING:
            return not self._expressions(key, scope, where, directive=True)
        key.value = to_text(key.value)
        key.kind = Kind.STRING
        return True

    def _unknown_key(self, key: Node, fitting: list[Keys], where: str) -> None:
        names = sorted({name for keys in fitting for name in keys.keys})
        help_ = did_you_mean(key.value, names) or (f"valid keys: {quoted_list(names)}" if names else None)
        because = None
        if key.value == "<<":
            because = "GitHub does not support YAML merge keys"
        self.report("WF014", key, f'unknown key "{key.value[:100]}" in {_named(fitting[0], where)}', because=because, help=help_)

    def _undecided(self, node: Node, fitting: list[Keys]) -> None:
        required = sorted({name for keys in fitting for name in keys.required})
        what = _named(fitting[0], "the mapping")
        self.report("WF016", node, f"{what} does not say what it is", help=f"add one of these keys: {quoted_list(required)}")

    def _warn_of_text_beside(self, node: Node, where: str) -> None:
        if node.kind is Kind.EXPRESSION and len(parts(node.value.strip())) > 1:
            help_ = "write the whole condition as one expression"
            self.report("WF403", node, f"{where} has text beside ${{{{ }}}} and so is always true", help=help_, severity="warning")

    def _expressions(self, node: Node, scope: Scope, where: str, *, directive: bool = False) -> bool:
        """Finds and checks the expressions of a string; a good one becomes an EXPRESSION node.

        False: the string is a text after all, the one that its lone quoted literal holds. True: it is settled.
        """
        if len(node.value) > TEXT_LENGTH_MAX:
            self._too_long(node, len(node.value))
            return True
        try:
            pieces = parts(node.value)
        except ExpressionError as error:
            self._brackets(node, error)
            return True
        text = literal(pieces[0].text) if len(pieces) == 1 else None
        if text is not None:
            node.value = text
            return False
        if not scope:
            node.kind = Kind.EXPRESSION
            self.report("WF020", node, f"an expression cannot be used in {where}", because=_NOT_HERE, help="write the value itself")
            return True
        expressions = [piece for piece in pieces if piece.is_expression]
        if any(piece.text == "insert" or piece.text.startswith(("insert ", "insert\t")) for piece in expressions):
            if directive and len(pieces) == 1 and expressions[0].text == "insert":
                node.kind = Kind.EXPRESSION
            else:
                self.report("WF023", node, "${{ insert }} cannot be used here", help="it is a key of its own, with nothing beside it")
            return True
        length = formatted_length(pieces)
        if length > EXPRESSION_LENGTH_MAX:
            self._too_long(node, length)
            return True
        before = len(self.found)
        for piece in expressions:
            fault = check(piece.text, scope)
            if fault is not None:
                self._fault(node, fault, self._source.focus(node, piece.start + fault.offset, fault.width))
        if len(self.found) == before:
            node.kind = Kind.EXPRESSION
        return True

    def _too_long(self, node: Node, length: int) -> None:
        message = f"a text with expressions has {length:,} characters, and GitHub allows {EXPRESSION_LENGTH_MAX:,}"
        self.report("WF049", node, message, help="move the script into a file of the repository, or pass the values by env")

    def _brackets(self, node: Node, error: ExpressionError) -> None:
        focus = self._source.focus(node, (error.position or 1) - 1, 3)
        if error.message.startswith("An expression was expected"):
            self.report("WF022", node, "the expression is empty", help="write something between ${{ and }}", focus=focus)
        else:
            self.report("WF021", node, "the expression is not closed", help='close it with "}}"; quotes inside it are single', focus=focus)

    def _condition(self, node: Node, scope: Scope) -> None:
        """An `if` without `${{ }}`: the whole text is an expression."""
        text = node.value.strip()
        leading = len(node.value) - len(node.value.lstrip())
        fault = check(text, scope)
        if fault is not None:
            self._fault(node, fault, self._source.focus(node, leading + fault.offset, fault.width))

    def _fault(self, node: Node, fault: Fault, focus: tuple[int, int, int] | None) -> None:
        self.report(fault.code, node, fault.message, because=fault.because, help=fault.help, focus=focus)


def _named(keys: Keys, where: str) -> str:
    """What a mapping is called in messages: a step, the job "test", "defaults"."""
    if keys.title == "step":
        return "a step"
    if keys.title == "job":
        return f"job {where}"
    return where if where.startswith('"') or keys.title == "workflow" else f'"{keys.title}"'


def kind_name(node: Node) -> Any:
    """The kind of a node in words."""
    return _KIND_NAMES[node.kind]
