"""Whether a `schedule` line is one that GitHub accepts: five fields of POSIX cron, with names of months and days.

When it fires is domain/cron_times.py's. Nicknames such as @daily, seconds and `L`, `W`, `#`, `?` are not GitHub's.
"""

from itertools import pairwise

_MONTHS = {name: at for at, name in enumerate(("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"), 1)}
_DAYS = {name: at for at, name in enumerate(("sun", "mon", "tue", "wed", "thu", "fri", "sat"))}
_FIELDS: tuple[tuple[str, int, int, dict[str, int]], ...] = (
    ("minute", 0, 59, {}),
    ("hour", 0, 23, {}),
    ("day of month", 1, 31, {}),
    ("month", 1, 12, _MONTHS),
    ("day of week", 0, 6, _DAYS),
)


def fault(line: str) -> str | None:
    """Why a cron line is not valid, or None."""
    fields = [field for field in line.split(" ") if field]
    if len(fields) != len(_FIELDS):
        return f"it has {len(fields)} fields, and a schedule has five: minute hour day month weekday"
    for field, (name, low, high, names) in zip(fields, _FIELDS, strict=True):
        for item in field.split(","):
            if not _item(item, low, high, names):
                return f'"{item}" is no {name} ({low}-{high})'
    return None


def every_minutes(line: str) -> int:
    """The shortest pause between two firings within an hour, as far as the minute field tells; 60 where it fires once."""
    field = line.split(" ", 1)[0]
    minutes = sorted({minute for item in field.split(",") for minute in _minutes(item)})
    if len(minutes) < 2:
        return 60
    return min(later - earlier for earlier, later in pairwise([*minutes, minutes[0] + 60]))


def _item(item: str, low: int, high: int, names: dict[str, int]) -> bool:
    base, slash, step = item.partition("/")
    if slash and not (step.isascii() and step.isdigit() and int(step[:4]) > 0):
        return False
    if base == "*":
        return True
    first, dash, last = base.partition("-")
    start = _value(first, low, high, names)
    if not dash:
        return start is not None
    end = _value(last, low, high, names)
    return start is not None and end is not None and end >= start


def _value(text: str, low: int, high: int, names: dict[str, int]) -> int | None:
    if text.lower() in names:
        return names[text.lower()]
    if not (text.isascii() and text.isdigit() and len(text) <= 4):
        return None
    return int(text) if low <= int(text) <= high else None


def _minutes(item: str) -> range:
    base, slash, step = item.partition("/")
    first, _, last = base.replace("*", "0-59").partition("-")
    start = int(first)
    end = int(last) if last else (59 if slash else start)
    return range(start, end + 1, int(step) if slash else 1)
