"""How many files and connections this process may have open: as many as the system lets it.

The usual limit, 1,024, is one that a process may lift itself, and a server with a thousand waiting runners must. It is low
because old programs with select(2) fail beyond it; so jobs run with the limit that was there.
"""

import contextlib
import resource

_inherited = resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def inherited() -> int:
    """The limit with which this process was started; for the processes that it starts in turn."""
    return _inherited


def allow_many() -> None:
    """Lift the limit as far as it goes. A system that does not let us leaves it where it is."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
