"""Whether a delivery comes from somebody who knows the secret: over the raw bytes, in constant time, before they are read.

GitHub and Gitea sign the body with HMAC-SHA256; GitLab sends the secret itself as a token. Several secrets may count at a
time (a rotation); each is looked at, whichever fits.
"""

import hashlib
import hmac
from collections.abc import Mapping, Sequence

from domain.webhooks.incoming import Provider

HEADERS: dict[Provider, tuple[str, ...]] = {
    "github": ("x-hub-signature-256",),
    "gitea": ("x-gitea-signature", "x-hub-signature-256"),
    "gitlab": ("x-gitlab-token",),
}
"""Where the proof stands; the first that is there counts."""


def proof(provider: Provider, headers: Mapping[str, str]) -> str | None:
    """What the delivery says for itself; None where it says nothing."""
    return next((headers[name] for name in HEADERS[provider] if name in headers), None)


def fits(provider: Provider, given: str, body: bytes, secrets: Sequence[str]) -> bool:
    """Whether the proof was made with one of these secrets. Takes the same time for each."""
    found = False
    for secret in secrets:
        expected = secret if provider == "gitlab" else hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
        shown = given if provider == "gitlab" else given.removeprefix("sha256=")
        found |= hmac.compare_digest(expected.encode(), shown.encode("utf-8", "surrogateescape"))
    return found
