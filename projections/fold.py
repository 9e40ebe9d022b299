"""Events into rows, in memory: the loop that the projector, a rebuild, the verifier and time travel share.

Rows live in `Slot`s of a `Cache` per table. A page is folded in two steps, so that rows which are not cached can be
fetched in one query between them: `claim` finds the touched rows, `apply` changes them. This is the hot loop of every
rebuild: one dictionary look-up per touched row, no allocation besides.
"""

from collections.abc import Callable, Iterable, Sequence

import msgspec

from domain.envelope import Recorded
from projections.table import Apply, Key, Row, Rule, Table


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
    """Folds pages of events into the caches of some tables."""

    def __init__(self, tables: Iterable[Table], capacity: int) -> None:
        self.caches = tuple(Cache(table, capacity) for table in tables)
        self._rules: dict[type, tuple[tuple[Cache, Rule], ...]] = {}
        for cache in self.caches:
            for kind, rule in cache.table.rules.items():
                self._rules[kind] = (*self._rules.get(kind, ()), (cache, rule))

    def claim(self, events: Sequence[Recorded]) -> list[Step]:
        """What has to be done for these events, in order. Afterwards each cache's `missing` has to be filled."""
        steps: list[Step] = []
        rules, nothing = self._rules, ()
        for event in events:
            for cache, rule in rules.get(type(event.data), nothing):
                young = cache.young
                for key in rule.keys(event):
                    slot = young.get(key) or cache.slot(key, opens=rule.opens)
                    if not slot.dirty:
                        slot.dirty = True
                        cache.dirty.append(slot)
                    steps.append((rule.apply, slot, event))
        return steps

    @staticmethod
    def apply(steps: Sequence[Step]) -> None:
        """Change the rows."""
        for apply, slot, event in steps:
            slot.row = apply(slot.row, event, slot.key)


def fold(tables: Iterable[Table], events: Sequence[Recorded], wanted: Callable[[Row], bool] | None = None) -> dict[str, dict[Key, Row]]:
    """All rows that these events make, by table name and key; every row of them, or those that are `wanted`."""
    folder = Folder(tables, capacity=0)
    folder.apply(folder.claim(events))
    return {
        cache.table.name: {
            slot.key: slot.row for slot in cache.young.values() if slot.row is not None and (wanted is None or wanted(slot.row))
        }
        for cache in folder.caches
    }
