"""Which addresses a server connects to because a user named them: public ones, and those of networks that the operator allows.

Users name hosts: of their forges, of whoever shall be sent events. A host may stand for any address, among them those that
only this machine can reach: itself, its neighbours, its cloud's metadata. So the address is judged, in every form in which
one can be written, and by whoever connects, at that moment. It must never resolve a name.
"""

import ipaddress
from collections.abc import Sequence

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

BESIDES = tuple(
    ipaddress.ip_network(each) for each in ("168.63.129.16/32", "192.0.0.0/24", "192.88.99.0/24", "2001::/23", "2001:db8::/32", "3fff::/20")
)
"""What Python, in one version or all, takes for public and is not: a cloud's service for its machines, and reserved blocks."""

TRANSLATED = ipaddress.ip_network("64:ff9b::/96")
GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")
"""The part of the new addresses that is given out at all."""


def networks(text: str) -> tuple[Network, ...]:
    """The networks of a comma list, as in "10.0.0.0/8, fd00::/8, 192.0.2.7". Raises ValueError."""
    return tuple(ipaddress.ip_network(part.strip()) for part in text.split(",") if part.strip())


def refusal(address: str, allowed: Sequence[Network]) -> str | None:
    """Why nobody connects to this address on a user's behalf; None where that is fine. Raises ValueError for what is no address."""
    given = ipaddress.ip_address(address.partition("%")[0])
    meant = _meant(given)
    if any(meant in network for network in allowed) or _is_public(meant):
        return None
    return f"{address} is no public address, and no network of LEDGERMILL_ALLOWED_NETWORKS holds it"


def literal(host: str) -> str | None:
    """The host where it is written as an address, None where it is a name."""
    try:
        return str(ipaddress.ip_address(host.strip("[]").partition("%")[0]))
    except ValueError:
        return None


def _meant(address: Address) -> Address:
    """Where packets to it end: some of the new addresses hold an old one."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in TRANSLATED:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


def _is_public(address: Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address) and address not in GLOBAL_UNICAST:
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved and not any(address in each for each in BESIDES)
