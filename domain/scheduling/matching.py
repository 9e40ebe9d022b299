"""Which waiting runner gets which ready job: one pure function, called on every change of either side.

Tenants take turns, then the fair-share keys (repositories) of a tenant, then the lanes of a key, and in a lane the
oldest job comes first. A job goes to a runner that has all of its labels; among those, first to one that is not the
job's `avoid` (the runner that lost it before), then to the one with the most free slots, then to the one that has waited
longest. A job that nobody here can take never blocks those behind it, and no slot stays free that a job could use.

It must never look at a clock or decide who owns a job: its answer is a proposal, the expected version of JobAcquired
decides.
"""

from collections.abc import Iterable, Sequence
from heapq import heapify, heappop, heappush, heapreplace
from uuid import UUID

import msgspec

from domain.scheduling.fair_share import Shares
from domain.scheduling.line import UNPLACED, Line, ReadyJob, wanted
from domain.scheduling.lines import LabelSet, Lines, Turn, Waiting


class Poller(msgspec.Struct, frozen=True):
    """A runner that waits with free slots. since: a number that grows with each poll, so the smallest waits longest.

    tenant: whose jobs it takes (None: anybody's); repositories: the fair-share keys of those that it serves (None: all).
    """

    runner: UUID
    labels: frozenset[str]
    slots: int
    since: int = 0
    tenant: str | None = None
    repositories: frozenset[str] | None = None

    @property
    def offer(self) -> "Offer":
        """What it takes."""
        return self.tenant, self.repositories, self.labels


Offer = tuple[str | None, frozenset[str] | None, frozenset[str]]
"""Tenant, repositories and labels of a runner: there are far fewer of these than runners."""


def covers(offer: Offer, line: Line) -> bool:
    """Whether a runner with this offer may take the jobs of a line."""
    tenant, repositories, labels = offer
    return wanted(line.labels) <= labels and tenant in (None, line.tenant) and (repositories is None or line.fair_key in repositories)


_Slot = tuple[int, int, int, Poller]
"""(-free slots, since, number, runner): the smallest comes first."""

Queues = Iterable[tuple[Line, Sequence[ReadyJob]]]


def match(lines: Sequence[Lines], pollers: Sequence[Poller]) -> list[tuple[ReadyJob, Poller]]:
    """Pairs to try, in the order of the turns. lines: several are as one. No runner gets more than it has slots.

    Costs by what is paired, not by how much waits.
    """
    slots = _Slots(pollers)
    turns = _Turns([each for some in lines for each in some.sets()], slots)
    pairs = []
    while (job := turns.next()) is not None:
        pairs.append((job, slots.take(job)))
    return pairs


def standing(queues: Queues, shares: Shares) -> Lines:
    """These lines in the order of their turns; each queue's jobs oldest first."""
    lines = Lines(shares)
    for number, (line, jobs) in enumerate(queues):
        lines.begin(line, jobs, number)
    return lines


def order(queues: Sequence[tuple[Line, Sequence[ReadyJob]]], shares: Shares) -> list[ReadyJob]:
    """All these jobs in the order of their turns, as if slots for every one of them came free now."""
    everything = frozenset(label for line, _ in queues for label in line.labels)
    anybody = Poller(UUID(int=0), everything, sum(len(jobs) for _, jobs in queues))
    return [job for job, _ in match([standing(queues, shares)], [anybody])]


class _Slots:
    """The free slots, by what their runners offer."""

    def __init__(self, pollers: Sequence[Poller]) -> None:
        self._by_offer: dict[Offer, list[_Slot]] = {}
        for number, poller in enumerate(pollers):
            if poller.slots > 0:
                self._by_offer.setdefault(poller.offer, []).append((-poller.slots, poller.since, number, poller))
        for heap in self._by_offer.values():
            heapify(heap)

    @property
    def left(self) -> bool:
        """Whether there is any free slot."""
        return bool(self._by_offer)

    def offers(self, labels: frozenset[str]) -> list[tuple[str | None, frozenset[str] | None]]:
        """Tenant and repositories of the runners that have these labels."""
        return [(tenant, repositories) for tenant, repositories, offered in self._by_offer if labels <= offered]

    def fit(self, line: Line) -> bool:
        """Whether some free slot may be given to a job of this line."""
        return any(covers(offer, line) for offer in self._by_offer)

    def take(self, job: ReadyJob) -> Poller:
        """Give a slot to the job; one of them has to fit."""
        fitting = (heap for offer, heap in self._by_offer.items() if covers(offer, job.line))
        _, entry = min((entry[3].runner == job.avoid, entry) for heap in fitting for entry in _first(heap, job.avoid))
        poller = entry[3]
        heap = self._by_offer[poller.offer]
        if heap[0] is entry:
            heappop(heap)
        else:
            heap.remove(entry)
            heapify(heap)
        if entry[0] < -1:
            heappush(heap, (entry[0] + 1, *entry[1:]))
        if not heap:
            del self._by_offer[poller.offer]
        return poller


def _first(heap: list[_Slot], avoid: UUID | None) -> list[_Slot]:
    """The best runner of an offer, and the next best where the best one is to be avoided."""
    return heap[:1] if heap[0][3].runner != avoid else sorted(heap[:3])[:2]


class _Turns:
    """Whose job is next. Slots only become fewer in one match, so who finds none that fits is out for the rest of it."""

    def __init__(self, sets: Sequence[LabelSet], slots: _Slots) -> None:
        self._sets = [part for each in sets if (part := each.part(slots.offers(each.labels))) is not None]
        self._slots = slots
        self._now = UNPLACED
        self._tenants = _Merged([each.order.turns for each in self._sets])
        self._keys: dict[str, _Merged] = {}
        self._standing: dict[tuple[str, str], list[_Standing]] = {}

    def next(self) -> ReadyJob | None:
        """The next job that a free slot fits; its tenant and its key then stand last among their equals."""
        while self._slots.left and (tenant := self._tenants.first()) is not None:
            job = self._of(tenant)
            if job is not None:
                self._now += 1
                self._tenants.served(self._now)
                return job
            self._tenants.out()
        return None

    def _of(self, tenant: str) -> ReadyJob | None:
        keys = self._keys.get(tenant)
        if keys is None:
            keys = self._keys[tenant] = _Merged([each.turns(tenant) for each in self._sets])
        while (key := keys.first()) is not None:
            fitting = [each for each in self._lines(tenant, key) if each.left and self._slots.fit(each.head.line)]
            if fitting:
                keys.served(self._now)
                return min(fitting, key=lambda each: (each.head.place, each.head.position, each.number)).next()
            keys.out()
        return None

    def _lines(self, tenant: str, key: str) -> "list[_Standing]":
        found = self._standing.get((tenant, key))
        if found is None:
            waiting = (line for each in self._sets for line in each.waiting(tenant, key))
            found = self._standing[tenant, key] = [_Standing(line) for line in waiting if line[1]]
        return found


class _Merged:
    """Several orders of turns as one. A name that stands in more than one has the turn that comes first."""

    def __init__(self, orders: Sequence[Sequence[Turn]]) -> None:
        self._orders = [turns for turns in orders if turns]
        self._heads: list[tuple[Turn, int, int]] = [(turns[0], number, 0) for number, turns in enumerate(self._orders)]
        heapify(self._heads)
        self._seen: set[str] = set()

    def first(self) -> str | None:
        """Whose turn it is."""
        while self._heads:
            (_, _, _, name), number, _ = self._heads[0]
            if number < 0 or name not in self._seen:
                return name
            self._advance()
        return None

    def served(self, now: int) -> None:
        """The first one had its turn: one more of its jobs runs, and it was served last of all."""
        running, _, place, name = self._heads[0][0]
        self.out()
        heappush(self._heads, ((running + 1, now, place, name), -1, 0))

    def out(self) -> None:
        """The first one has nothing more that fits."""
        self._seen.add(self._heads[0][0][3])
        self._advance()

    def _advance(self) -> None:
        _, number, at = self._heads[0]
        if number < 0 or at + 1 == len(self._orders[number]):
            heappop(self._heads)
        else:
            heapreplace(self._heads, (self._orders[number][at + 1], number, at + 1))


class _Standing:
    """A line, and how far this match has come in it."""

    __slots__ = ("_jobs", "_taken", "head", "left", "number")

    def __init__(self, line: Waiting) -> None:
        self.number, self._jobs = line
        self._taken = 0
        self.head = self._jobs[0]
        self.left = True

    def next(self) -> ReadyJob:
        """Take the head."""
        job = self.head
        self._taken += 1
        self.left = self._taken < len(self._jobs)
        if self.left:
            self.head = self._jobs[self._taken]
        return job
