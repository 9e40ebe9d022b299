"""How lines were matched before they stood in order: every line is looked at, each time. The rule, as plainly as it can be said."""

from collections.abc import Iterable, Sequence
from heapq import heapify, heappop, heappush, heapreplace
from uuid import UUID

from domain.scheduling.fair_share import Shares
from domain.scheduling.line import UNPLACED, Line, ReadyJob
from domain.scheduling.matching import Offer, Poller, covers

_Slot = tuple[int, int, int, Poller]
"""(-free slots, since, number, runner): the smallest comes first."""

_Turn = tuple[int, int, float, str]
"""(running, last served, place of the oldest job, name): the smallest comes first."""


Queues = Iterable[tuple[Line, Sequence[ReadyJob]]]


def match(queues: Queues, pollers: Sequence[Poller], shares: Shares) -> list[tuple[ReadyJob, Poller]]:
    """Pairs to try, in the order of the turns. queues: each line's jobs, oldest first. No runner gets more than it has slots."""
    slots = _Slots(pollers)
    turns = _Turns(queues, slots, shares)
    pairs = []
    while (job := turns.next()) is not None:
        pairs.append((job, slots.take(job)))
    return pairs


class _Slots:
    """The free slots, by what their runners offer. restricted: whether a runner serves some repositories only."""

    def __init__(self, pollers: Sequence[Poller]) -> None:
        self._by_offer: dict[Offer, list[_Slot]] = {}
        self.restricted = any(poller.repositories is not None for poller in pollers)
        for number, poller in enumerate(pollers):
            if poller.slots > 0:
                self._by_offer.setdefault(poller.offer, []).append((-poller.slots, poller.since, number, poller))
        for heap in self._by_offer.values():
            heapify(heap)

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

    def __init__(self, queues: Queues, slots: _Slots, shares: Shares) -> None:
        self._slots = slots
        self._shares = shares
        self._now = UNPLACED
        self._lines: dict[str, dict[str, list[_Standing]]] = {}
        fits: dict[tuple[str, str, tuple[str, ...]], bool] = {}
        for line, jobs in queues:
            alike = (line.tenant, line.fair_key if slots.restricted else "", line.labels)
            fit = fits.get(alike)
            if fit is None:
                fit = fits[alike] = slots.fit(line)
            if fit and jobs:
                self._lines.setdefault(line.tenant, {}).setdefault(line.fair_key, []).append(_Standing(jobs))
        self._tenants = [
            (*shares.tenant(tenant), min([_oldest(lines) for lines in keys.values()]), tenant) for tenant, keys in self._lines.items()
        ]
        heapify(self._tenants)
        self._keys: dict[str, list[_Turn]] = {}

    def next(self) -> ReadyJob | None:
        """The next job that a free slot fits; its tenant and its key then stand last among their equals."""
        while self._tenants:
            running, _, oldest, tenant = self._tenants[0]
            job = self._of(tenant)
            if job is not None:
                self._now += 1
                heapreplace(self._tenants, (running + 1, self._now, oldest, tenant))
                return job
            heappop(self._tenants)
        return None

    def _of(self, tenant: str) -> ReadyJob | None:
        keys = self._keys.get(tenant)
        if keys is None:
            keys = [(*self._shares.key(tenant, key), _oldest(lines), key) for key, lines in self._lines[tenant].items()]
            heapify(keys)
            self._keys[tenant] = keys
        while keys:
            running, _, oldest, key = keys[0]
            fitting = [each for each in self._lines[tenant][key] if each.left and self._slots.fit(each.head.line)]
            if fitting:
                heapreplace(keys, (running + 1, self._now, oldest, key))
                return min(fitting, key=lambda each: (each.head.place, each.head.position)).next()
            heappop(keys)
        return None


class _Standing:
    """A line, and how far this match has come in it."""

    __slots__ = ("_jobs", "_taken", "head", "left")

    def __init__(self, jobs: Sequence[ReadyJob]) -> None:
        self._jobs = jobs
        self._taken = 0
        self.head = jobs[0]
        self.left = True

    def next(self) -> ReadyJob:
        """Take the head."""
        job = self.head
        self._taken += 1
        self.left = self._taken < len(self._jobs)
        if self.left:
            self.head = self._jobs[self._taken]
        return job


def _oldest(lines: Sequence[_Standing]) -> float:
    return lines[0].head.place if len(lines) == 1 else min([standing.head.place for standing in lines])
