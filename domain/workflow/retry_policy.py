"""The retry policy that a job sets for itself in its `env`: `LEDGERMILL_RETRY: "max=3 on=lost,failed backoff=5s"`.

It stands in `env` so that GitHub, which does not know it, runs the same file. A repository's setting is written the same.
"""

import re

from domain.retry import RetryPolicy

VARIABLE = "LEDGERMILL_RETRY"
ATTEMPTS_MAX = 100
SECONDS_MAX = 35 * 86400.0
"""No pause is longer: a run takes no longer than this."""
ENDS = ("lost", "failed", "timed_out")
_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)(ms|s|m|h|d)?\Z")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def parse(text: str, default: RetryPolicy = RetryPolicy()) -> RetryPolicy:  # noqa: B008 - frozen
    """The policy that a text states; what it leaves out is as in `default`. Raises ValueError with the reason."""
    known: dict[str, str] = {}
    for word in text.split():
        name, equals, value = word.partition("=")
        if not equals or name not in ("max", "on", "backoff", "cap", "within"):
            raise ValueError(f'"{word}" is none of max=, on=, backoff=, cap= and within=')
        if name in known:
            raise ValueError(f'"{name}" stands twice')
        known[name] = value
    return RetryPolicy(
        attempts_max=_count(known["max"]) if "max" in known else default.attempts_max,
        on=_ends(known["on"]) if "on" in known else default.on,
        backoff_seconds=_seconds("backoff", known["backoff"]) if "backoff" in known else default.backoff_seconds,
        backoff_seconds_max=_seconds("cap", known["cap"]) if "cap" in known else default.backoff_seconds_max,
        within_seconds=_seconds("within", known["within"]) if "within" in known else default.within_seconds,
    )


def _count(value: str) -> int:
    if not (value.isascii() and value.isdigit() and 1 <= int(value[:9]) <= ATTEMPTS_MAX):
        raise ValueError(f"max={value} is not a number of attempts from 1 to {ATTEMPTS_MAX}")
    return int(value)


def _ends(value: str) -> tuple[str, ...]:
    ends = tuple(dict.fromkeys(end for end in value.split(",") if end))
    for end in ends:
        if end not in ENDS:
            raise ValueError(f"on={end} is none of {', '.join(ENDS)}")
    return ends


def _seconds(name: str, value: str) -> float:
    match = _DURATION.match(value)
    if match is None:
        raise ValueError(f"{name}={value} is not a duration such as 500ms, 5s, 2m or 1h")
    seconds = float(match[1]) * _UNITS[match[2] or "s"]
    if seconds > SECONDS_MAX:
        raise ValueError(f"{name}={value} is longer than {SECONDS_MAX / 86400:g} days")
    return seconds
