"""Inputs of a `workflow_dispatch`: what was given, typed, completed with defaults and checked."""

import math
from collections.abc import Mapping
from typing import Any

from domain.workflow.diagnostics import Diagnostic
from domain.workflow.model import Workflow
from domain.workflow.suggest import did_you_mean, quoted_list
from domain.workflow.values import parse_number, to_text

_EMPTY: dict[str, Any] = {"boolean": False, "number": 0, "string": "", "environment": ""}


def dispatch_inputs(workflow: Workflow, given: Mapping[str, Any]) -> tuple[dict[str, Any], list[Diagnostic]]:
    """The `inputs` context of a dispatch, and what is wrong with what was given.

    given: by name, in any case; values as texts or typed. A boolean input becomes a bool, a number one a number, all
    others a text. An input that is not given takes its default, else false, 0 or "".
    """
    declared: Mapping[str, Any] = (workflow.on.get("workflow_dispatch") or {}).get("inputs") or {}
    found: list[Diagnostic] = []
    folded = {name.lower(): name for name in declared}
    values: dict[str, Any] = {}
    for name, value in given.items():
        own = folded.get(name.lower())
        if own is None:
            help_ = did_you_mean(name, declared) or (f"its inputs: {quoted_list(declared)}" if declared else "it declares no inputs")
            found.append(_fault(workflow, "WF301", f'the workflow has no input "{name}"', help_))
        else:
            values[own] = value
    inputs = {}
    for name, input_ in declared.items():
        value = values.get(name)
        if value is None or value == "":
            value = input_.get("default")
            if input_.get("required") and (value is None or value == ""):
                found.append(_fault(workflow, "WF302", f'the input "{name}" is required', f"give it with --input {name}=VALUE"))
                continue
        typed, fault = typed_input(input_, value)
        if fault is not None:
            found.append(_fault(workflow, "WF303", f'the input "{name}" cannot be "{to_text(value)[:100]}"', fault))
        inputs[name] = typed
    return inputs, found


def typed_input(declared: Mapping[str, Any], value: Any) -> tuple[Any, str | None]:
    """The value in the input's type, and what it must be where it is not."""
    kind = declared.get("type", "string")
    if value is None:
        options = declared.get("options") or []
        return (options[0] if kind == "choice" and options else _EMPTY.get(kind, "")), None
    if kind == "boolean":
        if isinstance(value, bool):
            return value, None
        text = str(value).lower()
        return text == "true", None if text in ("true", "false") else "it is true or false"
    if kind == "number":
        number = float(value) if isinstance(value, int | float) and not isinstance(value, bool) else parse_number(to_text(value))
        if not math.isfinite(number):
            return 0, "it is a number"
        return int(number) if number.is_integer() and abs(number) < 2**53 else number, None
    text = to_text(value)
    options = [to_text(option) for option in declared.get("options") or []]
    if kind == "choice" and text not in options:
        return text, f"it is one of {quoted_list(options)}"
    return text, None


def _fault(workflow: Workflow, code: str, message: str, help_: str | None) -> Diagnostic:
    return Diagnostic(code=code, severity="error", message=message, line=1, column=1, file=workflow.path, help=help_)
