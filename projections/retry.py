"""Folds parked streams again, once the code is right: in order, and so that the rows are those of a view that never stopped.

A row may be made by several streams of one story (a run and its jobs), and what waited may have come between events that
did not. So nothing is folded late onto the rows that are there: the story's events are folded from its beginning, in the
order of the log, and its rows are replaced. A story whose own stream cannot be read yet stays as it is, because only that
stream names the others.
"""

import time
from uuid import UUID

import msgspec

from domain.envelope import Recorded, Unreadable
from domain.job.events import JobCreated
from domain.ports import EventStore
from projections import parking, positions, rows
from projections.fold import Folder, Parked, folded
from projections.rows import Connection, Statements
from projections.run_history import run_history
from projections.table import LIVE, View

HELD_SECONDS_MAX = 0.2
"""How long the view is held still before the projector gets a turn."""


class Retried(msgspec.Struct, frozen=True):
    """What came of it. streams, events: that wait no more. parked: how many streams still do."""

    streams: int
    events: int
    parked: int


async def retry(connection: Connection, store: EventStore, view: View) -> Retried:
    """Fold what waits in `view` again. The connection is in autocommit mode. Any number may run at once."""
    streams = events = 0
    tried: set[UUID] = set()
    while True:
        async with connection.transaction():
            place = await positions.hold(connection, view.name)
            parked = {each.stream: each for each in await parking.parked_in(connection, view.name)}
            left = [each for each in parked.values() if each.stream not in tried]
            if not left or place is None or place.digest != view.digest:  # another definition is rebuilt by its projector
                return Retried(streams, events, len(parked))
            ends = time.monotonic() + HELD_SECONDS_MAX
            while left and time.monotonic() < ends:
                root, story = await _story(store, left[0].stream, place.position)
                inside = {event.stream for event in story}
                waiting = [each for each in parked.values() if each.stream in inside]
                tried.update(inside)
                left = [each for each in left if each.stream not in inside]
                if not any(isinstance(event.data, Unreadable) for event in story if event.stream == root):
                    folder = folded(view.tables, story)
                    free = [each for each in waiting if each.stream not in folder.parked]
                    await _replace(connection, view, folder, free)
                    streams += len(free)
                    events += sum(each.last_version - each.version + 1 for each in free)
            await positions.renew(connection, view.name)


async def _story(store: EventStore, stream: UUID, through: int) -> tuple[UUID, list[Recorded]]:
    """The stream that names the others, and everything that makes rows together with this stream, in order."""
    own = [event for event in await store.load(stream) if event.position <= through]
    root = own[0].data.run if isinstance(own[0].data, JobCreated) else stream
    story = {event.position: event for event in (*own, *await run_history(store, root, through))}
    return root, [story[position] for position in sorted(story)]


async def _replace(connection: Connection, view: View, folder: Folder, free: list[Parked]) -> None:
    """Put the story's rows in the place of those that are there, and note what still waits in it."""
    changes = [part for cache in folder.caches for part in rows.changes(cache.table, Statements(cache.table, LIVE), cache.dirty)]
    await rows.execute(connection, [*changes, *parking.changes(view.name, folder)])
    await parking.release(connection, view.name, [each.stream for each in free])
