"""Gateways that share one queue, without a server: windows over one log, a queue view that lags, runners that finish."""

from collections.abc import Callable, Iterable
from datetime import timedelta
from uuid import UUID

from domain import ids
from domain.envelope import Meta, Recorded
from domain.job import events as e
from domain.scheduling import lanes
from domain.scheduling.line import Line, ReadyJob
from domain.scheduling.matching import Poller
from domain.scheduling.window import Window
from tests.domain.scenario import NOW

LINUX = ("linux",)


class Gateway:
    """One window. heard: how many events of the log the feed has told it; late: commits of its own that it was not told yet."""

    def __init__(self, **bounds: int) -> None:
        self.window = Window(**bounds)
        self.window.begin([], [], 0, 1)
        self.heard = 0
        self.late: list[Recorded] = []


class Simulation:
    """draw(n): a number below n. pace: seconds from one event to the next."""

    def __init__(self, draw: Callable[[int], int], gateways: int = 1, **bounds: int) -> None:
        self.draw = draw
        self.pace = 1
        self.gateways = [Gateway(**bounds) for _ in range(gateways)]
        self.log: list[Recorded] = []
        self.queued: dict[UUID, ReadyJob] = {}
        self.held: dict[UUID, ReadyJob] = {}
        self.taken: list[ReadyJob] = []
        self.lines: dict[UUID, Line] = {}
        self.view: dict[UUID, ReadyJob] = {}
        self.viewed = 0

    def queue(self, tenant: str = "t", key: str = "k", lane: str = "default", labels: tuple[str, ...] = LINUX) -> UUID:
        """A job becomes ready; one gateway queued it and knows it at once."""
        job = ids.derive("job", len(self.log))
        self.lines[job] = Line(tenant, key, lane, labels)
        event = self._say(job, e.JobQueued(lane, tenant, labels, key, NOW))
        self.queued[job] = self._ready(event)
        return job

    def serve(self, number: int, slots: int = 1, labels: Iterable[str] = LINUX) -> list[ReadyJob]:
        """A runner with free slots polls at this gateway; returns what it gets."""
        gateway = self.gateways[number]
        got = []
        for job, _ in gateway.window.pairs([Poller(UUID(int=1), frozenset(labels), slots)]):
            gateway.window.take(job)
            if job.job in self.queued:
                self.held[job.job] = self.queued.pop(job.job)
                got.append(self.held[job.job])
                acquired = e.JobAcquired(1, 1, UUID(int=1), "r", UUID(int=1), NOW, NOW)
                self._say(job.job, acquired, number)
            elif job.job not in self.held:
                gateway.window.give_back(job.job)
        self.taken += got
        return got

    def finish(self, job: UUID, *, lost: bool = False) -> None:
        """A runner is done with a job, or was lost with it, and then the job is back in the queue."""
        del self.held[job]
        if not lost:
            self._say(job, e.JobSucceeded(1, 1))
            return
        self._say(job, e.AttemptLost(1, 1, UUID(int=1), "lease_expired", 1, retry_at=NOW))
        event = self._say(job, e.JobRetried(2, 1, NOW), None)
        self.queued[job] = self._ready(event)
        if len(self.gateways) == 1:
            self._tell(self.gateways[0], event)

    def feed(self, number: int, events: int) -> None:
        """The feed tells a gateway the next events."""
        gateway = self.gateways[number]
        page = self.log[gateway.heard : gateway.heard + events]
        for event in page:
            self._tell(gateway, event)
        if page:
            gateway.heard += len(page)
            gateway.window.settled(page[-1].position)
        for event in gateway.late:
            self._tell(gateway, event)
        gateway.late.clear()

    def project(self, events: int) -> None:
        """The queue view folds the next events."""
        for event in self.log[self.viewed : self.viewed + events]:
            if isinstance(event.data, e.JobQueued | e.JobRetried):
                self.view[event.stream] = self._ready(event)
            else:
                self.view.pop(event.stream, None)
        self.viewed = min(self.viewed + events, len(self.log))

    def refill(self, number: int) -> bool:
        """A gateway reads on in the view, once. False: it needs nothing."""
        window = self.gateways[number].window
        short = window.short()
        if short is None:
            return False
        line = sorted((j for j in self.view.values() if j.line == short.line and j.position >= short.start), key=lambda j: j.position)
        jobs = line[: short.limit]
        whole = self.log[self.viewed - 1].position if self.viewed else 0
        window.more(short, jobs, jobs[-1].position if len(jobs) == short.limit else max(whole, jobs[-1].position if jobs else 0))
        return True

    def restart(self, number: int, line_jobs: int, **bounds: int) -> None:
        """A gateway dies and another takes its place: it begins from the views, which have reached the head."""
        self.project(len(self.log))
        gateway = self.gateways[number] = Gateway(**bounds)
        gateway.window = Window(**bounds)
        gateway.heard = len(self.log)
        fronts: dict[Line, list[ReadyJob]] = {}
        for job in sorted(self.view.values(), key=lambda j: j.position):
            fronts.setdefault(job.line, []).append(job)
        held = [(job, ready.line.tenant, ready.line.fair_key) for job, ready in self.held.items()]
        through = self.log[-1].position if self.log else 0
        gateway.window.begin([jobs[:line_jobs] for jobs in fronts.values()], held, through, line_jobs)

    def catch_up(self) -> None:
        """Everything is told to everybody, and read."""
        self.project(len(self.log))
        for number in range(len(self.gateways)):
            self.feed(number, len(self.log))
            while self.refill(number):
                pass

    def _say(self, job: UUID, data: e.JobEvent, by: int | None = 0) -> Recorded:
        """Append an event; the gateway that did it (None: somebody else) hears of it at once."""
        position = 2 * len(self.log) + 2  # positions have holes
        at = NOW + timedelta(seconds=self.pace * len(self.log))
        event = Recorded(position, job, 1, type(data).__name__, 1, Meta(at, "t", "a"), data)
        self.log.append(event)
        if by is not None and len(self.gateways) > 1 and self.draw(3) == 0:
            self.gateways[by].late.append(event)  # the feed may be faster than the answer to the commit
        elif by is not None:
            self._tell(self.gateways[by], event)
        return event

    def _tell(self, gateway: Gateway, event: Recorded) -> None:
        if gateway.window.hear(event) and event.stream in self.queued:
            gateway.window.add(self._ready(event))

    def _ready(self, event: Recorded) -> ReadyJob:
        line = self.lines[event.stream]
        return ReadyJob(event.stream, line, event.position, lanes.place(line.lane, event.meta.at))
