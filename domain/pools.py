"""Pools: jobs and runners by operating system, for figures that must not name what users choose.

Labels are the users' words, so no label of a figure may hold them; which system a label means is one of four words.
"""

from collections.abc import Iterable
from typing import Literal

Pool = Literal["linux", "macos", "windows", "other"]
POOLS: tuple[Pool, ...] = ("linux", "macos", "windows", "other")
"""other: the labels name no system, so a runner of any may do."""

_SYSTEMS: dict[str, Pool] = {"linux": "linux", "ubuntu": "linux", "macos": "macos", "darwin": "macos", "windows": "windows"}


def pool_of(labels: Iterable[str]) -> Pool:
    """The system that the first label of one names: "linux", "ubuntu-latest", "Windows"."""
    for label in labels:
        found = _SYSTEMS.get(label.casefold().partition("-")[0])
        if found is not None:
            return found
    return "other"
