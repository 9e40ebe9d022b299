"""Where the control plane is, how this runner shows who it is, and whom it believes to be the control plane."""

import ssl
from collections.abc import Callable
from pathlib import Path

import msgspec


class Server(msgspec.Struct, frozen=True):
    """One gateway URL. bearer: gives the token to send now; tls: for an https URL."""

    url: str
    bearer: Callable[[], str]
    tls: ssl.SSLContext | None = None


def tls(
    url: str, ca_file: Path | str | None = None, cert_file: Path | str | None = None, key_file: Path | str | None = None
) -> ssl.SSLContext | None:
    """What an https URL needs; None for http. ca_file: instead of the system's authorities; cert_file, key_file: the client's own.

    Raises OSError (ssl.SSLError is one) where a file cannot be read.
    """
    if not url.startswith("https:"):
        return None
    context = ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
    if cert_file:
        context.load_cert_chain(str(cert_file), str(key_file) if key_file else None)
    return context
