"""All waiting lines in the order of their turns, so that a match looks only at those that it serves.

Lines that ask for the same labels stand together, since they fit the same runners. Within such a set tenants stand in
the order of their turns, and within a tenant its fair-share keys. What changes an order (a line's first job, a share) is
noted and put right when the order is asked for: much changes several times in between, or while nobody waits for a job.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence

from domain.scheduling.fair_share import Shares
from domain.scheduling.line import Line, ReadyJob

Turn = tuple[int, int, float, str]
"""(running, last served, place of the oldest job, name): the smallest comes first."""

Offer = tuple[str | None, frozenset[str] | None]
"""The tenant and the fair-share keys that a runner serves; None: all."""

Name = tuple[Line, int]
"""A line, and a number by which several of the same are told apart; it orders jobs that have the same place."""

Waiting = tuple[int, Sequence[ReadyJob]]
"""A line's number and its jobs, oldest first."""


class Order:
    """Names in the order of their turns, and the place of the oldest job of all."""

    def __init__(self) -> None:
        self.turns: list[Turn] = []
        self._of: dict[str, Turn] = {}
        self._places: list[float] = []

    def put(self, name: str, running: int, last: int, place: float) -> None:
        """This is the turn of a name now."""
        turn = (running, last, place, name)
        if self._of.get(name) != turn:
            self.leave(name)
            self._of[name] = turn
            insort(self.turns, turn)
            insort(self._places, place)

    def leave(self, name: str) -> None:
        """The name has nothing that waits."""
        turn = self._of.pop(name, None)
        if turn is not None:
            del self.turns[bisect_left(self.turns, turn)]
            del self._places[bisect_left(self._places, turn[2])]

    def turn(self, name: str) -> Turn | None:
        """The turn of a name; None: it has nothing that waits."""
        return self._of.get(name)

    @property
    def place(self) -> float | None:
        """Of the oldest job; None: there is none."""
        return self._places[0] if self._places else None


class Keys:
    """The fair-share keys of a tenant, each with its lines."""

    def __init__(self) -> None:
        self.order = Order()
        self.lines: dict[str, dict[Name, Sequence[ReadyJob]]] = {}

    def only(self, served: frozenset[str]) -> "Keys":
        """Those of these keys that are here."""
        part = Keys()
        for key in served:
            turn = self.order.turn(key)
            if turn is not None:
                part.order.put(key, *turn[:3])
                part.lines[key] = self.lines[key]
        return part


class LabelSet:
    """The lines that ask for the same labels."""

    def __init__(self, labels: frozenset[str]) -> None:
        self.labels = labels
        self.order = Order()
        self.tenants: dict[str, Keys] = {}

    def part(self, offers: Sequence[Offer]) -> "LabelSet | None":
        """What runners with these offers may take: all of it, some of it in the same order, or (None) nothing."""
        if (None, None) in offers:
            return self
        whole = {tenant for tenant, keys in offers if keys is None}
        anybody = frozenset[str]().union(*(keys for tenant, keys in offers if tenant is None and keys is not None))
        part = LabelSet(self.labels)
        for tenant in self.tenants if anybody else dict.fromkeys(tenant for tenant, _ in offers if tenant in self.tenants):
            turn = self.order.turn(tenant)
            if turn is None:
                continue
            served = anybody.union(*(keys for each, keys in offers if each == tenant and keys is not None))
            found = self.tenants[tenant] if tenant in whole else self.tenants[tenant].only(served)
            if found.order.place is not None:
                part.tenants[tenant] = found
                part.order.put(tenant, turn[0], turn[1], found.order.place)
        return part if part.tenants else None

    def waiting(self, tenant: str, key: str) -> Iterable[Waiting]:
        """The lines of a fair-share key."""
        keys = self.tenants.get(tenant)
        return [(number, jobs) for (_, number), jobs in keys.lines.get(key, {}).items()] if keys is not None else ()

    def turns(self, tenant: str) -> Sequence[Turn]:
        """The keys of a tenant in the order of their turns."""
        keys = self.tenants.get(tenant)
        return keys.order.turns if keys is not None else ()


class Lines:
    """Every line with its jobs, a sequence that the owner changes; `changed` says when its first job is another one."""

    def __init__(self, shares: Shares) -> None:
        self._shares = shares
        self._forgotten = shares.forgotten
        self._sets: dict[frozenset[str], LabelSet] = {}
        self._stale: dict[tuple[str, str], None] = {}

    def begin(self, line: Line, jobs: Sequence[ReadyJob], number: int = 0) -> None:
        """A line with these jobs, of which there may be none yet."""
        labels = frozenset(line.labels)
        found = self._sets.get(labels)
        if found is None:
            found = self._sets[labels] = LabelSet(labels)
        keys = found.tenants.setdefault(line.tenant, Keys())
        keys.lines.setdefault(line.fair_key, {})[line, number] = jobs
        self.changed(line.tenant, line.fair_key)

    def end(self, line: Line, number: int = 0) -> None:
        """The line is gone."""
        keys = self._sets[frozenset(line.labels)].tenants[line.tenant]
        del keys.lines[line.fair_key][line, number]
        self.changed(line.tenant, line.fair_key)

    def changed(self, tenant: str, key: str) -> None:
        """The share of a key, or the first job of one of its lines, is another one."""
        self._stale[tenant, key] = None

    def sets(self) -> list[LabelSet]:
        """All lines that have jobs, in order."""
        if self._forgotten != self._shares.forgotten:
            self._forgotten = self._shares.forgotten
            everything = [(tenant, key) for each in self._sets.values() for tenant, keys in each.tenants.items() for key in keys.lines]
            self._stale.update(dict.fromkeys(everything))
        for each in list(self._sets.values()):
            for tenant, key in self._stale:
                self._put_right(each, tenant, key)
            if not each.tenants:
                del self._sets[each.labels]
        self._stale.clear()
        return list(self._sets.values())

    def _put_right(self, labels: LabelSet, tenant: str, key: str) -> None:
        keys = labels.tenants.get(tenant)
        if keys is None:
            return
        lines = keys.lines.get(key)
        if lines is not None:
            place = min([jobs[0].place for jobs in lines.values() if jobs], default=None)
            if place is None:
                keys.order.leave(key)
            else:
                keys.order.put(key, *self._shares.key(tenant, key), place)
            if not lines:
                del keys.lines[key]
        if keys.order.place is None:
            labels.order.leave(tenant)
        else:
            labels.order.put(tenant, *self._shares.tenant(tenant), keys.order.place)
        if not keys.lines:
            del labels.tenants[tenant]
