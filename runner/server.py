"""Where the control plane is, how this runner shows who it is, and whom it believes to be the control plane."""

import ssl
from collections.abc import Callable
from pathlib import Path

import msgspec


class Certificates(msgspec.Struct, frozen=True):
    """The files behind `tls`, for programs that read them themselves: git."""

    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None


class Server(msgspec.Struct, frozen=True):
    """The control plane. url: of its gateway, or of several with commas between them, any of which serves; as people write it.

    bearer: gives the token to send now; tls: for https URLs, made of `certificates`.
    """

    url: str
    bearer: Callable[[], str]
    tls: ssl.SSLContext | None = None
    certificates: Certificates = Certificates()

    @property
    def urls(self) -> tuple[str, ...]:
        """One for each gateway, without a slash at the end."""
        return each(self.url)


def each(url: str) -> tuple[str, ...]:
    """The URLs in a text with commas between them."""
    return tuple(one.strip().rstrip("/") for one in url.split(",") if one.strip())


def tls(
    url: str, ca_file: Path | str | None = None, cert_file: Path | str | None = None, key_file: Path | str | None = None
) -> ssl.SSLContext | None:
    """What https URLs need; None where there is none. ca_file: instead of the system's authorities; cert_file, key_file: the client's own.

    Raises OSError (ssl.SSLError is one) where a file cannot be read.
    """
    if not any(one.startswith("https:") for one in each(url)):
        return None
    context = ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
    if cert_file:
        context.load_cert_chain(str(cert_file), str(key_file) if key_file else None)
    return context
