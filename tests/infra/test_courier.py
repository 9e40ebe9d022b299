"""One event to one subscriber: what goes over the wire, which answers count, and where nothing is connected to."""

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from commands.subscribers import Subscriber
from domain import egress, ids
from domain.envelope import Meta, Recorded, Unreadable
from domain.token import TokenRevoked
from infra import courier
from infra.cloud_events import STRUCTURED
from infra.courier import Courier
from infra.egress import Egress, Refused
from tests.authority import Authority

AT = datetime(2026, 3, 1, 10, tzinfo=UTC)
STREAM = ids.token_id("default", ids.derive("token"))
EVENT = Recorded(7, STREAM, 2, "TokenRevoked", 1, Meta(AT, "default", "admin-1", command=ids.derive("command")), TokenRevoked("old"))
KEY = bytes(range(32))
SECRET = "whsec_" + base64.b64encode(KEY).decode()
LOOPBACK = egress.networks("127.0.0.0/8")

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Secrets:
    """The same for all."""

    def __init__(self, *secrets: str) -> None:
        self.secrets = secrets

    def valid(self, owner: UUID, now: datetime) -> tuple[str, ...]:
        del owner, now
        return self.secrets


def carrier(*secrets: str, allowed: Any = LOOPBACK) -> Courier:
    """One that may connect to this machine."""
    return Courier(Egress(allowed), Secrets(*(secrets or (SECRET,))), lambda: AT)


def subscriber(url: str) -> Subscriber:
    """At this URL."""
    return Subscriber(ids.derive("subscription"), "default", url, ("*",), 1, 1, AT)


@contextlib.asynccontextmanager
async def listening(serve: Serve, **how: Any) -> AsyncIterator[int]:
    """A server on a port of its own."""

    async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            await serve(reader, writer)
            await writer.drain()
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    server = await asyncio.start_server(served, "127.0.0.1", 0, **how)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()
        if others := asyncio.all_tasks() - {asyncio.current_task()}:  # connections, also such as never got beyond a handshake
            await asyncio.wait(others, timeout=60)


async def request(reader: asyncio.StreamReader) -> tuple[str, dict[str, str], bytes]:
    """The first line, the headers, the body."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in head[1:] if line)
    return head[0], headers, await reader.readexactly(int(headers["content-length"]))


def saying(*pieces: bytes) -> Serve:
    """Reads the request and says this."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        for piece in pieces:
            writer.write(piece)
            await writer.drain()

    return serve


async def test_a_subscriber_gets_a_cloud_event_that_it_can_verify() -> None:
    """Structured, with the envelope; signed by each secret that counts, over the very bytes."""
    got: list[tuple[str, dict[str, str], bytes]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        got.append(await request(reader))
        writer.write(b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n")

    other = "whsec_" + base64.b64encode(bytes(32)).decode()
    async with listening(serve) as port:
        answer = await carrier(SECRET, other).send(subscriber(f"http://127.0.0.1:{port}/in?a=b"), EVENT)
    assert (answer.status, answer.problem) == (202, "")
    ((line, headers, body),) = got
    assert (line, headers["host"], headers["content-type"]) == ("POST /in?a=b HTTP/1.1", f"127.0.0.1:{port}", STRUCTURED)
    content = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    made = [base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode() for key in (KEY, bytes(32))]
    assert headers["webhook-signature"] == f"v1,{made[0]} v1,{made[1]}"
    assert int(headers["webhook-timestamp"]) == int(AT.timestamp())
    assert json.loads(body) == {
        "specversion": "1.0",
        "id": str(EVENT.id),
        "source": "/ledgermill/shards/0",
        "type": "TokenRevoked.v1",
        "subject": str(STREAM),
        "time": "2026-03-01T10:00:00+00:00",
        "position": "7",
        "streamversion": "2",
        "tenant": "default",
        "actor": "admin-1",
        "commandid": str(EVENT.meta.command),
        "datacontenttype": "application/json",
        "data": {"reason": "old"},
    }
    assert headers["webhook-id"] == str(EVENT.id)


async def test_what_this_version_cannot_read_is_sent_as_it_is_stored() -> None:
    """Newer code wrote it."""
    got: list[Any] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        got.append(json.loads((await request(reader))[2]))
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")

    unread = Recorded(8, STREAM, 3, "TokenPainted", 4, EVENT.meta, Unreadable("unknown_type", b'{"mood":"blue"}'))
    async with listening(serve) as port:
        await carrier().send(subscriber(f"http://127.0.0.1:{port}/"), unread)
    assert (got[0]["type"], got[0]["data"]) == ("TokenPainted.v4", {"mood": "blue"})


@pytest.mark.parametrize(
    ("said", "status", "words"),
    [
        ((b"HTTP/1.1 204 No Content\r\n\r\n",), 204, ""),
        ((b"HTTP/1.0 200\r\n\r\n",), 200, ""),
        ((b"HTTP/1.1 100 Continue\r\na: b\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n"), 200, ""),
        ((b"HTTP/1.1 500 Oh\r\n\r\n",), 500, "it answered 500"),
        ((b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1/\r\n\r\n",), 302, "redirections are not followed"),
        ((b"SSH-2.0-OpenSSH_9\r\n",), None, "no HTTP"),
        ((b"HTTP/1.1 2000 OK\r\n\r\n",), None, "no HTTP"),
        ((b"",), None, "IncompleteReadError"),
        ((b"HTTP/1.1 " + b"9" * 20_000,), None, "LimitOverrunError"),
        ((b"HTTP/1.1 100 Continue\r\n" + b"a: b\r\n" * 200,), None, "no end"),
    ],
)
async def test_only_success_counts(said: tuple[bytes, ...], status: int | None, words: str) -> None:
    """Interim answers are passed over; a redirection is none; what is no HTTP, or has no end, is told so."""
    async with listening(saying(*said)) as port:
        answer = await carrier().send(subscriber(f"http://127.0.0.1:{port}/"), EVENT)
    assert answer.status == status
    assert words in answer.problem


async def test_who_says_nothing_is_left_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    """And so is one who says it drop by drop."""
    monkeypatch.setattr(courier, "SECONDS_MAX", 0.2)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(b"H")
            await writer.drain()
            await asyncio.sleep(0.01)  # the drops

    async with listening(serve) as port:
        answer = await carrier().send(subscriber(f"http://127.0.0.1:{port}/"), EVENT)
    assert (answer.status, answer.problem) == (None, "no answer within 0.2 s")


async def test_over_tls_the_certificate_is_that_of_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Although an address is connected to."""
    authority = Authority(tmp_path / "ca", "authority")
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    for name, status in (("localhost", 200), ("elsewhere.example", None)):
        certificate, key = authority.certificate(name)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        async with listening(saying(b"HTTP/1.1 200 OK\r\n\r\n"), ssl=context) as port:
            answer = await carrier().send(subscriber(f"https://localhost:{port}/"), EVENT)
        assert answer.status == status, answer.problem


async def test_without_its_secret_nothing_is_sent() -> None:
    """Rather than unsigned."""
    answer = await Courier(Egress(LOOPBACK), Secrets(), lambda: AT).send(subscriber("http://127.0.0.1:9/"), EVENT)
    assert "secret" in answer.problem


TARGETS = (
    "http://127.0.0.1:{port}/",
    "http://localhost:{port}/",
    "http://127.1:{port}/",
    "http://2130706433:{port}/",
    "http://0x7f000001:{port}/",
    "http://0177.0.0.1:{port}/",
    "http://0:{port}/",
    "http://[::ffff:127.0.0.1]:{port}/",
    "http://[::1]:{port}/",
    "http://[::]:{port}/",
)


@pytest.mark.parametrize("url", TARGETS)
async def test_nothing_is_connected_to_that_is_not_public(url: str) -> None:
    """However it is written: the listener hears of nobody."""
    heard = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(writer.get_extra_info("peername"))

    async with listening(serve) as port:
        answer = await carrier(allowed=()).send(subscriber(url.format(port=port)), EVENT)
    assert answer.status is None
    assert "no public address" in answer.problem
    assert heard == []


async def test_a_name_that_changes_its_mind_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A public address first, this machine from then on: the first one is what is connected to."""
    asked: list[str] = []
    connected: list[str] = []
    real = socket.getaddrinfo

    def rebinding(host: str, port: int, *more: Any, **facts: Any) -> Any:
        if host != "rebinds.example":
            return real(host, port, *more, **facts)
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("8.8.8.8" if len(asked) == 1 else "127.0.0.1", port))]

    async def refuse(host: str, port: int, **_: Any) -> Any:
        connected.append(host)
        raise ConnectionRefusedError("not in a test")

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    monkeypatch.setattr(asyncio, "open_connection", refuse)
    answer = await carrier(allowed=()).send(subscriber("http://rebinds.example/"), EVENT)
    assert (answer.status, connected, asked) == (None, ["8.8.8.8"], ["rebinds.example"])
    answer = await carrier(allowed=()).send(subscriber("http://rebinds.example/"), EVENT)
    assert "no public address" in answer.problem
    assert connected == ["8.8.8.8"]


def test_of_several_addresses_only_those_are_given_that_may_be_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name may lead to both."""
    found = [(socket.AF_INET, 1, 6, "", (address, 80)) for address in ("10.0.0.1", "8.8.8.8", "127.0.0.1", "8.8.8.8")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    assert Egress().addresses("both.example", 80) == ("8.8.8.8",)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found[:1])
    with pytest.raises(Refused, match=r"both\.example"):
        Egress().addresses("both.example", 80)
