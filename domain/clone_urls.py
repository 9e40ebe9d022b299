"""Which URLs a server fetches from: those of forges and git servers, never a helper program, never with a secret inside.

The URL stands in events, which everybody reads who may read the log; so it holds no password.
"""

import re
from urllib.parse import urlsplit

SCHEMES = ("https", "http", "ssh", "git")
SCP_STYLE = re.compile(r"(?:[A-Za-z0-9_.-]+@)?[A-Za-z0-9][A-Za-z0-9_.-]*:[^:/\s][^\s]*")
LENGTH_MAX = 2000


def fault(url: str, provider: str) -> str | None:
    """What is wrong with a repository's clone URL, as a sentence; None where nothing is. provider: "local" allows an absolute path."""
    if not url or len(url) > LENGTH_MAX or not url.isprintable() or " " in url:
        return f"it is empty, longer than {LENGTH_MAX} characters, or holds blanks"
    if provider == "local" and url.startswith("/"):
        return None
    if "://" not in url:
        return None if SCP_STYLE.fullmatch(url) else "it is neither SCHEME://HOST/PATH nor USER@HOST:PATH"
    try:
        parts = urlsplit(url)
        host, password = parts.hostname, parts.password
        _ = parts.port
    except ValueError as error:
        return f"it cannot be read: {error}"
    if parts.scheme not in SCHEMES:
        return f"its scheme is {parts.scheme}, and a server fetches by {', '.join(SCHEMES)}"
    if not host or host.startswith("-"):
        return "it names no host"
    if password is not None or (parts.username and parts.scheme in ("https", "http")):
        return "it holds a user or a password, which everybody could read in the log"
    return None
