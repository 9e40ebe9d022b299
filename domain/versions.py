"""Which runners a server takes: its own version, and one minor version back (N-1). Newer ones bring what they need."""

import re

_VERSION = re.compile(r"(\d+)\.(\d+)(?:\.|$)")


def numbers(version: str) -> tuple[int, int] | None:
    """Major and minor; None for what is no version, such as that of a working copy."""
    found = _VERSION.match(version)
    return (int(found[1]), int(found[2])) if found else None


def too_old(server: str, runner: str) -> str:
    """Why a server refuses a runner of this version, "" where it does not. What is no version is taken."""
    ours, theirs = numbers(server), numbers(runner)
    if ours is None or theirs is None or theirs >= (ours[0], max(0, ours[1] - 1)):
        return ""
    return f"the runner is of version {runner}; this server of version {server} takes runners from {ours[0]}.{max(0, ours[1] - 1)} on"
