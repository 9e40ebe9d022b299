"""The door to action.yml: its text in, a typed action or diagnostics out.

`runs.using` decides which keys an action has, so it is looked at first; then the same validator as for workflows holds
the file against that kind's table. The verdict is the runner's: it reads more than the marketplace takes.
"""

import contextlib
from typing import Any, cast

from domain.workflow import taint
from domain.workflow.action import Action, Input, Kind, Output, Runs
from domain.workflow.diagnostics import Diagnostic, errors
from domain.workflow.fields import Fields, bare
from domain.workflow.nodes import Kind as NodeKind
from domain.workflow.nodes import Node, NodesError, parse, plain
from domain.workflow.reader_steps import read_steps
from domain.workflow.suggest import did_you_mean, quoted_list
from domain.workflow.syntax_action import NODE_VERSIONS, ROOTS, UNDECIDED
from domain.workflow.validator import TooManyFindings, Validator
from domain.workflow.values import to_text

_USING = ("composite", "docker", *NODE_VERSIONS)


def read_action(name: str, content: str) -> tuple[Action | None, list[Diagnostic]]:
    """Reads the action file `name`; None when there is an error. The findings stand in the order of the file."""
    checked = Validator(name, content)
    action = None
    try:
        root = parse(content)
    except NodesError as error:
        place = Node(NodeKind.NULL, None, error.line, error.column, error.line, error.column + 1)
        checked.report(error.code, place, error.message, because=error.because)
        return None, checked.found
    if root.kind is NodeKind.NULL:
        checked.report("WF008", root, "the file is empty", help='an action has at least "name:" and "runs:"')
        return None, checked.found
    with contextlib.suppress(TooManyFindings):
        kind = _kind(root, checked)
        checked.check(root, ROOTS[kind] if kind else UNDECIDED, "the action")
        if kind and not errors(checked.found):
            action = _action(name, Fields(root), kind, checked)
            taint.warn_steps(Fields(Fields(root).node("runs")).node("steps"), checked)
    found = sorted(checked.found, key=lambda each: (each.line, each.column))
    return (None if errors(found) else action), found


def _kind(root: Node, checked: Validator) -> Kind | None:
    """What `runs.using` says, before anything is checked; None where it says nothing known, which is then reported."""
    runs = _raw(root, "runs")
    using = _raw(runs, "using") if runs is not None else None
    if using is None:
        return "plugin" if runs is not None and _raw(runs, "plugin") is not None else None
    value = using.value if isinstance(using.value, str) else ""
    folded = value.lower()
    if folded in NODE_VERSIONS:
        return "node"
    if folded in ("composite", "docker"):
        return cast("Kind", folded)
    hint = did_you_mean(value, _USING) or f"one of: {quoted_list(_USING)}"
    checked.report("WF052", using, f'no action runs using "{value[:100]}"', help=hint)
    return None


def _raw(node: Node, name: str) -> Node | None:
    if node.kind is not NodeKind.MAPPING:
        return None
    return next((value for key, value in node.value if key.value == name), None)


def _action(name: str, top: Fields, kind: Kind, checked: Validator) -> Action:
    return Action(
        path=name,
        runs=_runs(Fields(top.node("runs")), kind, checked),
        name=top.text("name") or "",
        description=top.text("description") or "",
        author=top.text("author") or "",
        inputs={own: _input(Fields(value)) for own, _, value in Fields(top.node("inputs"))},
        outputs={own: _output(Fields(value)) for own, _, value in Fields(top.node("outputs"))},
        branding=top.mapping("branding"),
    )


def _input(fields: Fields) -> Input:
    default = fields.node("default")
    return Input(
        description=fields.text("description") or "",
        required=to_text(fields.value("required")).lower() == "true",
        default=plain(default) if default is not None else None,
        deprecation=fields.text("deprecationMessage") or "",
    )


def _output(fields: Fields) -> Output:
    return Output(description=fields.text("description") or "", value=fields.text("value") or "")


def _runs(fields: Fields, kind: Kind, checked: Validator) -> Runs:
    optional: dict[str, Any] = {}
    for attribute, own in (("before_if", "pre-if"), ("after_if", "post-if")):
        text = fields.text(own)
        if text:
            optional[attribute] = bare(text)
    before, main, after = ("pre-entrypoint", "entrypoint", "post-entrypoint") if kind == "docker" else ("pre", "main", "post")
    steps, args = fields.node("steps"), fields.node("args")
    return Runs(
        kind=kind,
        using=fields.text("using") or "",
        main=fields.text(main) or "",
        before=fields.text(before) or "",
        after=fields.text(after) or "",
        steps=read_steps(steps, checked) if steps is not None else (),
        image=fields.text("image") or "",
        args=tuple(item.value for item in args.value) if args is not None else (),
        env=fields.mapping("env"),
        plugin=fields.text("plugin") or "",
        **optional,
    )
