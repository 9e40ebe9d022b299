"""The HTTP API of a server under test, as a client without a library sees it."""

import json
import ssl
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any


class Api:
    """data: the directory with the administrator's token. tls: for an https URL; trust: the options of the verbs that say the same."""

    def __init__(self, data: Path, url: str, tls: ssl.SSLContext | None = None, trust: tuple[str, ...] = ()) -> None:
        self.data = data
        self.url = url
        self.tls = tls
        self.trust = trust

    @property
    def token(self) -> str:
        """The administrator's token of the data directory."""
        return (self.data / "token").read_text().strip()

    def call(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None, *, seconds: float = 30) -> Any:
        """One request, answered within so many seconds; raises urllib.error.HTTPError or OSError.

        While the server has too much to do (429), it is sent again.
        """
        request = urllib.request.Request(
            self.url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self.token}", "Content-Type": "application/json", **(headers or {})},
        )
        give_up_at = time.monotonic() + 60
        while True:
            try:
                with urllib.request.urlopen(request, timeout=seconds, context=self.tls) as answer:
                    return json.loads(answer.read() or b"null")
            except urllib.error.HTTPError as error:
                if error.code != 429 or time.monotonic() > give_up_at:
                    raise
            time.sleep(1)  # as Retry-After says

    def lines(self, path: str) -> list[Any]:
        """One request whose answer is a JSON object a line."""
        headers = {"Authorization": f"Bearer {self.token}", "Accept": "application/x-ndjson"}
        with urllib.request.urlopen(urllib.request.Request(self.url + path, headers=headers), timeout=30, context=self.tls) as answer:
            return [json.loads(line) for line in answer]
