"""The runner's HTTP, against a server that answers as it is told, byte by byte."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

import pytest

from runner import http
from runner.http import DisconnectedError, Gateways, MalformedError

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
CLOSE = b""


class Server:
    """Answers each request with the next of `answers`: bytes to send in pieces, CLOSE to close. requests: what it got."""

    def __init__(self) -> None:
        self.answers: list[list[bytes]] = []
        self.requests: list[bytes] = []
        self.connections = 0
        self.port = 0
        self.ended = asyncio.Condition()
        self.open = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        self.connections += 1
        self.open += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
                self.requests.append(head + await reader.readexactly(length))
                for piece in self.answers.pop(0) if self.answers else [OK]:
                    if piece == CLOSE:
                        return
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0)
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()
            async with self.ended:
                self.open -= 1
                self.ended.notify_all()


@pytest.fixture
async def server() -> AsyncIterator[tuple[Server, Gateways]]:
    """A server and connections to it."""
    served = Server()
    listening = await asyncio.start_server(served.serve, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    connections = Gateways([f"http://127.0.0.1:{port}/runner/v1"], {}, lambda: "t")
    yield served, connections
    connections.close()
    listening.close()


World = tuple[Server, Gateways]


async def test_a_connection_serves_one_request_after_the_other(server: World) -> None:
    """And two at the same time need two of them."""
    served, connections = server
    for _ in range(3):
        assert await connections.post("/acquire", b'{"a": 1}', 5) == (200, b"{}")
    assert served.connections == 1
    assert served.requests[0].startswith(b"POST /runner/v1/acquire HTTP/1.1\r\nHost: 127.0.0.1:")
    assert b"\r\nAuthorization: Bearer t\r\nContent-Length: 8\r\n\r\n" in served.requests[0]
    assert served.requests[0].endswith(b'\r\n\r\n{"a": 1}')
    await asyncio.gather(*(connections.post("/x", b"", 5) for _ in range(2)))
    assert served.connections == 2


async def test_a_large_body_arrives_whole(server: World) -> None:
    """Larger than any socket's buffer."""
    served, connections = server
    body = bytes(range(256)) * 40_000
    assert await connections.post("/x", body, 20) == (200, b"{}")
    assert served.requests[0].partition(b"\r\n\r\n")[2] == body


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\nA\r\n, \r\n world\r\n0\r\nA: b\r\n\r\n"


@pytest.mark.parametrize(
    ("answer", "found", "kept"),
    [
        (b"HTTP/1.1 409 Conflict\r\ncontent-length: 3\r\n\r\nabc", (409, b"abc"), True),
        (CHUNKED, (200, b"hello, \r\n world"), True),
        (b"HTTP/1.1 204 No Content\r\n\r\n", (204, b""), True),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, (200, b"{}"), True),
        (b"HTTP/1.1 503 Away\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx", (503, b"x"), False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", (200, b"x"), False),
    ],
)
async def test_each_kind_of_answer(server: World, answer: bytes, found: tuple[int, bytes], kept: bool) -> None:
    """In one piece and byte by byte; the connection is used again where the server will not close it."""
    served, connections = server
    for pieces in ([answer], [answer[index : index + 1] for index in range(len(answer))]):
        served.answers.append(pieces)
        assert await connections.post("/x", b"", 5) == found
        assert await connections.post("/x", b"", 5) == (200, b"{}")
    assert served.connections == (1 if kept else 3)


async def test_an_answer_up_to_the_end_of_the_connection(server: World) -> None:
    """A proxy of the old kind tells no length."""
    served, connections = server
    served.answers.append([b"HTTP/1.1 502 Bad Gateway\r\n\r\nno", b"body", CLOSE])
    assert await connections.post("/x", b"", 5) == (502, b"nobody")


async def test_a_kept_connection_that_was_closed_costs_nothing(server: World) -> None:
    """The request goes out again on a new one, once: the server has not begun to answer the first."""
    served, connections = server
    await connections.post("/x", b"1", 5)
    served.answers = [[CLOSE]]
    assert await connections.post("/x", b"2", 5) == (200, b"{}")
    assert [request[-1:] for request in served.requests] == [b"1", b"2", b"2"]
    served.answers = [[CLOSE], [CLOSE]]
    with pytest.raises(DisconnectedError):
        await connections.post("/x", b"3", 5)
    assert [request[-1:] for request in served.requests[3:]] == [b"3", b"3"]


async def test_a_request_whose_answer_began_is_not_sent_again(server: World) -> None:
    """Whoever sent it decides, because the server may have acted."""
    served, connections = server
    await connections.post("/x", b"1", 5)
    served.answers = [[OK[:20], CLOSE]]
    with pytest.raises(DisconnectedError):
        await connections.post("/x", b"2", 5)
    assert len(served.requests) == 2


async def test_an_answer_with_a_length_is_whole_or_none(server: World) -> None:
    """Also where the server says that it will close, and closes early."""
    served, connections = server
    served.answers = [[b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 9\r\n\r\nhalf", CLOSE]]
    with pytest.raises(DisconnectedError):
        await connections.post("/x", b"1", 5)


async def test_what_is_not_http_is_said_so(server: World) -> None:
    """Something else listens there."""
    served, connections = server
    served.answers = [[b"220 mail ESMTP\r\n\r\n"], [b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n"]]
    for _ in range(2):
        with pytest.raises(MalformedError):
            await connections.post("/x", b"", 5)


async def test_a_request_that_is_given_up_closes_its_connection(server: World) -> None:
    """So the server notices that nobody waits: a long poll must not take a job then. The answer of before is nobody's."""
    served, connections = server
    served.answers = [[b"HTTP/1.1 200 OK\r\n"]]
    with pytest.raises(TimeoutError):
        await connections.post("/x", b"", 0.05)
    async with asyncio.timeout(20), served.ended:
        await served.ended.wait_for(lambda: served.open == 0)
    assert await connections.post("/x", b"", 5) == (200, b"{}")


async def test_nobody_listens() -> None:
    """Refused is told apart from everything else, also by a name with several addresses."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        for host in ("127.0.0.1", "localhost"):
            with pytest.raises(ConnectionRefusedError):
                await Gateways([f"http://{host}:{port}"], {}, str).post("/x", b"", 5)
    with pytest.raises(socket.gaierror):
        await Gateways(["http://no-such-host.invalid"], {}, str).post("/x", b"", 20)


@contextlib.asynccontextmanager
async def two() -> AsyncIterator[tuple[list[Server], Gateways]]:
    """Two servers of one control plane."""
    served, listening = [Server(), Server()], []
    for each in served:
        listening.append(await asyncio.start_server(each.serve, "127.0.0.1", 0))
        each.port = listening[-1].sockets[0].getsockname()[1]
    gateways = Gateways([f"http://127.0.0.1:{each.port}" for each in served], {}, str)
    yield served, gateways
    gateways.close()
    for each in listening:
        each.close()


async def test_of_several_servers_the_one_that_answered_is_asked_again() -> None:
    """The first, until it breaks off; then the second, also for what many requests find out at once."""
    async with two() as ((first, second), gateways):
        for _ in range(3):
            await gateways.post("/x", b"", 5)
        assert (len(first.requests), len(second.requests)) == (3, 0)
        first.answers = [[OK[:20], CLOSE]] * 9
        asked = await asyncio.gather(*(gateways.post("/x", b"", 5) for _ in range(3)), return_exceptions=True)
        assert [type(each) for each in asked] == [DisconnectedError] * 3
        assert await gateways.post("/x", b"", 5) == (200, b"{}")
        assert (len(first.requests), len(second.requests)) == (6, 1)


async def test_a_server_that_is_away_is_passed_over() -> None:
    """Refused, or 503: the request goes on to the next at once. A 500 may mean that something was done, and is the answer."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{taken.getsockname()[1]}"
        async with two() as ((first, second), gateways):
            first.answers = [[b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"]]
            second.answers = [[b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"]]
            assert await gateways.post("/x", b"", 5) == (500, b"")
            assert (len(first.requests), len(second.requests)) == (1, 1)
            there = Gateways([nobody, f"http://127.0.0.1:{first.port}"], {}, str)
            first.answers = [[b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"]]
            assert await there.post("/x", b"", 5) == (503, b""), "all of them say that they are away"
            assert await there.post("/x", b"", 5) == (200, b"{}")
            there.close()
        with pytest.raises(ConnectionRefusedError):
            await Gateways([nobody, nobody], {}, str).post("/x", b"", 5)


async def test_refusal_and_silence_are_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    """One server refuses, one takes no connection: that one may be cut off from us and at work."""
    monkeypatch.setattr(http, "CONNECT_SECONDS", 0.1)
    with socket.socket() as taken, socket.socket() as full:
        taken.bind(("127.0.0.1", 0))
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        urls = [f"http://127.0.0.1:{each.getsockname()[1]}" for each in (taken, full)]
        waiting = [socket.create_connection(full.getsockname()) for _ in range(1)]
        with pytest.raises(TimeoutError):
            await Gateways(urls, {}, str).post("/x", b"", 20)
        for each in waiting:
            each.close()
