"""Events of a usual size to write: a started job, whose stored state is about 270 bytes."""

from datetime import UTC, datetime
from uuid import uuid4

from domain import ids
from domain.envelope import Meta
from domain.job.events import JobStarted
from domain.ports import NewEvent, StreamWrite
from infra import codec
from infra.append_call import Row

AT = datetime(2026, 3, 1, 10, 0, 0, 123456, tzinfo=UTC)
META = Meta(at=AT, tenant="default", actor="runner-1", cause=ids.derive("bench", "cause"), correlation=ids.derive("bench", "run"))
EVENT = NewEvent(JobStarted(1, 1, AT), META)
TOPIC, STATE = codec.to_row(EVENT)


def write(events: int = 1) -> list[StreamWrite]:
    """So many events, each the first of a new stream: the hardest case for the indexes."""
    return [StreamWrite(uuid4(), 0, (EVENT,)) for _ in range(events)]


def rows(events: int = 1) -> list[Row]:
    """The same as stored rows."""
    return [(uuid4(), 1, TOPIC, STATE) for _ in range(events)]
