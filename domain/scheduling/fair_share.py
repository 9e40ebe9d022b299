"""Fair shares: whose turn it is, among tenants, and among the fair-share keys (repositories) of each.

First comes who has the fewest jobs running, then who was served longest ago. Counting what runs, and not only turns, is
what keeps long jobs of one from filling all runners while another has short ones. Both facts come from events, so that
every gateway that has heard the same log answers the same.
"""

from typing import TypeVar

import msgspec

SHARES_MAX = 10_000
"""How many shares are remembered that have nothing running; those served longest ago are forgotten first."""

Name = TypeVar("Name", str, tuple[str, str])


class Share(msgspec.Struct):
    """running: jobs that a runner holds. last: when it was served last, as a position of the log; 0: never."""

    running: int = 0
    last: int = 0


class Shares:
    """What each tenant and each (tenant, fair-share key) has and had."""

    def __init__(self, shares_max: int = SHARES_MAX) -> None:
        self._max = shares_max
        self._tenants: dict[str, Share] = {}
        self._keys: dict[tuple[str, str], Share] = {}
        self.forgotten = 0
        """How often shares were forgotten."""

    def tenant(self, tenant: str) -> tuple[int, int]:
        """(running, last) of a tenant."""
        return _turn(self._tenants.get(tenant))

    def key(self, tenant: str, fair_key: str) -> tuple[int, int]:
        """(running, last) of a fair-share key."""
        return _turn(self._keys.get((tenant, fair_key)))

    def begin(self, tenant: str, fair_key: str) -> None:
        """One more job runs."""
        for share in self._both(tenant, fair_key):
            share.running += 1

    def served(self, tenant: str, fair_key: str, position: int) -> None:
        """A turn was taken at this position."""
        for share in self._both(tenant, fair_key):
            share.last = max(share.last, position)

    def end(self, tenant: str, fair_key: str) -> None:
        """One job less runs."""
        self._tenants[tenant].running -= 1
        self._keys[tenant, fair_key].running -= 1

    def _both(self, tenant: str, fair_key: str) -> tuple[Share, Share]:
        return self._bounded(self._tenants, tenant), self._bounded(self._keys, (tenant, fair_key))

    def _bounded(self, shares: dict[Name, Share], name: Name) -> Share:
        """The share of this name; a new one may cost the memory of the idle ones that were served longest ago."""
        found = shares.get(name)
        if found is not None:
            return found
        if len(shares) >= self._max:
            idle = sorted((each for each in shares if not shares[each].running), key=lambda each: shares[each].last)
            for each in idle[: (len(idle) + 1) // 2]:
                del shares[each]
            self.forgotten += 1
        made = shares[name] = Share()
        return made


def _turn(share: Share | None) -> tuple[int, int]:
    return (share.running, share.last) if share is not None else (0, 0)
