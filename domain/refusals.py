"""The two answers to a command: what follows from it, or why the rules forbid it. Refusals are data, not exceptions."""

from typing import Any

import msgspec


class Decision(msgspec.Struct, frozen=True, gc=False):
    """What follows from a command: events of its own stream, and commands whose events belong in the same commit."""

    events: tuple[Any, ...] = ()
    commands: tuple[Any, ...] = ()


REPEAT = Decision()
"""The command was carried out before, or asks for what is already so: nothing follows."""


class Refusal(msgspec.Struct, frozen=True):
    """Why a command was refused.

    code: stable and lower snake case (e.g. "stale_epoch"), listed in docs. message: the concrete values, for people.
    state: the state that forbids it, where one does. help: what to do. evidence: events that record the attempt itself
    (a stale write); they are appended although the command is refused.
    """

    code: str
    message: str
    state: str | None = None
    help: str | None = None
    evidence: tuple[Any, ...] = ()


def mismatch(what: str, version: int, versions: tuple[int, ...] | None) -> Refusal | None:
    """The refusal where `what` is at a version that is none of these; None: it may be at any."""
    if versions is None or version in versions:
        return None
    message = f"{what} is at version {version}, which If-Match does not name"
    return Refusal("version_mismatch", message, state="changed", help="read it again, then decide on what it is now")
