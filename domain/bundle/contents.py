"""What belongs into a run's bundle beside its events: the blobs that they name, as parts of the manifest."""

from collections.abc import Iterable
from typing import Any

import msgspec

from domain.bundle.manifest import Part, digest
from domain.envelope import Recorded
from domain.job.events import LogSegmentStored
from domain.run.events import RunPlanned, RunTriggered

REDACTED = "[redacted]"


class RedactionError(ValueError):
    """The payload cannot be redacted: it is another one than the events name, or is no JSON object."""


def blob_parts(events: Iterable[Recorded], *, logs: bool) -> list[Part]:
    """Payload, workflow text and plans, each once, and the pieces of the logs where they are asked for."""
    found: dict[tuple[str, str], None] = {}
    for event in events:
        match event.data:
            case RunTriggered(payload=payload, source=source):
                found["payload", payload] = None
                found["source", source] = None
            case RunPlanned(plan=plan):
                found["plan", plan] = None
            case LogSegmentStored(sha256=sha256) if logs:
                found["log", sha256] = None
            case _:
                pass
    return [Part(kind, sha256) for kind, sha256 in found]


def redacted(payload: bytes, named: str, fields: tuple[str, ...]) -> tuple[Part, bytes]:
    """The payload without the values of some fields, and its part. named: its digest in the events; raises RedactionError.

    fields: dotted names; each stands for all fields whose path ends so: `email`, `pusher.name`.
    """
    if digest(payload) != named:
        raise RedactionError(f"the payload is not the one that the events name, sha256:{named}")
    try:
        value = msgspec.json.decode(payload)
    except msgspec.DecodeError as error:
        raise RedactionError(f"the payload is no JSON: {error}") from error
    endings = [tuple(field.split(".")) for field in fields]
    content = msgspec.json.encode(_without(value, endings, ()), order="sorted")
    return Part("payload", digest(content), named, fields), content


def _without(value: Any, endings: list[tuple[str, ...]], path: tuple[str, ...]) -> Any:
    if path and any(path[-len(ending) :] == ending for ending in endings):
        return REDACTED
    match value:
        case dict():
            return {name: _without(inner, endings, (*path, str(name))) for name, inner in value.items()}
        case list():
            return [_without(inner, endings, path) for inner in value]
        case _:
            return value


def payload_of_run(events: Iterable[Recorded]) -> str:
    """The digest of the event's payload."""
    return next(event.data.payload for event in events if isinstance(event.data, RunTriggered))
