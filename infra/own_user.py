"""Makes this process one that other processes get nothing out of: a user of its own where root allows, and no way into its memory.

What it needs of closed directories and of the database has to be open before. Python's modules too.
"""

import ctypes
import os
from zlib import crc32

PR_SET_PDEATHSIG, PR_GET_PDEATHSIG, PR_SET_DUMPABLE = 1, 2, 4
FIRST, COUNT = 61_184, 4_336
"""The user ids that systemd sets aside for users without a name."""

_libc = ctypes.CDLL(None, use_errno=True)


def user_for(name: str) -> int:
    """A user id for what is called so, always the same."""
    return FIRST + crc32(name.encode()) % COUNT


def become(user: int) -> None:
    """Give root up for good; the signal at the parent's death, which that clears, stays asked for. Raises OSError."""
    signal = ctypes.c_int(0)
    _libc.prctl(PR_GET_PDEATHSIG, ctypes.byref(signal), 0, 0, 0)
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    _libc.prctl(PR_SET_PDEATHSIG, signal.value, 0, 0, 0)


def keep_others_out() -> None:
    """No core dump, no debugger of the same user, nobody's eyes on this process's memory and environment. Raises OSError."""
    if _libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), "PR_SET_DUMPABLE")
