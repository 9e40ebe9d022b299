"""Which addresses only this machine can reach, and how an address is shown to people."""

import ipaddress
import re
from urllib.parse import urlsplit, urlunsplit


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach it."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def without_password(url: str) -> str:
    """The same URL with `***` in the place of a password, or of a token that stands where a user does in NATS URLs."""
    url = re.sub(r"(password=)[^&\s]+", r"\1***", url)
    parts = urlsplit(url)
    given, mark, place = parts.netloc.rpartition("@")
    user, colon, _ = given.partition(":")
    if not mark or (not colon and parts.scheme != "nats"):
        return url
    return urlunsplit(parts._replace(netloc=f"{user}:***@{place}" if colon else f"***@{place}"))
