"""What a script leaves for later steps, as far as its text tells: the outputs and variables that a stranger's text goes into.

It looks for the ways in which scripts are written: `echo "name=$VALUE" >> "$GITHUB_OUTPUT"`, the same with `<<DELIMITER`
over several lines, in braces with one redirection behind, to GITHUB_ENV, and by `::set-output`. A value that a program
computes from a stranger's text is not followed: that is more than a text tells.
"""

import re
from collections.abc import Callable, Iterator

_FILES = {"GITHUB_OUTPUT": "outputs", "GITHUB_ENV": "env"}
_ASSIGNED = re.compile(r"(?:^|[\s\"'({])([A-Za-z_][\w-]*)=(.*)")
_OPENED = re.compile(r"(?:^|[\s\"'({])([A-Za-z_][\w-]*)<<-?\s*[\"']?(\w+)")
_COMMAND = re.compile(r"::set-output name=([\w-]+)::(.*)")
_PRINTS = ("echo ", "printf ")
_VARIABLE = re.compile(r"\$\{?([A-Za-z_]\w*)")


def leaves_something(script: str) -> bool:
    """Whether a script writes outputs or variables at all."""
    return "GITHUB_OUTPUT" in script or "GITHUB_ENV" in script or "::set-output" in script


def variables(text: str) -> set[str]:
    """The shell variables that a text names, in lower case."""
    return {name.lower() for name in _VARIABLE.findall(text)}


def left(script: str, tainted: Callable[[str], bool]) -> Iterator[tuple[str, str]]:
    """("outputs" or "env", name) of each value that holds a stranger's text. tainted: whether a piece of the script pastes or reads one."""
    default = next((kind for file, kind in _FILES.items() if file in script), "")
    name = delimiter = kind = ""
    for line in script.split("\n"):
        own = next((kind for file, kind in _FILES.items() if file in line), "")
        target = own or (default if line.strip().lstrip("{( ").startswith(_PRINTS) else "")
        if delimiter:
            if delimiter in line:
                delimiter = ""
            elif tainted(line):
                yield kind, name
            continue
        command = _COMMAND.search(line)
        if command is not None:
            if tainted(command[2]):
                yield "outputs", command[1]
            continue
        opened = _OPENED.search(line) if target else None
        if opened is not None:
            name, delimiter, kind = opened[1], opened[2], target
            continue
        assigned = _ASSIGNED.search(line) if target else None
        if assigned is not None and tainted(assigned[2]):
            yield target, assigned[1]
