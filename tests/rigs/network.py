"""Where the parts of a cluster are: gateways at addresses of their own, runners in network namespaces of their own.

The addresses are of the range for tests (RFC 2544), on pairs of virtual Ethernet devices that lead from this machine
into each namespace; whatever was made here goes at the end, and nothing else is touched. A process that may not make
namespaces gets loopback addresses for everybody, and is told why.
"""

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import msgspec


class Network(msgspec.Struct, frozen=True):
    """Two gateways' addresses; for each of two runners the words before its command. why: there are no namespaces, "": there are."""

    gateways: tuple[str, str]
    runners: tuple[tuple[str, ...], tuple[str, ...]]
    why: str = ""


@contextmanager
def network() -> Iterator[Network]:
    """Made for as long as the block runs."""
    with ExitStack() as made:
        try:
            found = _apart(made)
        except (OSError, subprocess.CalledProcessError) as error:
            made.close()
            said = (error.stderr or "").strip() if isinstance(error, subprocess.CalledProcessError) else ""
            found = Network(("127.73.0.1", "127.73.0.2"), ((), ()), why=f"no network namespaces here: {said or error}")
        yield found


def _apart(made: ExitStack) -> Network:
    """One namespace a runner; from each the addresses of both gateways are reached over its own pair of devices."""
    taken = _ip("-o", "address")
    net = next(net for net in (f"198.18.{number}" for number in range(256)) if f" {net}." not in taken)
    runners = []
    for number in (1, 2):
        space = f"lm{os.getpid()}-{number}"
        here, there = f"{net}.{number}", f"{net}.{number + 100}"
        _ip("netns", "add", space)
        made.callback(_ip, "netns", "delete", space)
        _ip("link", "add", space, "type", "veth", "peer", "name", "eth0", "netns", space)
        made.callback(_ip, "link", "delete", space)
        _ip("address", "add", f"{here}/32", "dev", space)
        _ip("link", "set", space, "up")
        _ip("route", "add", f"{there}/32", "dev", space)
        _ip("-n", space, "address", "add", f"{there}/32", "dev", "eth0")
        for device in ("lo", "eth0"):
            _ip("-n", space, "link", "set", device, "up")
        _ip("-n", space, "route", "add", f"{net}.0/24", "dev", "eth0")
        runners.append(("ip", "netns", "exec", space))
    return Network((f"{net}.1", f"{net}.2"), (runners[0], runners[1]))


def _ip(*arguments: str) -> str:
    """What `ip` prints. Raises OSError where there is no such program, CalledProcessError where it may not."""
    return subprocess.run(("ip", *arguments), check=True, capture_output=True, text=True).stdout
