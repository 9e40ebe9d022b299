"""What `on` means: events with their filters, schedules, inputs of dispatches and calls."""

from typing import Any

from domain.workflow import cron, timezones
from domain.workflow.fields import Fields
from domain.workflow.filters import PatternError, compile_pattern
from domain.workflow.nodes import Kind, Node, plain
from domain.workflow.suggest import did_you_mean, quoted_list
from domain.workflow.validator import Validator, kind_name

_PAIRS = (("branches", "branches-ignore"), ("tags", "tags-ignore"), ("paths", "paths-ignore"))
_DEFAULT_KINDS = {"boolean": Kind.BOOLEAN, "string": Kind.STRING, "choice": Kind.STRING, "environment": Kind.STRING}
SHORTEST_MINUTES = 5


def read_on(node: Node | None, checked: Validator) -> dict[str, Any]:
    """Event name to its filters, each filter a list (`{}` where there are none); `schedule` to its list of entries."""
    if node is None:
        return {}
    if node.kind is Kind.STRING:
        return {node.value: {}}
    if node.kind is Kind.SEQUENCE:
        return {item.value: {} for item in node.value}
    events: dict[str, Any] = {}
    for name, _, value in Fields(node):
        if value.kind is Kind.NULL:
            events[name] = {}
        elif name == "schedule":
            events[name] = [_schedule(item, checked) for item in value.value]
        elif name in ("workflow_dispatch", "workflow_call"):
            events[name] = _with_inputs(name, value, checked)
        else:
            events[name] = _filters(name, value, checked)
    return events


def _filters(event: str, node: Node, checked: Validator) -> dict[str, list[str]]:
    fields = Fields(node)
    for one, other in _PAIRS:
        if one in fields and other in fields:
            checked.report(
                "WF404",
                fields.key(other),
                f'"{event}" has both "{one}" and "{other}"',
                because="GitHub's server accepts one of the two for an event",
                help=f'use "{one}" alone, and exclude with patterns that begin with "!"',
                severity=checked.server_says,
            )
    found: dict[str, list[str]] = {}
    for name, _, value in fields:
        items = value.value if value.kind is Kind.SEQUENCE else [value]
        found[name] = [item.value for item in items]
        if name != "types":
            _check_patterns(items, checked)
    return found


def _check_patterns(items: list[Node], checked: Validator) -> None:
    """A pattern that says nothing is only warned about: GitHub's parser reads it, and no event ever matches."""
    for item in items:
        try:
            compile_pattern(item.value)
        except PatternError as error:
            at = error.position - 1
            message = f'the pattern "{item.value[:100]}" can match nothing: {error.message}'
            checked.report("WF405", item, message, focus=checked.focus(item, at, 1), severity="warning")


def _schedule(node: Node, checked: Validator) -> dict[str, str]:
    fields = Fields(node)
    line = fields.node("cron")
    assert line is not None  # noqa: S101 - its shape asks for cron
    fault = cron.fault(line.value)
    if fault is not None:
        checked.report("WF043", line, f'the schedule "{line.value[:100]}" is not valid', because=fault)
    elif cron.every_minutes(line.value) < SHORTEST_MINUTES:
        checked.report("WF401", line, "the schedule is shorter than GitHub's shortest, once every 5 minutes", severity="warning")
    zone = fields.node("timezone")
    if zone is not None and zone.value not in timezones.NAMES:
        hint = did_you_mean(zone.value, timezones.like(zone.value)) or 'write a name such as "Europe/Berlin" or "UTC"'
        because = "a time zone is named as in the IANA database"
        checked.report("WF043", zone, f'"{zone.value[:100]}" is no time zone', because=because, help=hint)
    return {name: value.value for name, _, value in fields}


def _with_inputs(event: str, node: Node, checked: Validator) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, _, value in Fields(node):
        if name == "inputs":
            found[name] = {input_: _input(event, key, declared, checked) for input_, key, declared in Fields(value)}
        else:
            found[name] = {} if value.kind is Kind.NULL else plain(value)
    return found


def _input(event: str, key: Node, node: Node, checked: Validator) -> dict[str, Any]:
    fields = Fields(node)
    kind = fields.text("type") or "string"
    default = fields.node("default")
    if default is not None and default.kind not in (Kind.EXPRESSION, Kind.NULL):
        wanted = _DEFAULT_KINDS.get(kind, Kind.NUMBER)
        if default.kind is not wanted and not (event == "workflow_call" and kind == "number"):
            checked.report(
                "WF044",
                default,
                f'the default of input "{key.value}" is {kind_name(default)}, and its type is {kind}',
                help='write "true" or "false" without quotes' if kind == "boolean" else "put the value in quotes",
            )
    options = fields.node("options")
    if kind == "choice":
        if options is None or not options.value:
            checked.report("WF044", node, f'input "{key.value}" has type choice and no options', help='add "options:" with a list')
        elif default is not None and default.kind is Kind.STRING and default.value not in [item.value for item in options.value]:
            names = quoted_list(item.value for item in options.value)
            checked.report(
                "WF402", default, f'the default of input "{key.value}" is none of its options', help=f"options: {names}", severity="warning"
            )
    elif options is not None:
        checked.report("WF044", node, f'input "{key.value}" has options, and its type is {kind}', help='write "type: choice"')
    found = {name: plain(value) for name, _, value in fields}
    found["type"] = kind
    return found
