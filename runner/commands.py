"""Workflow commands in a step's output: `::name key=value::data`, and the older `##[name key=value;]data`.

Only the reading of one line, and the rules for the places of annotations; what a command does is in step_output.
"""

import re

import msgspec

ANNOTATIONS = frozenset({"error", "warning", "notice"})
NAMES = ANNOTATIONS | {
    "add-mask",
    "add-path",
    "debug",
    "echo",
    "endgroup",
    "group",
    "save-state",
    "set-env",
    "set-output",
    "stop-commands",
}
"""The commands that are known; anything else in this form is plain text."""

PAUSE_LOGGING = "pause-logging"


class WorkflowCommand(msgspec.Struct, frozen=True):
    """A command as read. name: lower case. properties: those that have a value."""

    name: str
    properties: dict[str, str]
    data: str


def parse(line: str, names: frozenset[str] | set[str] = NAMES) -> WorkflowCommand | None:
    """The command in this line, or None. `::` may have blanks before it only, `##[` may follow any text."""
    stripped = line.lstrip()
    if stripped.startswith("::"):
        return parse_colons(stripped, names)
    if "##[" in line:
        return parse_brackets(line, names)
    return None


def parse_colons(line: str, names: frozenset[str] | set[str]) -> WorkflowCommand | None:
    """`::name key=value,key=value::data`."""
    head, separator, data = line[2:].partition("::")
    name, _, properties = head.partition(" ")
    if not separator or name.lower() not in names:
        return None
    return WorkflowCommand(
        name.lower(),
        read_properties(properties.strip().split(","), (("%0D", "\r"), ("%0A", "\n"), ("%3A", ":"), ("%2C", ","), ("%25", "%"))),
        unescape(data, (("%0D", "\r"), ("%0A", "\n"), ("%25", "%"))),
    )


def parse_brackets(line: str, names: frozenset[str] | set[str]) -> WorkflowCommand | None:
    """`##[name key=value;key=value]data`."""
    escapes = (("%3B", ";"), ("%0D", "\r"), ("%0A", "\n"), ("%5D", "]"), ("%25", "%"))
    head, separator, data = line[line.index("##[") + 3 :].partition("]")
    name, _, properties = head.partition(" ")
    if not separator or name.lower() not in names:
        return None
    return WorkflowCommand(name.lower(), read_properties(properties.strip().split(";"), escapes), unescape(data, escapes))


def read_properties(pairs: list[str], escapes: tuple[tuple[str, str], ...]) -> dict[str, str]:
    """`key=value` pairs; those without a value are left out."""
    split = (pair.partition("=") for pair in pairs)
    return {key.strip(): unescape(value, escapes) for key, _, value in split if value}


def unescape(text: str, escapes: tuple[tuple[str, str], ...]) -> str:
    """Undo the escapes; `%25` comes last, so that an escaped per cent sign does not begin another escape."""
    if "%" in text:
        for escaped, character in escapes:
            text = text.replace(escaped, character)
    return text


def place(properties: dict[str, str]) -> dict[str, str]:
    """The properties of an annotation with a place that makes sense: what contradicts itself is dropped."""
    kept = dict(properties)
    numbers = {name: int(kept[name]) for name in ("line", "endLine", "col", "endColumn") if re.fullmatch(r"[0-9]{1,9}", kept.get(name, ""))}
    if "line" not in numbers and "endLine" in numbers:
        numbers["line"] = numbers["endLine"]
    if "col" not in numbers and "endColumn" in numbers:
        numbers["col"] = numbers["endColumn"]
    several_lines = "line" in numbers and "endLine" in numbers and numbers["line"] != numbers["endLine"]
    backwards = numbers.get("endColumn", 0) < numbers.get("col", 0) and "endColumn" in numbers
    if "line" not in numbers or several_lines or backwards:
        numbers.pop("col", None)
        numbers.pop("endColumn", None)
    if "endLine" in numbers and numbers["endLine"] < numbers["line"]:
        del numbers["line"], numbers["endLine"]
    for name in ("line", "endLine", "col", "endColumn"):
        kept.pop(name, None)
        if name in numbers:
            kept[name] = str(numbers[name])
    return kept
