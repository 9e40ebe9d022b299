"""What clients are sent is made once, and can be taken apart again."""

from gateway.api.shapes import event_json
from gateway.batches import KEPT_BYTES, PIECE_BYTES, EventBatches, batch
from tests.fakes import MemoryEventStore
from tests.samples import stream, write


def test_a_batch_is_cut_between_events_and_can_be_taken_apart() -> None:
    """No piece is much longer than one write should be."""
    items = [(b"1:%d" % line, b'{"text":"%b"}' % (b"x" * 1000)) for line in range(1, 201)]
    made = batch(items)
    assert made.count == 200
    assert list(made.items()) == items
    assert len(made.pieces) == 4
    assert all(piece.startswith(b"id: ") and piece.endswith(b"\n\n") and len(piece) < PIECE_BYTES + 2000 for piece in made.pieces)


async def test_the_same_events_are_made_into_bytes_once() -> None:
    """For one log; the same events as part of another log are another matter, since that may leave some of them out."""
    events = await MemoryEventStore().append([write(stream("s"), events=3)])
    batches = EventBatches()
    made = batches.of("default", events)
    assert list(made.items()) == [(b"%d" % event.position, event_json(event)) for event in events]
    assert batches.of("default", list(events)) is made
    assert batches.of("default", events[1:]) is not made
    assert batches.of("other", events[::2]).count == 2


async def test_what_is_kept_has_a_bound() -> None:
    """What was asked for longest ago goes first."""
    events = await MemoryEventStore().append([write(stream("s"), events=500)])
    batches = EventBatches()
    first = batches.of(0, events)
    many = 2 * KEPT_BYTES // first.size
    for log in range(1, many):
        batches.of(log, events)
    assert batches.of(many - 1, events) is batches.of(many - 1, events)
    assert batches.of(0, events) is not first
    assert sum(made.size for made in batches._kept.values()) <= KEPT_BYTES
