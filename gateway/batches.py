"""What clients of streams are sent, made once for all of them.

A thousand clients of one run are at the same place nearly all the time. So what a topic gives next is bytes, ready to be
written, and those who stand at the same place are given the same ones: a further client costs a write, and what waits for
clients that take nothing is there once.
"""

from collections import OrderedDict
from collections.abc import Hashable, Iterable, Sequence

import msgspec

from domain.envelope import Recorded
from gateway.api.shapes import event_json

PIECE_BYTES = 64 * 1024
KEPT_BYTES = 4 * 1024 * 1024


class Batch(msgspec.Struct, frozen=True, gc=False):
    """`count` data in order, as server-sent events: `id: CURSOR`, `data: JSON` and an empty line for each; JSON holds no line break.

    pieces: each of whole events, of about PIECE_BYTES at most.
    """

    pieces: tuple[bytes, ...] = ()
    count: int = 0

    @property
    def size(self) -> int:
        """In bytes."""
        return sum(map(len, self.pieces))

    def items(self) -> Iterable[tuple[bytes, bytes]]:
        """(the cursor behind it, JSON) of each datum."""
        for piece in self.pieces:
            for event in piece.split(b"\n\n")[:-1]:
                identity, _, data = event.removeprefix(b"id: ").partition(b"\ndata: ")
                yield identity, data


NOTHING = Batch()


def batch(items: Iterable[tuple[bytes, bytes]]) -> Batch:
    """The batch of (cursor, JSON) pairs."""
    pieces: list[bytes] = []
    piece: list[bytes] = []
    size = count = 0
    for identity, data in items:
        event = b"id: %b\ndata: %b\n\n" % (identity, data)
        piece.append(event)
        count += 1
        size += len(event)
        if size >= PIECE_BYTES:
            pieces.append(b"".join(piece))
            piece, size = [], 0
    if piece:
        pieces.append(b"".join(piece))
    return Batch(tuple(pieces), count)


class EventBatches:
    """The batches of events that were asked for last, at most KEPT_BYTES together."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[Hashable, int, int], Batch] = OrderedDict()
        self._bytes = 0

    def of(self, log: Hashable, events: Sequence[Recorded]) -> Batch:
        """The batch of these events, which are all that `log` holds from the first to the last of them. Ids are positions."""
        if not events:
            return NOTHING
        key = (log, events[0].position, events[-1].position)
        made = self._kept.get(key)
        if made is not None:
            self._kept.move_to_end(key)
            return made
        made = self._kept[key] = batch((b"%d" % event.position, event_json(event)) for event in events)
        self._bytes += made.size
        while self._bytes > KEPT_BYTES and len(self._kept) > 1:
            self._bytes -= self._kept.popitem(last=False)[1].size
        return made
