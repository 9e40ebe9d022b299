"""An event of the log as a CloudEvent 1.0: the same attributes over NATS (binary mode) and over HTTP (structured mode).

`tenant`, `actor`, `commandid`, `causationid`, `correlationid`, `position` and `streamversion` are extensions that carry the
rest of the envelope.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import cast
from uuid import UUID

import msgspec

from domain.envelope import Recorded, Unreadable

_encode = msgspec.json.Encoder().encode
_text = cast("Callable[[UUID], str]", msgspec.to_builtins)
"""An id as text, in half of the time that its own class takes."""

DATA_TYPE = "application/json"
STRUCTURED = "application/cloudevents+json; charset=utf-8"


def attributes(shard: int, event: Recorded) -> dict[str, str]:
    """What stands beside the data; only what there is."""
    meta = event.meta
    found = {
        "specversion": "1.0",
        "id": _text(event.id),
        "source": f"/ledgermill/shards/{shard}",
        "type": f"{_on_one_line(event.type)}.v{event.schema}",
        "subject": _text(event.stream),
        "time": meta.at.isoformat(),
        "position": str(event.position),
        "streamversion": str(event.version),
    }
    if meta.tenant:
        found["tenant"] = _on_one_line(meta.tenant)
    if meta.actor:
        found["actor"] = _on_one_line(meta.actor)
    if meta.command is not None:
        found["commandid"] = _text(meta.command)
    if meta.cause is not None:
        found["causationid"] = _text(meta.cause)
    if meta.correlation is not None:
        found["correlationid"] = _text(meta.correlation)
    return found


def data(event: Recorded) -> bytes:
    """The event's facts as JSON."""
    return event.data.content if isinstance(event.data, Unreadable) else _encode(event.data)


def structured(shard: int, event: Recorded) -> bytes:
    """Attributes and data in one JSON object."""
    return _encode({**attributes(shard, event), "datacontenttype": DATA_TYPE, "data": msgspec.Raw(data(event))})


@lru_cache
def _on_one_line(text: str) -> str:
    return " ".join(text.splitlines())
