"""Sets statuses of commits on GitHub, Gitea (and Forgejo) and GitLab, by the API that each documents.

The token of a forge is a file, `TENANT/HOST` below one directory, read at each use, so that a new one counts at once: a
tenant's repositories are told with its own tokens only, and to no host for which it has none. Redirects are not followed,
since the token would travel along. It must never show a token in an error.
"""

import asyncio
import json
import re
import urllib.error
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import msgspec

from commands.statuses import NotTold, Report
from domain.repository import RepositoryRegistered

THREADS_MAX = 4
ANSWER_SECONDS_MAX = 20.0
ANSWER_BYTES_MAX = 16 * 1024
SAID_CHARACTERS_MAX = 200
PAUSE_SECONDS_MAX = 3600.0
MAY_CHANGE = frozenset({401, 403, 408, 425, 429})
"""What a forge refuses now and may take later: with another token, or when asked less often."""
HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]*(?::[0-9]{1,5})?")
TENANT = re.compile(r"[a-z0-9][a-z0-9-]*")
GITLAB_STATES = {"failure": "failed", "error": "canceled"}
GITLAB_SAME = "Cannot transition status"
"""GitLab's answer to a status that it has already."""


class Call(msgspec.Struct, frozen=True):
    """One request to a forge. authorization: the header for the token, and what stands before it."""

    url: str
    authorization: tuple[str, str]
    body: dict[str, str]


class ForgeStatuses:
    """See commands.statuses.Forges. tokens: the directory, None: there are none."""

    def __init__(self, tokens: Path | None) -> None:
        self._tokens = tokens
        self._threads = ThreadPoolExecutor(THREADS_MAX, "forge")
        self._opener = urllib.request.build_opener(NoRedirect)

    def knows(self, tenant: str, facts: RepositoryRegistered) -> bool:
        """See the port."""
        return self._token(tenant, facts) is not None

    async def tell(self, tenant: str, facts: RepositoryRegistered, report: Report) -> None:
        """See the port."""
        token = self._token(tenant, facts)
        if token is None:
            raise NotTold(f"there is no token for {place_of(facts)[0]}")
        call = CALLS[facts.provider](facts, report)
        await asyncio.get_running_loop().run_in_executor(self._threads, self._send, call, token)

    def _token(self, tenant: str, facts: RepositoryRegistered) -> str | None:
        host = place_of(facts)[0]
        if self._tokens is None or not HOST.fullmatch(host) or not TENANT.fullmatch(tenant):
            return None
        try:
            return (self._tokens / tenant / host).read_text().strip() or None
        except OSError:
            return None

    def _send(self, call: Call, token: str) -> None:
        name, before = call.authorization
        headers = {"Content-Type": "application/json", "Accept": "application/json", "User-Agent": "ledgermill", name: before + token}
        request = urllib.request.Request(call.url, json.dumps(call.body).encode(), headers, method="POST")  # noqa: S310 - http or https, see place_of
        host = urlsplit(call.url).netloc
        try:
            with self._opener.open(request, timeout=ANSWER_SECONDS_MAX):
                return
        except urllib.error.HTTPError as error:
            with error:
                said = spoken(error, token)
            if GITLAB_SAME in said:
                return
            final = error.code < 500 and error.code not in MAY_CHANGE
            raise NotTold(
                f"{host} answered {error.code}: {said}", final=final, pause_seconds=pause_of(error.headers.get("Retry-After") or "")
            ) from error
        except (OSError, HTTPException, ValueError) as error:
            reason = getattr(error, "reason", error)
            raise NotTold(f"{host} cannot be reached: {str(reason).replace(token, '***')[:SAID_CHARACTERS_MAX]}") from error


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """Leaves a redirect as the answer."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        """No other request."""


def place_of(facts: RepositoryRegistered) -> tuple[str, str]:
    """The host (with the port that its URL names) of a repository's forge, and the URL that its API is below."""
    url = facts.clone_url
    if "://" not in url:
        host = url.partition(":")[0].rpartition("@")[2]
        return host, f"https://{host}"
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https"):
        return parts.hostname or "", f"https://{parts.hostname or ''}"
    path = parts.path.rstrip("/").removesuffix(".git")
    below = path.removesuffix(f"/{facts.full_name}") if path.endswith(f"/{facts.full_name}") else ""
    return parts.netloc, f"{parts.scheme}://{parts.netloc}{below}"


def github(facts: RepositoryRegistered, report: Report) -> Call:
    """`POST /repos/{owner}/{repo}/statuses/{sha}`; on a server of one's own below `/api/v3`."""
    host, base = place_of(facts)
    api = f"https://api.{host}" if host == "github.com" or host.endswith(".ghe.com") else f"{base}/api/v3"
    return Call(f"{api}/repos/{quote(facts.full_name)}/statuses/{report.sha}", ("Authorization", "Bearer "), body_of(report))


def gitea(facts: RepositoryRegistered, report: Report) -> Call:
    """`POST /repos/{owner}/{repo}/statuses/{sha}` below `/api/v1`."""
    base = place_of(facts)[1]
    return Call(f"{base}/api/v1/repos/{quote(facts.full_name)}/statuses/{report.sha}", ("Authorization", "token "), body_of(report))


def gitlab(facts: RepositoryRegistered, report: Report) -> Call:
    """`POST /projects/{id}/statuses/{sha}` below `/api/v4`; the id is the whole path, encoded."""
    base = place_of(facts)[1]
    body = body_of(report) | {"state": GITLAB_STATES.get(report.state, report.state)}
    return Call(f"{base}/api/v4/projects/{quote(facts.full_name, safe='')}/statuses/{report.sha}", ("PRIVATE-TOKEN", ""), body)


CALLS: dict[str, Callable[[RepositoryRegistered, Report], Call]] = {"github": github, "gitea": gitea, "gitlab": gitlab}


def body_of(report: Report) -> dict[str, str]:
    """What all three take."""
    return {"state": report.state, "target_url": report.url, "description": report.description, "context": report.context}


def spoken(error: urllib.error.HTTPError, token: str) -> str:
    """What a forge says against it, in short."""
    try:
        content = error.read(ANSWER_BYTES_MAX)
        said = json.loads(content).get("message", "")
    except (OSError, HTTPException, ValueError, AttributeError):
        said = ""
    text = said if isinstance(said, str) and said else str(error.reason)
    return "".join(character if character.isprintable() else " " for character in text.replace(token, "***"))[:SAID_CHARACTERS_MAX]


def pause_of(after: str) -> float:
    """How long the forge asks to wait, in seconds; 0 where it does not say so as a number."""
    return min(float(after), PAUSE_SECONDS_MAX) if after.isascii() and after.isdigit() else 0.0
