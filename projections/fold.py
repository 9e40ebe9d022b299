"""Events into rows, in memory: the loop that the projector, a rebuild, the verifier and time travel share.

Rows live in `Slot`s of a `Cache` per table. A page is folded in two steps, so that rows which are not cached can be
fetched in one query between them: `claim` finds the touched rows, `apply` changes them. This is the hot loop of every
rebuild: one dictionary look-up per touched row, no allocation besides.

An event that cannot be folded parks its stream: from it on, the stream's events wait, and all others go on. The hot loop
only finds out that there is one; then the page is folded again by a careful folder, which keeps a copy of each row until
its event is done and so knows which event it was.
"""

from collections.abc import Iterable, Sequence
from copy import copy
from itertools import groupby
from uuid import UUID

import msgspec

from domain.envelope import Recorded, Unreadable
from projections.table import Apply, Key, Row, Rule, Table, by_stream

ERROR_LENGTH_MAX = 500


class PoisonedError(Exception):
    """Somewhere in this page is an event that cannot be folded. The rows that were being folded are spoilt: forget them."""


class Parked(msgspec.Struct):
    """A stream that waits in a view. version, position, type, schema: of the event that could not be folded, and why.

    last_version: of the last event that waits behind it. run_id: the run that the event belongs to.
    """

    stream: UUID
    version: int
    position: int
    type: str
    schema: int
    error: str
    run_id: UUID | None
    last_version: int


class Slot(msgspec.Struct, gc=False):
    """The place of one row. dirty: changed since it was last written."""

    key: Key
    row: Row | None = None
    dirty: bool = False


Step = tuple[Apply, Slot, Recorded]


class Cache:
    """The slots of one table: two generations of at most `capacity` rows, the older one forgotten when the newer is full."""

    def __init__(self, table: Table, capacity: int) -> None:
        self.table = table
        self.capacity = capacity
        self.young: dict[Key, Slot] = {}
        self.old: dict[Key, Slot] = {}
        self.dirty: list[Slot] = []
        self.missing: list[Slot] = []

    def slot(self, key: Key, *, opens: bool) -> Slot:
        """The slot of a key that is not in the young generation; noted as missing when its row has to be fetched."""
        slot = self.old.pop(key, None)
        if slot is None:
            slot = Slot(key)
            if not opens:
                self.missing.append(slot)
        self.young[key] = slot
        return slot

    @property
    def missing_keys(self) -> list[Key]:
        """Which rows have to be fetched."""
        return [slot.key for slot in self.missing]

    def fill(self, rows: Iterable[Row]) -> None:
        """Put fetched rows into their slots; what was not found stays None."""
        key_of, young = self.table.key_of, self.young
        for row in rows:
            young[key_of(row)].row = row
        self.missing.clear()

    def written(self) -> None:
        """The dirty rows are in the database now: forget that they were changed, and the oldest rows when there are many."""
        for slot in self.dirty:
            slot.dirty = False
        self.dirty.clear()
        if len(self.young) > self.capacity:
            self.old, self.young = self.young, {}

    def forget(self) -> None:
        """Drop all rows, what was changed in them too."""
        self.young, self.old = {}, {}
        self.dirty.clear()
        self.missing.clear()

    def forget_absent(self) -> None:
        """Drop changed slots that hold no row. Only where nothing was written yet: there is nothing to delete then."""
        kept = []
        for slot in self.dirty:
            if slot.row is None:
                del self.young[slot.key]
            else:
                kept.append(slot)
        self.dirty = kept


class Folder:
    """Folds pages of events into the caches of some tables.

    parked: the streams that wait, by id; noted: those of them that changed since `written`. careful: park what cannot be
    folded; otherwise it raises PoisonedError.
    """

    def __init__(self, tables: Iterable[Table], capacity: int, *, parked: Iterable[Parked] = (), careful: bool = False) -> None:
        self.caches = tuple(Cache(table, capacity) for table in tables)
        self.parked = {each.stream: each for each in parked}
        self.noted: set[UUID] = set()
        self.careful = careful
        self._last: dict[UUID, int] = {}
        self._rules: dict[type, tuple[tuple[Cache, Rule], ...]] = {}
        for cache in self.caches:
            for kind, rule in cache.table.rules.items():
                self._rules[kind] = (*self._rules.get(kind, ()), (cache, rule))
        if self.caches:
            self._rules[Unreadable] = ((self.caches[0], Rule(_unreachable, _refuse_unreadable)),)

    def claim(self, events: Sequence[Recorded]) -> list[Step]:
        """What has to be done for these events, in order. Afterwards each cache's `missing` has to be filled."""
        if self.parked:
            events = [event for event in events if not self._waits(event)]
        if self.careful:
            return self._claim_singly(events)
        steps: list[Step] = []
        rules, nothing = self._rules, ()
        try:
            for event in events:
                for cache, rule in rules.get(type(event.data), nothing):
                    young = cache.young
                    for key in rule.keys(event):
                        slot = young.get(key) or cache.slot(key, opens=rule.opens)
                        if not slot.dirty:
                            slot.dirty = True
                            cache.dirty.append(slot)
                        steps.append((rule.apply, slot, event))
        except Exception as error:
            raise PoisonedError(str(error)) from error
        return steps

    def apply(self, steps: Sequence[Step]) -> None:
        """Change the rows."""
        if self.careful:
            self._apply_singly(steps)
            return
        try:
            for apply, slot, event in steps:
                slot.row = apply(slot.row, event, slot.key)
        except Exception as error:
            raise PoisonedError(str(error)) from error

    def run(self, events: Iterable[Recorded]) -> None:
        """`claim` and `apply` in one pass, where no row is anywhere else: nothing was written, so nothing has to be fetched."""
        if self.parked:
            events = [event for event in events if not self._waits(event)]
        rules = {
            kind: tuple((cache.young, None if rule.keys is by_stream else rule.keys, rule.apply) for cache, rule in ruled)
            for kind, ruled in self._rules.items()
        }
        nothing = ()
        try:
            for event in events:
                for slots, keys, apply in rules.get(type(event.data), nothing):
                    for key in (event.stream,) if keys is None else keys(event):
                        slot = slots.get(key)
                        if slot is None:
                            slot = slots[key] = Slot(key)
                        slot.row = apply(slot.row, event, key)
        except Exception as error:
            raise PoisonedError(str(error)) from error
        for cache in self.caches:
            cache.dirty = list(cache.young.values())

    def check(self) -> None:
        """Raise PoisonedError where Postgres cannot hold a row that was changed."""
        try:
            for cache in self.caches:
                cache.table.check([slot.row for slot in cache.dirty if slot.row is not None])
        except Exception as error:
            raise PoisonedError(str(error)) from error

    def forget(self) -> None:
        """Drop all rows. They are read again from where they were last written."""
        for cache in self.caches:
            cache.forget()

    def written(self) -> None:
        """Rows and parked streams are in the database now."""
        for cache in self.caches:
            cache.written()
        self.noted.clear()

    def _claim_singly(self, events: Sequence[Recorded]) -> list[Step]:
        """`claim` that fetches every touched row: one whose event is parked after all must be written back as it was."""
        steps: list[Step] = []
        self._last = {event.stream: event.version for event in events}
        for event in events:
            if self._waits(event):
                continue
            try:
                touched = [
                    (rule.apply, cache, cache.young.get(key) or cache.slot(key, opens=False))
                    for cache, rule in self._rules.get(type(event.data), ())
                    for key in rule.keys(event)
                ]
            except Exception as error:  # noqa: BLE001 - whatever a fold raises parks the stream and nothing else
                self._park(event, error)
                continue
            for apply, cache, slot in touched:
                if not slot.dirty:
                    slot.dirty = True
                    cache.dirty.append(slot)
                steps.append((apply, slot, event))
        return steps

    def _apply_singly(self, steps: Sequence[Step]) -> None:
        """`apply` that changes all rows of an event or none. What Postgres cannot hold is refused here, where the event is known."""
        tables = {id(slot): cache.table for cache in self.caches for slot in cache.dirty}
        for _, group in groupby(steps, key=lambda step: step[2].position):
            of_event = list(group)
            event = of_event[0][2]
            if self._waits(event):
                continue
            before = [(slot, copy(slot.row)) for _, slot, _ in of_event]
            try:
                for apply, slot, _ in of_event:
                    slot.row = apply(slot.row, event, slot.key)
                    if slot.row is not None:
                        tables[id(slot)].check([slot.row])
            except Exception as error:  # noqa: BLE001 - see above
                for slot, row in before:
                    slot.row = row
                self._park(event, error)

    def _waits(self, event: Recorded) -> bool:
        """Whether an event stands behind one that could not be folded; noted as the last of its stream."""
        parked = self.parked.get(event.stream)
        if parked is None or event.version < parked.version:
            return False
        if event.version > parked.last_version:
            parked.last_version = event.version
            self.noted.add(event.stream)
        return True

    def _park(self, event: Recorded, error: Exception) -> None:
        known = self.parked.get(event.stream)
        last = max(self._last[event.stream], known.last_version if known else 0)
        said = str(error) if isinstance(error, UnreadableEventError) else f"{type(error).__name__}: {error}"
        said = said[:ERROR_LENGTH_MAX].encode(errors="replace").decode()
        self.parked[event.stream] = Parked(
            event.stream, event.version, event.position, event.type, event.schema, said, event.meta.correlation, last
        )
        self.noted.add(event.stream)


class UnreadableEventError(Exception):
    """The event was written by newer code, or its bytes are damaged."""


def _refuse_unreadable(event: Recorded) -> Sequence[Key]:
    """Which rows it touches cannot be known, so it waits in every view."""
    data: Unreadable = event.data
    match data.reason:
        case "unknown_type":
            said = f"this version knows no event {event.type}"
        case "newer_schema":
            said = f"this version does not know schema {event.schema} of {event.type}"
        case _:
            said = f"the bytes are no {event.type} of schema {event.schema}: {data.message}"
    raise UnreadableEventError(said)


def _unreachable(_row: Row | None, event: Recorded, _key: Key) -> Row | None:
    raise AssertionError(f"{event.type} touches no row")


def folded(tables: Iterable[Table], events: Sequence[Recorded], parked: Iterable[Parked] = ()) -> Folder:
    """A folder that has folded these events in memory, from no rows on. parked: the streams that wait already."""
    made, waiting = tuple(tables), tuple(parked)
    try:
        return _folded(made, events, waiting, careful=False)
    except PoisonedError:
        return _folded(made, events, waiting, careful=True)


def _folded(tables: Sequence[Table], events: Sequence[Recorded], parked: Sequence[Parked], *, careful: bool) -> Folder:
    folder = Folder(tables, capacity=0, parked=map(copy, parked), careful=careful)
    if careful:
        folder.apply(folder.claim(events))
    else:
        folder.run(events)
        folder.check()
    return folder


def fold(tables: Iterable[Table], events: Sequence[Recorded], parked: Iterable[Parked] = ()) -> dict[str, dict[Key, Row]]:
    """All rows that these events make, by table name and key."""
    return rows_of(folded(tables, events, parked))


def rows_of(folder: Folder) -> dict[str, dict[Key, Row]]:
    """All rows of a folder that was never written, by table name and key."""
    return {cache.table.name: {slot.key: slot.row for slot in cache.young.values() if slot.row is not None} for cache in folder.caches}
