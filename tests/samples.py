"""Events to append where a test does not care which: one heartbeat after the other, on streams of their own."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from domain import ids
from domain.envelope import Meta
from domain.job.events import HeartbeatRecorded
from domain.ports import NewEvent, StreamWrite

AT = datetime(2026, 3, 1, 10, 0, tzinfo=UTC)


def meta(tenant: str = "default") -> Meta:
    """An envelope from outside."""
    return Meta(at=AT, tenant=tenant, actor="actor-1", command=ids.command_id("test", "1"))


def heartbeat(number: int = 1) -> NewEvent:
    """The event with a number of its own."""
    return NewEvent(HeartbeatRecorded(attempt=1, epoch=number, expires_at=AT + timedelta(seconds=number)), meta())


def stream(*name: object) -> UUID:
    """A stream by name."""
    return ids.derive("test", *name)


def write(target: UUID, expected: int = 0, events: int = 1) -> StreamWrite:
    """Some events for one stream."""
    return StreamWrite(target, expected, tuple(heartbeat(expected + number + 1) for number in range(events)))
