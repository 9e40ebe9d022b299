"""Permissions of called workflows: what a caller holds, what a called one asks for, and what is too much.

A caller that states nothing and for which no policy is known holds whatever the server gives, so nothing can be too much.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from domain.workflow.shapes import Shape
from domain.workflow.syntax import PERMISSION_LEVELS

_RANK = {"none": 0, "read": 1, "write": 2}
_LIMITED_READ = {"contents": "read", "packages": "read"}


class Granted(msgspec.Struct, frozen=True):
    """What a caller holds. limited: False where it is not known and so not checked. all: the level of unnamed scopes."""

    scopes: dict[str, str]
    rest: str = "none"
    limited: bool = True

    def level(self, scope: str) -> str:
        """The level of a scope."""
        return self.scopes.get(scope, self.rest)

    def describe(self, wanted: Mapping[str, str]) -> str:
        """What is held of the wanted scopes."""
        return "the caller holds " + ", ".join(f"{scope}: {self.level(scope)}" for scope in wanted)


def initial(policy: str) -> Granted:
    """What a workflow holds before it states anything, by the repository's policy."""
    if policy == "LimitedRead":
        return Granted(dict(_LIMITED_READ))
    return Granted({}, rest="write", limited=bool(policy))


def granted(stated: Any, held: Granted) -> Granted:
    """What `permissions` leave, `held` where there are none. Stated scopes replace everything."""
    wanted = requested(stated)
    if stated is None:
        return held
    return Granted(wanted)


def requested(stated: Any) -> dict[str, str]:
    """`permissions` as scopes with levels; the short forms name all scopes."""
    if isinstance(stated, Mapping):
        return {str(scope): str(level) for scope, level in stated.items()}
    if stated in ("read-all", "write-all"):
        levels = ("write", "read") if stated == "write-all" else ("read",)
        return {scope: level for scope, shape in PERMISSION_LEVELS.items() if (level := _highest(shape, levels))}
    return {}


def _highest(shape: Shape, levels: tuple[str, ...]) -> str | None:
    return next((level for level in levels if level in (shape.constants or ())), None)


def excess(wanted: Mapping[str, str], held: Granted) -> str:
    """The scopes that are asked for above what is held, as `actions: write, checks: read`; "" where there are none."""
    return ", ".join(f"{scope}: {level}" for scope, level in wanted.items() if _RANK[level] > _RANK[held.level(scope)])
