"""Finding and ending every process that a job made, whatever it did to hide.

A process that ignores TERM, calls setsid or forks twice leaves its process group and session, but it cannot leave its
ancestor: the guardian is a child subreaper, so whatever loses its parent becomes the guardian's child again. All that
runs below a subreaper is therefore found by walking /proc, and "no child is left" (ECHILD) proves "nothing is left".

Standard library only, and little of it: the guardian imports this and has to start within milliseconds. Nothing here
may kill by name or by group.
"""

import ctypes
import os
import signal
import time
from collections.abc import Callable, Container
from contextlib import suppress

PR_SET_CHILD_SUBREAPER = 36

Identity = tuple[int, str]
"""A pid and its start time: a pid that was used again is not taken for the process that had it before."""


def become_subreaper() -> None:
    """Make this process the new parent of every orphan below it. Raises OSError where the kernel refuses."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "this process cannot become a child subreaper")


def has_children() -> bool:
    """Whether this process has any child, dead or alive. Reaps nothing; costs one system call."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def descendants(root: int, visit: Callable[[Identity], None] | None = None, pruned: frozenset[int] = frozenset()) -> set[Identity]:
    """All living processes below `root`; zombies are left out, they only wait to be reaped.

    visit: called during the walk, as soon as a process is known to stand below `root`, so that one that lives for a
    millisecond only can still be stopped. pruned: pids that are left out with all that is below them.
    """
    children: dict[int, list[tuple[int, str, str]]] = {}
    below = {root}
    for name in os.listdir("/proc"):  # noqa: PTH208 - see below
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", "rb") as file:  # noqa: PTH123 - pathlib would double the guardian's start-up time
                fields = file.read().rpartition(b")")[2].split()
        except OSError:
            continue  # it ended while we looked
        pid, parent, state, started = int(name), int(fields[1]), fields[0].decode(), fields[19].decode()
        if pid in pruned:
            continue
        children.setdefault(parent, []).append((pid, started, state))
        if parent in below:
            below.add(pid)
            if visit is not None and state not in "ZX":
                visit((pid, started))
    found: set[Identity] = set()
    queue = [root]
    while queue:
        for pid, started, state in children.get(queue.pop(), ()):
            queue.append(pid)
            if state not in "ZX":
                found.add((pid, started))
    return found


def send(targets: set[Identity], number: int) -> None:
    """Send a signal to each, the oldest first, so that no parent goes on because it saw its child end.

    One that is gone, or belongs to another user, is passed over.
    """
    for pid, _ in sorted(targets, key=lambda target: int(target[1])):
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def kill_all(
    root: int,
    reap: Callable[[], None],
    patience_seconds: float,
    *,
    spared: Container[Identity] = frozenset(),
    pruned: frozenset[int] = frozenset(),
) -> int:
    """End all that runs below `root`. Returns how many are left, 0 unless patience ran out.

    spared: processes that live on, though not what they start meanwhile. pruned: pids that live on with all below them.

    1. Stop everything until a walk finds nothing new: what is stopped cannot fork, so the set becomes closed.
    2. Kill everything, reap, and look again, because 1 may have missed what was born during the last walk.
    """
    give_up_at = time.monotonic() + patience_seconds
    pause = 0.0005
    while True:
        stopped: set[Identity] = set()

        def stop(process: Identity) -> None:
            if process not in spared and process not in stopped:  # noqa: B023 - called only within this turn of the loop
                stopped.add(process)  # noqa: B023 - see above
                send({process}, signal.SIGSTOP)

        before = -1
        while before < len(stopped):
            before = len(stopped)
            for process in descendants(root, stop, pruned):
                stop(process)
        send(stopped, signal.SIGKILL)
        reap()
        if not stopped:
            return 0
        if time.monotonic() > give_up_at:
            return len(stopped)
        time.sleep(pause)  # the end of processes that are no children tells nobody
        pause = min(pause * 2, 0.02)
