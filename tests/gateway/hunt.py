"""Looks for the signer's key in every way that a job has: `python hunt.py DATA PID`. Prints one line for each way that leads to it.

DATA: the server's data directory; PID: of the signer. Uses the standard library only, since it runs in a job.
"""

import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

NEEDLE = b"PRIVATE" + b" KEY"  # not in one piece: this file is looked at too
BYTES_MAX = 1 << 20


def files(*roots: Path) -> Iterator[str]:
    """Readable files with a private key in them."""
    for root in roots:
        for folder, _, names in os.walk(root):
            for name in names:
                path = Path(folder, name)
                try:
                    if path.is_file() and NEEDLE in path.open("rb").read(BYTES_MAX):
                        yield f"file {path}"
                except OSError:
                    continue


def of_process(pid: str) -> Iterator[str]:
    """Memory, environment and open files of the signer."""
    for name in ("mem", "environ", "maps", "fd", "cwd", "root"):
        path = Path("/proc", pid, name)
        try:
            if name in ("fd", "cwd", "root"):
                list(path.iterdir())
            else:
                path.open("rb").read(1 if name == "maps" else 0)
            yield f"proc {name}"
        except OSError:
            continue


def processes() -> Iterator[str]:
    """Environments and open files of all processes."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if NEEDLE in (entry / "environ").read_bytes():
                yield f"environment of {entry.name}"
            for descriptor in (entry / "fd").iterdir():
                if descriptor.is_file() and NEEDLE in descriptor.open("rb").read(BYTES_MAX):
                    yield f"open file {descriptor}"
        except OSError:
            continue


def sockets(data: Path) -> Iterator[str]:
    """The signer's socket, and abstract ones that could be its."""
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(str(data / "signer" / "socket"))
            yield "socket"
        except OSError:
            pass
    for line in Path("/proc/net/unix").read_text().splitlines():
        name = line.split()[-1]
        if name.startswith("@") and ("ledgermill" in name or "signer" in name):
            yield f"abstract socket {name}"


if __name__ == "__main__":
    where, signer = Path(sys.argv[1]), sys.argv[2]
    ways = [*files(where, Path.cwd(), Path.home()), *of_process(signer), *processes(), *sockets(where)]
    sys.stdout.write("".join(f"way {way}\n" for way in ways) + f"hunted as {os.getuid()}\n")
