"""How things look in a terminal: marks, colours, durations, ages and tables. Plain text whenever it is not a terminal.

Text from a repository or a log may hold terminal escapes; `safe` takes them out wherever such text is not the log itself.
"""

import os
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, TextIO

import msgspec

MARKS = {"success": "✓", "failure": "✗", "timed_out": "✗", "cancelled": "⊘", "skipped": "-", "startup_failure": "✗"}
COLOURS = {"success": "32", "failure": "31", "timed_out": "31", "cancelled": "33", "skipped": "2", "startup_failure": "31"}
ACTIVE = {"queued": "…", "waiting": "…", "in_progress": "●"}


def colour(stream: TextIO) -> bool:
    """Whether this stream takes colours: a terminal, unless NO_COLOR says no; FORCE_COLOR says yes."""
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or stream.isatty()


def paint(text: str, code: str, stream: TextIO | None = None) -> str:
    """The text in an SGR colour where the stream (standard output) takes colours."""
    return f"\033[{code}m{text}\033[0m" if code and colour(stream or sys.stdout) else text


def word(item: dict[str, Any]) -> str:
    """One word for people: the conclusion once there is one, else the status."""
    return str(item.get("conclusion") or item["status"])


def mark(state: str, stream: TextIO | None = None) -> str:
    """The sign of a state, coloured."""
    return paint(MARKS.get(state) or ACTIVE.get(state, "?"), COLOURS.get(state, ""), stream)


def instant(text: str | None) -> datetime | None:
    """An instant of the API."""
    return datetime.fromisoformat(text) if text else None


def seconds_between(start: str | None, end: str | None) -> float | None:
    """Seconds from one instant to another, or to now while the end is open; None before the start."""
    begun = instant(start)
    if begun is None:
        return None
    return max(0.0, ((instant(end) or datetime.now(UTC)) - begun).total_seconds())


def duration(seconds: float | None) -> str:
    """4.1s, 2m03s, 1h04m; empty for None."""
    if seconds is None:
        return ""
    if seconds < 60:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}m{rest:02}s" if minutes < 60 else f"{minutes // 60}h{minutes % 60:02}m"


def age(text: str | None) -> str:
    """How long ago, in the largest fitting unit."""
    passed = seconds_between(text, None)
    if passed is None:
        return ""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if passed >= size:
            return f"{int(passed // size)}{unit} ago"
    return f"{int(passed)}s ago"


def safe(text: object) -> str:
    """One line without characters that a terminal acts on."""
    return "".join(character if character.isprintable() else " " for character in str(text))


def table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Left-aligned columns, two blanks apart; "" where there are no rows."""
    lines = [[safe(cell) if cell is not None else "" for cell in row] for row in rows]
    if not lines:
        return ""
    widths = [max(len(heading), *(len(line[column]) for line in lines)) for column, heading in enumerate(headings)]
    shown = [list(headings), *lines]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in shown)


def short_sha(sha: str | None) -> str:
    """The first seven digits."""
    return (sha or "")[:7]


def short_ref(ref: str | None) -> str:
    """A branch or tag without refs/."""
    return (ref or "").removeprefix("refs/heads/").removeprefix("refs/tags/")


def print_json(value: Any) -> None:
    """JSON on standard output, indented for people who look at it."""
    print(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def print_json_line(value: Any) -> None:
    """One JSON object on a line of its own."""
    print(msgspec.json.encode(value).decode())
