"""Ends what jobs of an earlier life of this runner left running: only when agent and guardians were all killed at once.

Every step has RUNNER_TEMP below the runner's working folder in its environment, which no other process has.
"""

import os
import signal
from contextlib import suppress
from pathlib import Path


def marked(work: Path) -> set[int]:
    """The processes whose environment names a job's folder in `work`; those of other users cannot be read and are not ours."""
    mark = b"RUNNER_TEMP=" + os.fsencode(work.absolute() / "jobs") + b"/"
    found: set[int] = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with suppress(OSError):
                if any(variable.startswith(mark) for variable in (entry / "environ").read_bytes().split(b"\0")):
                    found.add(int(entry.name))
    return found


def end_marked(work: Path) -> int:
    """Kill them, and again what they started meanwhile. Returns how many there were."""
    ended: set[int] = set()
    while fresh := marked(work) - ended:
        for pid in fresh:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        ended |= fresh
    return len(ended)
