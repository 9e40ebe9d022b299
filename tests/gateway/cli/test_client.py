"""The HTTP client: problems become errors with exit codes, lists and streams arrive whole."""

import itertools
import json
from types import SimpleNamespace

import pytest

from gateway.cli.client import Client, parse_events
from gateway.cli.errors import CliError


@pytest.mark.parametrize(("status", "exit_code"), [(401, 4), (403, 4), (404, 5), (409, 1), (422, 1), (500, 1)])
def test_a_problem_keeps_its_code_and_hint_and_gets_an_exit_code(server, status, exit_code):
    """The HTTP body and the terminal text say the same."""
    server.answers["GET /runs"] = (status, {"code": "some_code", "detail": "what is wrong", "hint": "what to do"})
    with pytest.raises(CliError) as error:
        Client(server.url, "token").get("/runs")
    assert (error.value.code, error.value.message, error.value.help) == ("some_code", "what is wrong", "what to do")
    assert error.value.exit_code == exit_code


def test_an_answer_that_is_no_problem_document_is_still_told(server):
    """A proxy's page in between does not hide the status."""
    server.answers["GET /runs"] = (502, b"<html>bad gateway</html>")
    with pytest.raises(CliError, match="bad gateway") as error:
        Client(server.url, "token").get("/runs")
    assert error.value.code == "HTTP502"


def test_no_server_is_an_error_with_its_address():
    """A closed port is told apart from a refusal."""
    with pytest.raises(CliError, match=r"127\.0\.0\.1:9") as error:
        Client("http://127.0.0.1:9", "token").get("/runs")
    assert error.value.code == "API001"


def test_lists_are_read_page_by_page(server):
    """The cursor of a page leads to the next, and none ends the list."""
    pages = iter([{"items": [{"n": 1}, {"n": 2}], "next_cursor": "c2"}, {"items": [{"n": 3}], "next_cursor": None}])

    class Paged(dict):
        def get(self, *_):
            return next(pages)

    server.answers = Paged()
    assert [item["n"] for item in Client(server.url, "token").items("/runs", status="queued")] == [1, 2, 3]
    assert [query.get("cursor") for _, _, query, _ in server.asked] == [None, ["c2"]]
    assert all(query["status"] == ["queued"] for _, _, query, _ in server.asked)
    assert server.tokens == {"Bearer token"}


def test_a_stream_resumes_after_the_last_id_it_saw(server, monkeypatch):
    """A broken connection is opened again with Last-Event-ID; the end mark ends it."""
    monkeypatch.setattr("time.sleep", lambda _: None)
    parts = [b'id: 1\ndata: {"n": 1}\n\nid: 2\ndata: {"n": 2}\n\n', b'id: 3\ndata: {"n": 3}\n\nevent: end\ndata: {}\n\n']
    resumed = []
    original = Client._listen

    def listen(self, path, last):
        resumed.append(last)
        server.answers["GET /runs/r/stream"] = parts[len(resumed) - 1]
        return original(self, path, last)

    monkeypatch.setattr(Client, "_listen", listen)
    assert [sent.data["n"] for sent in Client(server.url, "token").stream("/runs/r/stream")] == [1, 2, 3]
    assert resumed == [None, "2"]


def test_a_stream_that_was_silent_for_long_may_break_again(server, monkeypatch):
    """What counts is how long it could not be opened, not how long it gave nothing: here 20 s pass before each break."""
    clock = SimpleNamespace(monotonic=itertools.count(0, 20).__next__, sleep=lambda _: None)
    monkeypatch.setattr("gateway.cli.client.time", clock)
    parts = iter([b": ping\n\n"] * 4 + [b'id: 1\ndata: {"n": 1}\n\nevent: end\ndata: {}\n\n'])
    original = Client._listen

    def listen(self, path, last):
        server.answers["GET /runs/r/stream"] = next(parts)
        return original(self, path, last)

    monkeypatch.setattr(Client, "_listen", listen)
    assert [sent.data["n"] for sent in Client(server.url, "token").stream("/runs/r/stream")] == [1]


def test_event_streams_are_read_as_the_standard_says():
    """Comments and unknown fields are ignored, data lines joined, line ends of every kind taken."""
    lines = b': ping\n\nid: 7\r\nevent: note\r\ndata: {"a":\r\ndata: 1}\r\nretry: 5\r\n\r\ndata: [2]\n\ndata: {"cut": true}\n'
    found = list(parse_events(iter(lines.splitlines(keepends=True))))
    assert [(sent.id, sent.event, sent.data) for sent in found] == [("7", "note", {"a": 1}), ("7", "message", [2])]


def test_ndjson_is_read_line_by_line(server):
    """Empty lines are nothing."""
    server.answers["GET /runs/r/events"] = b"\n".join([json.dumps({"n": 1}).encode(), b"", json.dumps({"n": 2}).encode(), b""])
    assert [line["n"] for line in Client(server.url, "token").lines("/runs/r/events")] == [1, 2]
