"""Runs `ledgermill` so that it kills itself at a named point of its work. The product's code knows nothing of it.

    python -m tests.rigs.kill_points POINT NTH serve gateway --database-url ...

At the NTH passage of POINT the process sends itself SIGKILL: nothing is flushed, closed or said any more.
"""

import functools
import itertools
import os
import signal
import sys
from collections.abc import Callable
from typing import Any, Literal

import msgspec

from gateway.cli.main import main


class KillPoint(msgspec.Struct, frozen=True):
    """A point of a process: before or after one call of `function`, a coroutine method "module:Class.name" or "module:name"."""

    function: str
    side: Literal["before", "after"]


APPEND = "infra.appender:Appender._call"
POINTS = {
    "before the append": KillPoint(APPEND, "before"),
    "after the append, before the answer": KillPoint(APPEND, "after"),
    "before rows and position": KillPoint("projections.rows:execute", "before"),
    "after rows and position": KillPoint("projections.projector:Projector._apply", "after"),
    "between publish and position": KillPoint("infra.bridge:Bridge._publish_all", "after"),
    "between publish and acknowledgement": KillPoint("infra.relay:Relay._settle", "before"),
}
OF_ROLE = {
    "gateway": ("before the append", "after the append, before the answer"),
    "projector": ("before rows and position", "after rows and position"),
    "relay": ("between publish and position", "between publish and acknowledgement"),
    "reconciler": ("before the append", "after the append, before the answer"),
}


def arm(point: KillPoint, nth: int) -> None:
    """Patch the function in this process."""
    module, _, path = point.function.partition(":")
    owner: Any = __import__(module, fromlist=["_"])
    *classes, name = path.split(".")
    for each in classes:
        owner = getattr(owner, each)
    setattr(owner, name, _deadly(getattr(owner, name), point.side, itertools.count(1), nth))


def _deadly(function: Callable[..., Any], side: str, passages: "itertools.count[int]", nth: int) -> Callable[..., Any]:
    @functools.wraps(function)
    async def wrapped(*given: Any, **named: Any) -> Any:
        mine = next(passages) >= nth
        if mine and side == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        answer = await function(*given, **named)
        if mine:
            os.kill(os.getpid(), signal.SIGKILL)
        return answer

    return wrapped


if __name__ == "__main__":
    arm(POINTS[sys.argv[1]], int(sys.argv[2]))
    sys.exit(main(sys.argv[3:]))
