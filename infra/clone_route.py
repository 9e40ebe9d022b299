"""How git gets to a repository: by which address, and with whose credential.

git would resolve the host by itself, and follow where it is sent. Here the address is chosen and judged first, and git is
held to it: over HTTP by curl's own table of addresses, over ssh by its options, over git's protocol by the URL.
"""

import re
import urllib.request
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from domain import egress as rules
from domain.clone_urls import SCP_STYLE
from infra.egress import Egress, Refused
from infra.git import GitError, git

HELD_SINCE = (2, 37)
"""The git that learnt `http.curloptResolve`."""
HOST = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?|[0-9A-Fa-f:.]+")
"""A name without a dot at its end, or an address: what every reader of URLs reads alike."""
PORTS = {"https": 443, "http": 80, "git": 9418, "ssh": 22}
SSH = "ssh -oBatchMode=yes -oConnectTimeout=20"


class CloneRoute(msgspec.Struct, frozen=True):
    """url: to give to git. config: of its call; ssh: the program for ssh."""

    url: str
    config: dict[str, str]
    ssh: str = SSH


def route(egress: Egress, url: str) -> CloneRoute:
    """The way to a repository elsewhere. Blocks. Raises Refused; OSError where the host's name is unknown."""
    scheme, user, host, given_port, path = _parts(url)
    if not HOST.fullmatch(host):
        raise Refused(f"{url} names no host that can be looked up")
    port = given_port or PORTS[scheme]
    if scheme in ("https", "http"):
        return CloneRoute(url, {"http.followRedirects": "false", **_held(egress, scheme, host, port)})
    address = egress.addresses(host, port)[0]
    if scheme == "git":
        shown = f"[{address}]" if ":" in address else address
        return CloneRoute(f"git://{shown}:{port}/{path}", {})
    known_as = f"[{host}]:{port}" if given_port not in (None, PORTS["ssh"]) else host
    del user  # the URL says it
    return CloneRoute(url, {}, f"{SSH} -oHostName={address} -oHostKeyAlias={known_as}")


def _parts(url: str) -> tuple[str, str, str, int | None, str]:
    """(scheme, user, host, port, path)."""
    if "://" not in url:
        if not SCP_STYLE.fullmatch(url):
            raise Refused(f"{url} is no URL")
        place, _, path = url.partition(":")
        user, _, host = place.rpartition("@")
        return "ssh", user, host, None, path
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise Refused(f"{url} cannot be read: {error}") from error
    if parts.scheme not in PORTS:
        raise Refused(f"{url} is of no scheme that a server fetches by")
    return parts.scheme, parts.username or "", parts.hostname or "", port, parts.path.lstrip("/")


def _held(egress: Egress, scheme: str, host: str, port: int) -> dict[str, str]:
    """What keeps curl to the addresses. A proxy of the environment connects by itself, and is the operator's own filter."""
    proxied = urllib.request.getproxies().keys() & {scheme, "all"} and not urllib.request.proxy_bypass(host)
    if proxied and rules.literal(host) is None:
        return {}
    addresses = egress.addresses(host, port)
    if rules.literal(host) is not None:
        return {}
    if git_version() < HELD_SINCE:
        raise Refused(
            f"git {'.'.join(map(str, HELD_SINCE))} or newer is needed to fetch from {host}: an older one cannot be held to an address"
        )
    return {"http.curloptResolve": f"{host}:{port}:{','.join(addresses)}"}


@lru_cache(maxsize=1)
def git_version() -> tuple[int, int]:
    """Of the git on PATH; (0, 0) where it does not say."""
    try:
        said = git("version", directory=Path.cwd()).stdout.decode(errors="replace")
    except GitError:
        return 0, 0
    found = re.search(r"([0-9]+)\.([0-9]+)", said)
    return (int(found[1]), int(found[2])) if found else (0, 0)
