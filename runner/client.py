"""The runner's side of the protocol: one method per message, over HTTP connections that it opens itself.

What goes wrong is told apart by what the runner should do about it (runner.problems): `LeaseLost` (stop the job), `Refused`
(the control plane is away, and says so), `Silent` (no answer that means anything: we may be cut off while others work) and
`Rejected` (the request itself is wrong; sending it again changes nothing). It must never retry on its own.
"""

import asyncio
import ssl
import time
from pathlib import Path
from typing import Any, Self, TypeVar
from uuid import UUID

import msgspec

from runner import wire
from runner.clock import StoreClock
from runner.courier import Courier
from runner.http import Gateways, UnansweredError
from runner.problems import UNANSWERED, Distrusted, Refused, Silent, Unanswered, explained, raise_for
from runner.server import Server

T = TypeVar("T")
REQUEST_SECONDS = 30.0
POLL_SLACK_SECONDS = 15.0


def read_token(file: Path) -> str:
    """The bearer token in `file`, without the white space around it."""
    return file.read_text().strip()


class Client:
    """An open connection pool to the control plane's gateways. Use as an async context manager."""

    def __init__(self, server: Server, clock: StoreClock) -> None:
        headers = {"Content-Type": "application/json"}
        self.connections = Gateways([f"{url}/runner/v1" for url in server.urls], headers, server.bearer, server.tls)
        self.clock = clock
        self.encoder = msgspec.json.Encoder()
        self.courier = Courier(self.post)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.courier.close()
        self.connections.close()
        await asyncio.sleep(0)  # the loop may end with this: it closes sockets in its next round

    async def post(self, path: str, message: wire.Wire, answer: type[T], wait_seconds: float = REQUEST_SECONDS) -> T:
        """Send one message. Raises ProtocolError's children, as the module says."""
        sent = time.monotonic()
        try:
            status, data = await self.connections.post(path, self.encoder.encode(message), wait_seconds)
        except TimeoutError as error:
            raise Silent(f"no answer to {path} within {wait_seconds:g} s") from error
        except ssl.SSLError as error:
            raise Distrusted(explained(error)) from error
        except UnansweredError as error:
            raise Unanswered(UNANSWERED) from error
        except OSError as error:
            raise (Refused if isinstance(error, ConnectionRefusedError) else Silent)(f"{type(error).__name__}: {error}") from error
        raise_for(status, data)
        decoded = msgspec.json.decode(data or b"{}", type=answer)
        now = getattr(decoded, "now", None)
        if now is not None:
            # A long poll is answered when it ends: the server read its clock just before `received`.
            received = time.monotonic()
            self.clock.align(received if wait_seconds > REQUEST_SECONDS else sent, received, now)
        return decoded

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
