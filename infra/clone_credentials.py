"""The credentials by which private repositories are fetched: a file of the operator says whose they are and where they lie.

    [[credential]]
    tenant = "default"
    url = "https://github.com/acme/"
    token_file = "/etc/ledgermill/github-token"     # or token_env = "GITHUB_TOKEN"

An entry opens the repositories of one tenant below one URL, and no other: whoever may register a repository must not be able
to name somebody else's. The file and the token are read for each fetch, so a token may be replaced while the server runs.
git is told by its environment, as a header for that URL: no token stands in an event, a file of git, or an argument of a process.
"""

import base64
import os
import tomllib
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote, urlsplit

import msgspec

from domain.access import FIRST_TENANT


class CredentialError(Exception):
    """The operator's file, or the token that it names, cannot be read. The message holds no token."""


class Credential(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One entry. url: what repositories' URLs begin with, as a whole or up to a slash. One of token_file and token_env."""

    url: str
    tenant: str = FIRST_TENANT
    username: str = "x-access-token"
    token_file: Path | None = None
    token_env: str | None = None


class File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file."""

    credential: tuple[Credential, ...] = ()


class CloneCredentials:
    """Those of one server. file: None where there are none."""

    def __init__(self, file: Path | None) -> None:
        self._file = file

    def config(self, url: str, is_of: Callable[[str], bool]) -> dict[str, str]:
        """Git's configuration for this URL; empty where no entry opens it. is_of: whether the repository is a tenant's.

        Of several entries the longest URL counts. Raises CredentialError.
        """
        fitting = [each for each in self._entries() if opens(each.url, url) and is_of(each.tenant)]
        if not fitting:
            return {}
        chosen = max(fitting, key=lambda each: len(each.url))
        basic = base64.b64encode(f"{chosen.username}:{_token(chosen)}".encode()).decode()
        return {f"http.{url}.extraHeader": f"Authorization: Basic {basic}"}

    def _entries(self) -> tuple[Credential, ...]:
        if self._file is None:
            return ()
        try:
            found = msgspec.convert(tomllib.loads(self._file.read_text()), File, dec_hook=lambda kind, value: kind(value))
        except (OSError, ValueError) as error:  # ValueError: what is no TOML, no text, or not these fields
            raise CredentialError(f"{self._file}, which LEDGERMILL_CLONE_CREDENTIALS names, cannot be read: {error}") from error
        return found.credential


def opens(prefix: str, url: str) -> bool:
    """Whether a URL lies below another one: same scheme, host and port, and whole parts of the path."""
    try:
        outer, inner = urlsplit(prefix), urlsplit(url)
        same = (outer.scheme, outer.hostname, outer.port) == (inner.scheme, inner.hostname, inner.port)
    except ValueError:
        return False
    parts = unquote(inner.path).split("/")
    if not same or inner.scheme not in ("https", "http") or {".", ".."} & set(parts) or "\\" in unquote(inner.path):
        return False
    return inner.path == outer.path or inner.path.startswith(outer.path.rstrip("/") + "/")


def _token(entry: Credential) -> str:
    """The token of an entry; the end of a line is none of it."""
    if (entry.token_file is None) == (entry.token_env is None):
        raise CredentialError(f"the credential for {entry.url} needs one of token_file and token_env")
    if entry.token_env is not None:
        found = os.environ.get(entry.token_env, "")
        where = f"the environment variable {entry.token_env}"
    else:
        where = str(entry.token_file)
        try:
            found = Path(where).read_text()
        except (OSError, ValueError) as error:
            raise CredentialError(f"the token for {entry.url} cannot be read: {type(error).__name__}: {where}") from error
    token = found.strip()
    if not token or not token.isprintable():
        raise CredentialError(f"the token for {entry.url} in {where} is empty, or more than one line")
    return token
