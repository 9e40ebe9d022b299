"""What the codec does with rows that it cannot read, and with rows of older shapes."""

import json
from typing import Any

import msgspec
import pytest

from domain import events
from domain.envelope import Meta, Unreadable
from domain.job.events import HeartbeatRecorded
from infra import codec
from tests.samples import AT, heartbeat, meta, stream


def recorded(topic: str, state: bytes) -> Any:
    return codec.recorded(7, stream("a"), 3, topic, state)


def test_a_row_is_readable_json() -> None:
    """The envelope beside the data; what is not set is left out."""
    topic, state = codec.to_row(heartbeat(4))
    assert topic == "HeartbeatRecorded.v1"
    assert json.loads(state) == {
        "at": "2026-03-01T10:00:00Z",
        "tenant": "default",
        "actor": "actor-1",
        "command": str(meta().command),
        "data": {"attempt": 1, "epoch": 4, "expires_at": "2026-03-01T10:00:04Z"},
    }


@pytest.mark.parametrize(
    ("topic", "reason", "name", "schema"),
    [
        ("NeverHeardOf.v1", "unknown_type", "NeverHeardOf", 1),
        ("HeartbeatRecorded.v2", "newer_schema", "HeartbeatRecorded", 2),
        ("HeartbeatRecorded.vX", "unknown_type", "HeartbeatRecorded", 0),
        ("nonsense", "unknown_type", "nonsense", 0),
    ],
)
def test_what_newer_code_wrote_is_kept_and_named(topic: str, reason: str, name: str, schema: int) -> None:
    """An unknown type or schema keeps its envelope and its bytes, and the reader goes on."""
    event = recorded(topic, codec.to_row(heartbeat())[1])
    assert (event.type, event.schema, event.position, event.version) == (name, schema, 7, 3)
    assert event.meta == meta()
    assert event.data == Unreadable(reason, msgspec.json.encode(heartbeat().data))


def test_a_row_that_does_not_fit_its_type_is_malformed() -> None:
    """Its envelope is still read, and the message says what is wrong."""
    state = codec.to_row(heartbeat())[1].replace(b'"epoch":1', b'"epoch":"one"')
    event = recorded("HeartbeatRecorded.v1", state)
    assert event.meta == meta()
    assert (event.data.reason, event.data.content) == ("malformed", state)
    assert "epoch" in event.data.message


@pytest.mark.parametrize("state", [b"", b"\xff\x00", b"[]", b'{"at":1}'])
def test_bytes_that_are_no_envelope_do_not_stop_a_reader(state: bytes) -> None:
    """Nothing can be read, nothing is lost."""
    for topic in ("HeartbeatRecorded.v1", "NeverHeardOf.v1"):
        event = recorded(topic, state)
        assert (event.data.reason, event.data.content) == ("malformed", state)
        assert event.meta.tenant == ""


def test_an_old_shape_is_lifted_step_by_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two upcasters in a row turn schema 1 into 3."""

    class Newest(msgspec.Struct, frozen=True):
        attempt: int
        era: int
        extra: str

    def renamed(old: dict[str, Any]) -> dict[str, Any]:
        return {"attempt": old["attempt"], "era": old["epoch"]}

    monkeypatch.setitem(events.REGISTER, "Upcast", (Newest, 3))
    monkeypatch.setitem(events.UPCASTERS, ("Upcast", 1), renamed)
    monkeypatch.setitem(events.UPCASTERS, ("Upcast", 2), lambda old: old | {"extra": "new"})
    monkeypatch.setattr(codec, "_readers", {})
    event = recorded("Upcast.v1", codec.to_row(heartbeat(9))[1])
    assert (event.data, event.schema) == (Newest(1, 9, "new"), 1)
    assert event.meta == meta()


def test_an_upcaster_that_fails_makes_the_event_unreadable(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug in an upcaster parks the event instead of stopping the reader."""
    monkeypatch.setitem(events.REGISTER, "Upcast", (HeartbeatRecorded, 2))
    monkeypatch.setitem(events.UPCASTERS, ("Upcast", 1), lambda old: {"attempt": old["missing"]})
    monkeypatch.setattr(codec, "_readers", {})
    assert recorded("Upcast.v1", codec.to_row(heartbeat())[1]).data.reason == "malformed"


def test_every_part_of_the_envelope_survives() -> None:
    """All fields of Meta come back."""
    whole = Meta(AT, "acme", "actor", "token", stream("command"), stream("cause"), stream("correlation"))
    event = recorded(*codec.to_row(msgspec.structs.replace(heartbeat(), meta=whole)))
    assert event.meta == whole
