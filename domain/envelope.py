"""What stands beside an event: who, when, why, where in the log. An event itself holds only what happened."""

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from domain import ids


class Meta(msgspec.Struct, frozen=True, gc=False):
    """The part of the envelope that the author of an append gives; the store adds position, stream and version.

    at: the store's time when the decision was taken (UTC). tenant: its name. actor: an opaque id, never a person's name.
    token: id of the access token used. command: id of the command from outside that caused this, or None where an event
    did. cause: id of the event that caused this, or None where a command from outside did (invariant 8: one of both is
    set). correlation: the run, where there is one.
    """

    at: datetime
    tenant: str
    actor: str
    token: str | None = None
    command: UUID | None = None
    cause: UUID | None = None
    correlation: UUID | None = None


class Unreadable(msgspec.Struct, frozen=True):
    """Stands as `data` of an event that this code cannot read. A consumer parks the stream; it never skips the event.

    reason: "unknown_type", "newer_schema" (both: newer code wrote it) or "malformed". content: the stored JSON of the
    event; for a malformed row the whole state. message: what the decoder said.
    """

    reason: str
    content: bytes
    message: str = ""


class Recorded(msgspec.Struct, frozen=True, gc=False):
    """One event of the log with its envelope.

    position: its place in the shard's log, increasing, with holes. version: its place in its stream, from 1 without
    holes. type and schema: the stable name and version of the shape it was stored in (data is already the newest shape).
    Not tracked by the garbage collector, like everything in it: events form no cycles, and looking for some took half of
    the time of reading the log.
    """

    position: int
    stream: UUID
    version: int
    type: str
    schema: int
    meta: Meta
    data: Any

    @property
    def id(self) -> UUID:
        """The event's id, derived from stream and version."""
        return ids.event_id(self.stream, self.version)
