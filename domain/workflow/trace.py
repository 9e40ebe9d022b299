"""What the parts of a condition came to, so that `why` can say which of them decided.

A trace ends up in an immutable event. So it is bounded in count and length, and a text, array or object that could carry a
secret (it comes from `secrets`, from `github.token`, or from `github` as a whole) is never written down.
"""

from typing import Any, Final

import msgspec

from domain.job.events import Trace
from domain.workflow.budget import Budget
from domain.workflow.expression_error import ExpressionError
from domain.workflow.functions import to_json
from domain.workflow.grammar import Call, Comparison, Index, Literal, Logic, Named, Node, Not, Parsed

TRACES_MAX: Final = 50
TEXT_LENGTH_MAX: Final = 200
VALUE_LENGTH_MAX: Final = 200
HIDDEN: Final = '"***"'
_WORK_BYTES_MAX: Final = 20_000


class Recorder:
    """Collects the traces of one evaluation."""

    def __init__(self, parsed: Parsed) -> None:
        self._text = parsed.text
        self._traces: list[Trace] = []

    def record(self, node: Node, value: Any) -> None:
        """Keep what a part came to; beyond TRACES_MAX the earliest ones stay."""
        if len(self._traces) < TRACES_MAX:
            part = " ".join(self._text[node.start : node.end].split())
            self._traces.append(Trace(text=_short(part, TEXT_LENGTH_MAX), value=_shown(node, value)))

    def traces(self) -> tuple[Trace, ...]:
        """All traces so far; a part that was evaluated twice with the same value stands once."""
        return tuple(dict.fromkeys(self._traces))


def _short(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "\u2026"


def _shown(node: Node, value: Any) -> str:
    """The value as compact JSON text; a long text or an object is cut to what fits."""
    if value is not None and not isinstance(value, (bool, int, float)) and may_hold_secret(node):
        return HIDDEN
    if isinstance(value, str) and len(value) > VALUE_LENGTH_MAX:
        return msgspec.json.encode(_short(value, VALUE_LENGTH_MAX)).decode()
    try:
        text = to_json(Budget(_WORK_BYTES_MAX), value)
    except ExpressionError:
        return '"(too long to show)"'
    shown = " ".join(text.split()) if not isinstance(value, str) else text
    return shown if len(shown) <= VALUE_LENGTH_MAX or isinstance(value, str) else '"(too long to show)"'


def may_hold_secret(node: Node) -> bool:
    """Whether the part's value can contain a secret, by what it is computed from."""
    match node:
        case Named(name=name):
            return name.lower() in ("secrets", "github")
        case Index(target=Named(name=name), key=Literal(value=str(key))) if name.lower() == "github":
            return key.lower() == "token"
        case Index(target=target, key=key):
            return may_hold_secret(target) or (key is not None and may_hold_secret(key))
        case Call(arguments=arguments):
            return any(may_hold_secret(argument) for argument in arguments)
        case Logic(operands=operands):
            return any(may_hold_secret(operand) for operand in operands)
        case Not() | Comparison() | Literal():
            return False
