"""The runner's side of the protocol: one method per message, over HTTP connections that it opens itself.

What goes wrong is told apart by what the runner should do about it (runner.problems): `LeaseLost` (stop the job), `Refused`
(the control plane is away, and says so), `Silent` (no answer that means anything: we may be cut off while others work) and
`Rejected` (the request itself is wrong; sending it again changes nothing). It must never retry on its own except once on a
connection that the server had closed while it was idle.
"""

import errno
import io
import time
from pathlib import Path
from typing import Any, Self, TypeVar
from uuid import UUID

import aiohttp
import msgspec

from runner import wire
from runner.clock import StoreClock
from runner.courier import Courier
from runner.problems import Refused, Silent, raise_for

T = TypeVar("T")
REQUEST_SECONDS = 30.0
POLL_SLACK_SECONDS = 15.0
LARGE_BYTES = 512 * 1024
"""From here on a body is written in chunks, so that it does not hold up the event loop."""


def read_token(file: Path) -> str:
    """The bearer token in `file`, without the white space around it."""
    return file.read_text().strip()


class Client:
    """An open connection pool to one gateway. Use as an async context manager."""

    def __init__(self, url: str, token: str, clock: StoreClock) -> None:
        self.base = url.rstrip("/") + "/runner/v1"
        self.token = token
        self.clock = clock
        self.encoder = msgspec.json.Encoder()
        self.session: aiohttp.ClientSession | None = None
        self.courier = Courier(self.post)

    async def __aenter__(self) -> Self:
        self.session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=60),
            headers={"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"},
            skip_auto_headers=("User-Agent",),
            trust_env=False,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.courier.close()
        if self.session is not None:
            await self.session.close()

    async def post(self, path: str, message: wire.Wire, answer: type[T], wait_seconds: float = REQUEST_SECONDS) -> T:
        """Send one message. Raises ProtocolError's children, as the module says."""
        if self.session is None:
            raise AssertionError("the client is not open")
        body = self.encoder.encode(message)
        large = len(body) > LARGE_BYTES
        timeout = aiohttp.ClientTimeout(total=wait_seconds)
        for retry in (True, False):
            sent = time.monotonic()
            try:
                async with self.session.post(self.base + path, data=io.BytesIO(body) if large else body, timeout=timeout) as response:
                    data = await response.read()
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as error:
                if retry and not isinstance(error, aiohttp.ClientConnectorError):
                    continue  # an idle connection that the server had closed
                refused = isinstance(error, aiohttp.ClientConnectorError) and error.os_error.errno == errno.ECONNREFUSED
                raise (Refused if refused else Silent)(f"{type(error).__name__}: {error}") from error
            except TimeoutError as error:
                raise Silent(f"no answer to {path} within {wait_seconds:g} s") from error
            except aiohttp.ClientError as error:
                raise Silent(f"{type(error).__name__}: {error}") from error
            raise_for(response.status, data)
            decoded: Any = msgspec.json.decode(data or b"{}", type=answer)
            now = getattr(decoded, "now", None)
            if now is not None:
                # A long poll is answered when it ends: the server read its clock just before `received`.
                received = time.monotonic()
                self.clock.align(received if wait_seconds > REQUEST_SECONDS else sent, received, now)
            return decoded  # type: ignore[no-any-return] # msgspec has checked it
        raise AssertionError("unreachable")

    async def register(self, message: wire.Register) -> wire.Registered:
        """Make this runner known; a repeat gives the same id."""
        return await self.post("/register", message, wire.Registered)

    async def acquire(self, message: wire.Acquire) -> wire.Acquired:
        """The long poll."""
        return await self.post("/acquire", message, wire.Acquired, message.wait_seconds + max(POLL_SLACK_SECONDS, REQUEST_SECONDS))

    async def start(self, job: UUID, message: wire.Start) -> None:
        """Report that the first step is next."""
        await self.post(f"/jobs/{job}/start", message, dict[str, Any])

    async def steps(self, job: UUID, message: wire.Steps) -> wire.Accepted:
        """Report step transitions; those of several jobs travel together."""
        return await self.courier.steps(job, message)

    async def logs(self, job: UUID, message: wire.Logs) -> wire.LogsAccepted:
        """Hand over log lines."""
        return await self.post(f"/jobs/{job}/logs", message, wire.LogsAccepted)

    async def complete(self, job: UUID, message: wire.Complete) -> wire.Completed:
        """Report the outcome."""
        return await self.post(f"/jobs/{job}/complete", message, wire.Completed)
