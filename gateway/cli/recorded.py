"""The API's events as the domain's records, so that a verb can prove things about a log itself instead of believing.

Shapes are the newest: the server has already brought old ones up to date. What newer code wrote stays unreadable.
"""

from collections.abc import Iterable, Iterator
from typing import Any
from uuid import UUID

import msgspec

from domain.envelope import Meta, Recorded, Unreadable
from domain.events import REGISTER


class EventJson(msgspec.Struct):
    """An event as the API shows it; see "Shapes that scripts read" in the reference."""

    position: int
    stream: str
    version: int
    type: str
    schema: int
    at: str
    tenant: str
    actor: str
    data: dict[str, Any]
    token: str | None = None
    command_id: str | None = None
    causation_id: str | None = None
    correlation_id: str | None = None


def records(events: Iterable[dict[str, Any]]) -> Iterator[Recorded]:
    """Each event with its envelope; the data as the registered type. Raises msgspec.ValidationError for a foreign shape."""
    for each in events:
        event = msgspec.convert(each, EventJson, strict=False)
        envelope = {
            "at": event.at,
            "tenant": event.tenant,
            "actor": event.actor,
            "token": event.token,
            "command": event.command_id,
            "cause": event.causation_id,
            "correlation": event.correlation_id,
        }
        yield Recorded(
            position=event.position,
            stream=msgspec.convert(event.stream, UUID),
            version=event.version,
            type=event.type,
            schema=event.schema,
            meta=msgspec.convert(envelope, Meta),
            data=_data(event),
        )


def _data(event: EventJson) -> Any:
    if event.type not in REGISTER:
        return Unreadable("unknown_type", msgspec.json.encode(event.data))
    return msgspec.convert(event.data, REGISTER[event.type][0])
