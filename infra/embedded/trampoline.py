"""The program that turns itself into a server: `python -I -S trampoline.py JSON`; never imported by the rest.

Three things must happen in the child between fork and exec, and none of them is safe in a process with threads: give up root,
ask the kernel for a signal when the owner dies, and check that the owner had not died before that. A fresh interpreter does
them and execs. Its process id stays the server's.

Giving up root: Postgres refuses to run as root, and a data directory of mode 0700 (or one below a closed home directory) cannot
be entered by anybody else. So the server gets a private mount namespace in which every closed directory on its way is covered by
an empty one that holds only the few paths in `reach`, at their usual names. No mode and no owner outside changes. Where mounting
is not allowed (containers), it keeps the one capability that walks through closed directories, nothing else of root.

Must never print a secret and never run the server when a step failed: exit codes 111 (owner gone) and 112 (cannot give up root).
"""

# Importing pathlib would cost half of this program's start.
# ruff: noqa: PTH103, PTH112, PTH116, PTH120, PTH123
import ctypes
import json
import os
import resource
import sys

CLONE_NEWNS = 0x00020000
MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC, MS_SLAVE = 0x2, 0x4, 0x8, 0x1000, 0x4000, 1 << 19
PR_SET_PDEATHSIG, PR_SET_KEEPCAPS, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE = 1, 8, 47, 2
PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP = 28, 1 << 2
CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH = 1, 2
CAPABILITY_VERSION_3 = 0x20080522
OWNER_GONE, STILL_ROOT = 111, 112

libc = ctypes.CDLL(None, use_errno=True)


def call(result: int, what: str) -> None:
    """Raise OSError with the C library's errno unless result is 0."""
    if result != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error), what)


def main(
    *, parent: int, signal: int, uid: int | None, gid: int | None, reach: list[str], run: list[str], open_files: int | None = None
) -> None:
    """With uid None stay who we are; reach = the paths that the server needs; run = its argv with an absolute program.

    open_files: how many files it may have open unless it asks for more; None: as many as the owner.
    """
    os.chdir("/")
    os.umask(0o077)
    if open_files is not None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (open_files, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    if uid is not None and gid is not None:
        try:
            give_up_root(uid, gid, reach)
        except OSError as error:
            os.write(2, f"cannot give up root: {error}\n".encode())
            os._exit(STILL_ROOT)
    # Changing the user clears the death signal, so it is asked for last.
    call(libc.prctl(PR_SET_PDEATHSIG, signal, 0, 0, 0), "PR_SET_PDEATHSIG")
    if os.getppid() != parent:
        os._exit(OWNER_GONE)
    os.execv(run[0], run)  # noqa: S606 -- a shell here is what must not be


def give_up_root(uid: int, gid: int, reach: list[str]) -> None:
    """Become uid and gid with a way to every path in reach."""
    covers = closed_directories(uid, reach)
    keep = None
    if covers:
        try:
            call(libc.unshare(CLONE_NEWNS), "unshare")
            call(libc.mount(b"none", b"/", None, MS_REC | MS_SLAVE, None), "mount")
        except OSError:  # no CAP_SYS_ADMIN, or a container's seccomp or AppArmor profile
            keep = capability_that_walks()
        else:
            for directory, inside in covers.items():
                cover(directory, inside)
    if keep is not None:
        call(libc.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0), "PR_SET_KEEPCAPS")
        # Else access(2), by which initdb looks for postgres, would answer without the capability. Where this is not allowed,
        # only programs below a closed directory are out of reach, and initdb says so.
        libc.prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0)
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    if keep is not None:
        set_capabilities(1 << keep)
        call(libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, keep, 0, 0), "PR_CAP_AMBIENT_RAISE")


def closed_directories(uid: int, reach: list[str]) -> dict[str, list[str]]:
    """The topmost directory that uid cannot enter, for each path that has one."""
    covers: dict[str, list[str]] = {}
    for path in reach:
        parts = os.path.dirname(path).split("/")
        for depth in range(1, len(parts) + 1):
            directory = "/".join(parts[:depth]) or "/"
            status = os.stat(directory)
            if not status.st_mode & (0o100 if status.st_uid == uid else 0o001):
                covers.setdefault(directory, []).append(path)
                break
    return covers


def cover(directory: str, inside: list[str]) -> None:
    """Put an empty directory over this one, in our own view only, and bind the paths inside back to their places."""
    held = [(path, os.open(path, os.O_PATH | os.O_CLOEXEC), os.path.isdir(path)) for path in inside]
    os.umask(0o022)
    flags = MS_NOSUID | MS_NODEV | MS_NOEXEC
    call(libc.mount(b"tmpfs", os.fsencode(directory), b"tmpfs", flags, b"mode=0755,size=256k"), directory)
    for path, descriptor, is_directory in held:
        os.makedirs(path if is_directory else os.path.dirname(path), exist_ok=True)
        if not is_directory:
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o644))
        call(libc.mount(b"/proc/self/fd/%d" % descriptor, os.fsencode(path), None, MS_BIND | MS_REC, None), path)
    os.umask(0o077)


def capability_that_walks() -> int:
    """The weakest capability we hold that enters closed directories: reading only, else also writing (all that Docker grants)."""
    with open("/proc/self/status", encoding="ascii") as status:
        held = next(int(line.split()[1], 16) for line in status if line.startswith("CapPrm:"))
    for capability in (CAP_DAC_READ_SEARCH, CAP_DAC_OVERRIDE):
        if held >> capability & 1:
            return capability
    raise PermissionError(1, "neither mounting nor CAP_DAC_READ_SEARCH is allowed here")


def set_capabilities(mask: int) -> None:
    """Exactly these, in the three sets that ambient capabilities need; for capabilities below 32."""
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    sets = (ctypes.c_uint32 * 6)(mask, mask, mask, 0, 0, 0)
    call(libc.capset(header, sets), "capset")


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))
