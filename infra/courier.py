"""Sends events to subscribers: one HTTP request an event, signed, to an address that may be connected to.

It speaks the little HTTP that it needs itself, since it has to choose the address that it connects to and must follow no
redirection. Of an answer it reads the status and nothing else: what a host says to this server is nobody's to read.
"""

import asyncio
import contextlib
import re
import ssl
from collections.abc import Callable
from datetime import datetime
from typing import Protocol
from urllib.parse import urlsplit
from uuid import UUID

from commands.subscribers import Answer, Subscriber
from domain import outgoing
from domain.envelope import Recorded
from infra import cloud_events
from infra.egress import Egress, Refused

SECONDS_MAX = 15.0
LINE_BYTES_MAX = 8 * 1024
HEADERS_MAX = 100
STATUS = re.compile(rb"HTTP/1\.[01] ([1-5][0-9]{2})(?: |\r?\n)")


class Secrets(Protocol):
    """The secrets of subscriptions; see infra.secret_files."""

    def valid(self, owner: UUID, now: datetime) -> tuple[str, ...]:
        """Those that count now."""


class NoAnswer(Exception):  # noqa: N818 - an outcome with a name of its own
    """The subscriber gave no answer that can be read. The message says why."""


class Courier:
    """Sends for one shard."""

    def __init__(self, egress: Egress, secrets: Secrets, now: Callable[[], datetime], shard: int = 0) -> None:
        self._egress = egress
        self._secrets = secrets
        self._now = now
        self._shard = shard
        self._tls: ssl.SSLContext | None = None

    async def send(self, subscriber: Subscriber, event: Recorded) -> Answer:
        """Send one event; what the subscriber said, or why it could not be asked."""
        now = self._now()
        keys = [key for secret in self._secrets.valid(subscriber.id, now) if (key := outgoing.key(secret))]
        if not keys:
            return Answer(None, "the secret of this subscription is not in the data directory of this server: set it again")
        body = cloud_events.structured(self._shard, event)
        headers = outgoing.signed(keys, event.id, now, body) | {"content-type": cloud_events.STRUCTURED}
        try:
            async with asyncio.timeout(SECONDS_MAX):
                status = await self._post(subscriber.url, headers, body)
        except TimeoutError:
            return Answer(None, f"no answer within {SECONDS_MAX:g} s")
        except (Refused, NoAnswer) as error:
            return Answer(None, str(error))
        except (OSError, UnicodeError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
            return Answer(None, f"{type(error).__name__}: {error}"[:500])
        if 300 <= status < 400:
            return Answer(status, f"it answered {status}; redirections are not followed")
        return Answer(status, "" if status < 300 else f"it answered {status}")

    async def _post(self, url: str, headers: dict[str, str], body: bytes) -> int:
        parts = urlsplit(url)
        host, secure = parts.hostname or "", parts.scheme == "https"
        port = parts.port or (443 if secure else 80)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        lines = [f"POST {target} HTTP/1.1", f"host: {parts.netloc}", "user-agent: ledgermill", f"content-length: {len(body)}"]
        lines += [*(f"{name}: {value}" for name, value in headers.items()), "connection: close", "", ""]
        reader, writer = await self._connect(host, port, secure=secure)
        try:
            writer.write("\r\n".join(lines).encode() + body)
            await writer.drain()
            return await _status(reader)
        finally:
            writer.close()
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(1):
                    await writer.wait_closed()

    async def _connect(self, host: str, port: int, *, secure: bool) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect to one of the addresses that the host may be connected to at; the certificate is that of its name."""
        if secure and self._tls is None:
            self._tls = ssl.create_default_context()
        tls, name = (self._tls, host) if secure else (None, None)
        failure: OSError | None = None
        for address in await asyncio.to_thread(self._egress.addresses, host, port):
            try:
                return await asyncio.open_connection(address, port, limit=LINE_BYTES_MAX, ssl=tls, server_hostname=name)
            except OSError as error:
                failure = error
        raise failure or OSError("there is no address")


async def _status(reader: asyncio.StreamReader) -> int:
    """The status of the answer, after interim ones."""
    while True:
        found = STATUS.match(await reader.readuntil(b"\n"))
        if found is None:
            raise NoAnswer("what it answered is no HTTP")
        status = int(found[1])
        if status >= 200:
            return status
        for _ in range(HEADERS_MAX):
            if not (await reader.readuntil(b"\n")).strip():
                break
        else:
            raise NoAnswer("its answer has no end")
