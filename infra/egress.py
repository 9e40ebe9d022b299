"""The one door for connections to hosts that users name: resolves, refuses what is not public, and gives addresses to connect to.

Whoever is given an address connects to it and to nothing else: a name that is asked for a second time may answer with
another one.
"""

import socket
from collections.abc import Sequence

from domain import egress
from domain.egress import Network


class Refused(Exception):  # noqa: N818 - an outcome with a name of its own
    """The host leads only to addresses that nobody connects to on a user's behalf. The message says which."""


class Egress:
    """allowed: networks that may be connected to although they are not public."""

    def __init__(self, allowed: Sequence[Network] = ()) -> None:
        self._allowed = tuple(allowed)

    def addresses(self, host: str, port: int) -> tuple[str, ...]:
        """The addresses of a host that may be connected to, at least one. Blocks. Raises Refused; OSError where the name is unknown."""
        found = dict.fromkeys(str(each[4][0]) for each in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        refusals = {address: egress.refusal(address, self._allowed) for address in found}
        permitted = tuple(address for address, why in refusals.items() if why is None)
        if not permitted:
            raise Refused(f"{host} cannot be connected to: {next(why for why in refusals.values() if why)}")
        return permitted
