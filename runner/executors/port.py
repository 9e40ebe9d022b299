"""The port behind which steps run. A cell is the place of one job; when it is closed, nothing of the job is left.

An adapter is held to `tests/conformance/executor`. It must never leave a process behind: not when a step escapes its
session, not when the agent is killed, not when the lease ends while the agent hangs.
"""

from collections.abc import Awaitable
from typing import Protocol

import msgspec


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """What to run. argv[0]: an absolute path. cwd: an existing directory. environment: all of it, nothing is inherited."""

    argv: tuple[str, ...]
    environment: dict[str, str]
    cwd: str


class CannotStart(Exception):  # noqa: N818 - an outcome with a name of its own
    """The program could not be started at all. The message names the program and the reason."""


class CellLost(Exception):  # noqa: N818 - an outcome with a name of its own
    """The cell was destroyed from outside, e.g. by someone who killed its guardian; whatever ran in it is gone."""


class Process(Protocol):
    """A started step. stdout, stderr: non-blocking descriptors to read from; whoever reads them closes them."""

    stdout: int
    stderr: int
    pid: int

    def wait(self) -> Awaitable[int]:
        """The exit code, or minus the signal's number. Raises CellLost. Says nothing about children that still run."""
        ...

    def signal(self, number: int) -> None:
        """Send a signal to every process that came from this step, those of other sessions too. May be called from any thread."""
        ...

    async def kill(self) -> int:
        """End every process that came from this step. Returns how many are left, which is 0 unless the kernel holds one."""
        ...


class Cell(Protocol):
    """Where the steps of one job run, one after the other. What a step leaves running lives until the cell is closed."""

    async def start(self, command: Command) -> Process:
        """Start a step in a session of its own, standard input empty. Raises CannotStart, CellLost."""
        ...

    def live_until(self, deadline: float | None) -> None:
        """Kill everything when the monotonic clock passes `deadline`, even if this process hangs. From any thread."""
        ...

    def expired(self) -> bool:
        """Whether the deadline passed and everything was killed."""
        ...

    def lost(self) -> bool:
        """Whether the cell was destroyed from outside."""
        ...

    async def close(self) -> int:
        """Kill everything and return when it is gone: the number of processes left, 0 unless the kernel holds one."""
        ...


class Executor(Protocol):
    """Makes cells. isolation: what separates a job from the machine; provenance names it."""

    isolation: str

    async def open(self) -> Cell:
        """A cell for one job."""
        ...

    async def close(self) -> None:
        """End everything, also cells that are still open."""
        ...
