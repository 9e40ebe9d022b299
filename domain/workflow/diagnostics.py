"""Diagnostics: what is wrong with a workflow file, where, why, and what to do; and their four written forms.

One object feeds the terminal, the tools, the HTTP answer and GitHub's annotations, so that they never disagree. The
texts quote the file; they must never hold a value of a secret or of a payload.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import msgspec

Severity = Literal["error", "warning"]


class Diagnostic(msgspec.Struct, frozen=True, omit_defaults=True):
    """One finding.

    line and column count from 1 and name the value as GitHub names it: the start of the whole scalar. focus is the
    exact part of it (line, column, end column), which the snippet underlines. because: the cause. help: what to do.
    """

    code: str
    severity: Severity
    message: str
    line: int
    column: int
    file: str
    end_line: int | None = None
    end_column: int | None = None
    focus: tuple[int, int, int] | None = None
    because: str | None = None
    help: str | None = None

    @property
    def place(self) -> tuple[int, int]:
        """Line and column of the exact part, else of the whole value."""
        return self.focus[:2] if self.focus else (self.line, self.column)

    def one_line(self) -> str:
        """`file:line:col: message [CODE]`, the form that editors and scripts read."""
        line, column = self.place
        prefix = "warning: " if self.severity == "warning" else ""
        return f"{self.file}:{line}:{column}: {prefix}{_single(self.message)} [{self.code}]"


def errors(diagnostics: Iterable[Diagnostic]) -> list[Diagnostic]:
    """Those that make a file invalid."""
    return [each for each in diagnostics if each.severity == "error"]


def human(diagnostic: Diagnostic, text: str | None = None) -> str:
    """The form for people: what, where with the line and a caret, because, help. text: the file's content."""
    line, column = diagnostic.place
    parts = [f"{diagnostic.severity}[{diagnostic.code}]: {_single(diagnostic.message)}", f"  --> {diagnostic.file}:{line}:{column}"]
    source = _line(text, line)
    if source is not None:
        number = str(line)
        gutter = " " * len(number)
        indent = "".join("\t" if character == "\t" else " " for character in source[: column - 1])
        parts += [f"{gutter} |", f"{number} | {source}", f"{gutter} | {indent}{'^' * _width(diagnostic, source)}"]
    if diagnostic.because:
        parts.append(f"because: {_single(diagnostic.because)}")
    if diagnostic.help:
        parts.append(f"help: {_single(diagnostic.help)}")
    return "\n".join(parts)


def as_json(diagnostic: Diagnostic) -> dict[str, Any]:
    """The JSON form: line and column are the exact place."""
    line, column = diagnostic.place
    found = {
        "code": diagnostic.code,
        "severity": diagnostic.severity,
        "message": diagnostic.message,
        "file": diagnostic.file,
        "line": line,
        "column": column,
        "end_line": line if diagnostic.focus else diagnostic.end_line,
        "end_column": diagnostic.focus[2] if diagnostic.focus else diagnostic.end_column,
        "because": diagnostic.because,
        "help": diagnostic.help,
    }
    return {name: value for name, value in found.items() if value is not None}


def annotation(diagnostic: Diagnostic) -> str:
    """GitHub's workflow command (`::error file=...,line=...::...`), which shows the finding at the line of a change."""
    line, column = diagnostic.place
    properties = {"file": diagnostic.file, "line": str(line), "col": str(column), "title": diagnostic.code}
    listed = ",".join(f"{name}={_escape(value, property_=True)}" for name, value in properties.items())
    message = diagnostic.message + (f"\nhelp: {diagnostic.help}" if diagnostic.help else "")
    return f"::{diagnostic.severity} {listed}::{_escape(message)}"


def sarif(diagnostics: Iterable[Diagnostic], explanations: Mapping[str, str], version: str) -> dict[str, Any]:
    """A SARIF 2.1.0 log of one run of the linter."""
    found = list(diagnostics)
    codes = sorted({each.code for each in found})
    rules = [{"id": code, "shortDescription": {"text": explanations.get(code, code)}} for code in codes]
    return {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [
            {
                "tool": {"driver": {"name": "ledgermill", "version": version, "rules": rules}},
                "results": [_sarif_result(each) for each in found],
            }
        ],
    }


def _sarif_result(diagnostic: Diagnostic) -> dict[str, Any]:
    line, column = diagnostic.place
    where = {"artifactLocation": {"uri": diagnostic.file}, "region": {"startLine": line, "startColumn": column}}
    return {
        "ruleId": diagnostic.code,
        "level": diagnostic.severity,
        "message": {"text": diagnostic.message},
        "locations": [{"physicalLocation": where}],
    }


def _escape(text: str, *, property_: bool = False) -> str:
    text = text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    return text.replace(":", "%3A").replace(",", "%2C") if property_ else text


def _single(text: str) -> str:
    """One line, without characters that a terminal acts on: the text quotes an untrusted file."""
    joined = " ".join(text.split()) if "\n" in text or "\r" in text else text
    return "".join(character if character.isprintable() else "�" for character in joined)


def _line(text: str | None, number: int) -> str | None:
    if text is None:
        return None
    lines = text.split("\n", number)
    if len(lines) < number:
        return None
    line = lines[number - 1].rstrip("\r")
    return "".join(character if character.isprintable() or character == "\t" else "�" for character in line)[:400]


def _width(diagnostic: Diagnostic, source: str) -> int:
    """How many carets: to the end of the value on this line, at least one."""
    line, column = diagnostic.place
    if diagnostic.focus:
        end = diagnostic.focus[2]
    elif diagnostic.end_line == line and diagnostic.end_column:
        end = diagnostic.end_column
    else:
        end = len(source) + 1
    return max(1, min(end, len(source) + 1) - column)
