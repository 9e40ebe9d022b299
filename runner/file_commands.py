"""Reads the files through which a step speaks: GITHUB_ENV, GITHUB_OUTPUT, GITHUB_STATE, GITHUB_PATH.

The format is GitHub's: `NAME=value`, or `NAME<<DELIMITER`, lines, `DELIMITER`. Pure text in, values out; it must never
take a file that it does not understand for an empty one.
"""

BLOCKED = frozenset({"NODE_OPTIONS"})
"""Names that a step may not set for later steps; GitHub's list."""
FILE_BYTES_MAX = 16 * 1024 * 1024
SUMMARY_BYTES_MAX = 1024 * 1024


class FileCommandError(ValueError):
    """The file is not in the format, and none of its values counts. The message says where."""


def decode(data: bytes) -> str:
    """The text of such a file: UTF-8, with or without a byte order mark."""
    return data.decode("utf-8-sig", "replace")


def parse(text: str) -> dict[str, str]:
    """The values in the file, the last one where a name occurs twice. Raises FileCommandError."""
    values: dict[str, str] = {}
    at = 0
    while at < len(text):
        line, _, at = next_line(text, at)
        if not line:
            continue
        equals, heredoc = line.find("="), line.find("<<")
        if equals >= 0 and (heredoc < 0 or equals < heredoc):
            name, _, value = line.partition("=")
            if not name:
                raise FileCommandError(f"Invalid format '{line}'. Name must not be empty")
        elif heredoc >= 0:
            name, _, delimiter = line.partition("<<")
            if not name or not delimiter:
                raise FileCommandError(f"Invalid format '{line}'. Name must not be empty and delimiter must not be empty")
            value, at = read_until(text, at, delimiter)
        else:
            raise FileCommandError(f"Invalid format '{line}'")
        values[name] = value
    return values


def next_line(text: str, at: int) -> tuple[str, bool, int]:
    """The line at `at` without its newline, whether it had one, and where the next begins."""
    end = text.find("\n", at)
    if end < 0:
        return text[at:], False, len(text)
    return text[at:end], True, end + 1


def read_until(text: str, at: int, delimiter: str) -> tuple[str, int]:
    """The text up to the line that is `delimiter`, without the newline before it, and where the next line begins."""
    lines: list[str] = []
    while at < len(text):
        line, ended, at = next_line(text, at)
        if line == delimiter:
            return "\n".join(lines), at
        if not ended:
            raise FileCommandError("Invalid value. EOF marker missing new line.")
        lines.append(line)
    raise FileCommandError(f"Invalid value. Matching delimiter not found '{delimiter}'")


def parse_environment(text: str) -> tuple[dict[str, str], list[str]]:
    """GITHUB_ENV: the variables to set, and a complaint for each name that may not be set."""
    values = parse(text)
    refused = [f"Can't store {name} output parameter using '$GITHUB_ENV' command." for name in values if name.upper() in BLOCKED]
    return {name: value for name, value in values.items() if name.upper() not in BLOCKED}, refused


def parse_paths(text: str) -> list[str]:
    """GITHUB_PATH: the folders to put before PATH, in order of writing."""
    return [line for line in (raw.removesuffix("\r") for raw in text.split("\n")) if line]
