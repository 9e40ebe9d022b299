"""What `steps` mean: one thing per step, ids given and generated, and which steps wait for which."""

import re
from collections.abc import Callable
from typing import Any

from domain.workflow import ids
from domain.workflow.fields import Fields
from domain.workflow.model import Place, Step
from domain.workflow.nodes import Kind, Node
from domain.workflow.suggest import did_you_mean
from domain.workflow.validator import Validator

_ACTION = re.compile(r"\.[/\\]|\$/|docker://.|[^/\\@]+[/\\][^@]*[^/\\@][^@]*@[^@]+\Z")
_DOES = frozenset(("run", "uses", "wait", "wait-all", "cancel", "parallel"))


def read_steps(node: Node | None, checked: Validator, taken: ids.StepIds | None = None) -> tuple[Step, ...]:
    """The steps of a job, or of a parallel group (which shares the ids of its job)."""
    if node is None or node.kind is not Kind.SEQUENCE:
        return ()
    taken = taken or ids.StepIds()
    items = [Fields(item) for item in node.value]
    given: list[str | None] = []
    known: set[str] = set()
    for fields in items:
        identity = fields.node("id")
        own = _given_id(identity, checked, taken) if identity is not None else None
        given.append(own)
        _targets(fields, known, checked)
        if own:
            known.add(own.lower())
    return tuple(_step(index, fields, own, checked, taken) for index, (fields, own) in enumerate(zip(items, given, strict=True)))


def _given_id(node: Node, checked: Validator, taken: ids.StepIds) -> str:
    value: str = node.value
    fault = ids.fault(value)
    if fault is not None:
        checked.report("WF030", node, f'the step id "{value[:100]}" is not valid', because=fault)
    elif not taken.take(value):
        checked.report("WF031", node, f'the step id "{value}" is used twice in this job', because="ids are compared without case")
    return value


def _targets(fields: Fields, known: set[str], checked: Validator) -> None:
    """`wait` and `cancel` name steps above."""
    for name in ("wait", "cancel"):
        node = fields.node(name)
        if node is None or node.kind is Kind.EXPRESSION:
            continue
        for target in node.value if node.kind is Kind.SEQUENCE else [node]:
            if str(target.value).lower() not in known:
                hint = did_you_mean(str(target.value), known) or "name the id of a step above this one"
                checked.report("WF050", target, f'"{name}" names the step "{target.value}", which is not above it', help=hint)


def _names(fields: Fields, name: str) -> tuple[str, ...]:
    node = fields.node(name)
    assert node is not None  # noqa: S101 - only keys that are there are asked for
    return tuple(item.value for item in node.value) if node.kind is Kind.SEQUENCE else (node.value,)


_PARTS: dict[str, tuple[str, Callable[[Fields, str], Any]]] = {
    "name": ("name", Fields.text),
    "run": ("run", Fields.text),
    "uses": ("uses", Fields.text),
    "with": ("with_", Fields.mapping),
    "shell": ("shell", Fields.text),
    "working-directory": ("working_directory", Fields.text),
    "env": ("env", Fields.mapping),
    "if": ("condition", lambda fields, name: fields.condition(name) or "success()"),
    "continue-on-error": ("continue_on_error", lambda fields, name: fields.value(name) or False),
    "timeout-minutes": ("timeout_minutes", Fields.value),
    "background": ("background", lambda fields, name: bool(fields.value(name))),
    "wait": ("wait", _names),
    "wait-all": ("wait_all", lambda _fields, _name: True),
    "cancel": ("cancel", Fields.text),
}
"""What each key gives to the model: only those that a step has cost anything."""


def _step(index: int, fields: Fields, given: str | None, checked: Validator, taken: ids.StepIds) -> Step:
    owner = fields.owner
    assert owner is not None  # noqa: S101 - a step is a mapping
    does, parts = "run", {}
    for name, _, _ in fields:
        if name in _PARTS:
            attribute, read = _PARTS[name]
            parts[attribute] = read(fields, name)
        if name in _DOES:
            does = name
    if "wait_all" in parts and fields.value("wait-all") is False:
        checked.report("WF015", fields.node("wait-all") or owner, '"wait-all" can only be true', help='write "wait-all:" alone')
    identity = given or taken.generate(parts.get("uses"), does)
    if does == "parallel":
        group = fields.node("parallel")
        _check_parallel(group or owner, checked)
        parts["parallel"] = read_steps(group, checked, taken)
    if does == "uses":
        _check_uses(fields, checked)
        parts["places"] = fields.places(("uses",))
    return Step(index=index, id=identity, place=Place(owner.line, owner.column), **parts)


def _check_uses(fields: Fields, checked: Validator) -> None:
    node = fields.node("uses")
    if node is None or node.kind is Kind.EXPRESSION or _ACTION.match(node.value):
        return
    reference = node.value[:100]
    named = "/" in reference and "@" not in reference
    checked.report(
        "WF053",
        node,
        f'"{reference}" is no reference of an action',
        because=f"it has no {'ref' if named else 'OWNER/REPOSITORY@REF'}",
        help=f'write "{reference}@REF" with a tag, a branch or a commit'
        if named
        else 'write "OWNER/REPOSITORY@REF", or "./PATH" for an action of the checked-out repository',
        severity=checked.server_says,
    )


def _check_parallel(node: Node, checked: Validator) -> None:
    if node.kind is not Kind.SEQUENCE:
        return
    for item in node.value:
        fields = Fields(item)
        for name in ("background", "wait", "wait-all", "cancel", "parallel"):
            if name in fields:
                checked.report(
                    "WF051",
                    fields.key(name),
                    f'"{name}" cannot be used inside a parallel group',
                    because="the steps of a group run in the background already" if name == "background" else None,
                )
