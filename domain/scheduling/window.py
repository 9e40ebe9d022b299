"""The part of the queue that a gateway holds in memory: the front of every line, and what runs of each share.

Fed by events: by this process's own commits at once, by the feed for everybody's, so each event may be heard twice. It is
bounded, and no line can fill it: of each line only the front is kept. What lies beyond is read from the queue view when
the front becomes short (`short`, `more`); a line that has such a rest takes no newcomers before it, so it stays in order.
Nothing here is the truth: a job that is matched here is asked whether it is still to be had.
"""

from bisect import bisect_left, insort
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from operator import attrgetter, itemgetter
from uuid import UUID

import msgspec

from domain.envelope import Recorded
from domain.job import events as e
from domain.job.state import Queued
from domain.scheduling import lanes
from domain.scheduling.fair_share import Shares
from domain.scheduling.line import Line, ReadyJob
from domain.scheduling.lines import Lines
from domain.scheduling.matching import Poller, match, standing

JOBS_MAX = 20_000
LINE_JOBS_MAX = 1_000
LINE_JOBS_MIN = 4
"""A line's share of the window when there are very many lines: below it there would be nothing to take while more is read."""

ATTEMPT_ENDS = (e.AttemptLost, e.AttemptFailed, e.AttemptTimedOut)
JOB_ENDS = (e.JobCancelled, e.JobTimedOut, e.JobFailed, e.JobSucceeded, e.JobSkipped)

_position = attrgetter("position")


def ready(state: Queued, position: int, at: datetime) -> ReadyJob:
    """A job as its stream knows it, made ready by the event at this position and time."""
    life = state.life
    line = Line(life.tenant, life.fair_key, life.lane, life.spec.labels)
    return ReadyJob(life.job, line, position, lanes.place(life.lane, at), state.avoid)


class Held(msgspec.Struct):
    """A job that a runner holds, or is about to. told: JobAcquired was heard; before, the acquisition is under way."""

    tenant: str
    fair_key: str
    told: bool = False


class Gap(msgspec.Struct, frozen=True):
    """Jobs of a line that are not in memory: some of those that became ready at the positions start to last."""

    start: int
    last: int


class Front(msgspec.Struct):
    """The front of a line, oldest first, and what is missing behind it."""

    jobs: list[ReadyJob]
    gap: Gap | None = None


class Short(msgspec.Struct, frozen=True):
    """A line whose front is short: read at most `limit` jobs of it that became ready at position `start` or later."""

    line: Line
    start: int
    limit: int


class Window:
    """Queued jobs by line, running jobs by share. Made empty; `begin` brings what was there before this process."""

    def __init__(self, jobs_max: int = JOBS_MAX, line_jobs_max: int = LINE_JOBS_MAX) -> None:
        self._jobs_max = jobs_max
        self._line_jobs_max = line_jobs_max
        self._fronts: dict[Line, Front] = {}
        self._jobs: dict[UUID, ReadyJob] = {}
        self._held: dict[UUID, Held] = {}
        self._gone: dict[UUID, int] = {}
        self._settled = 0
        self._begun = False
        self.shares = Shares()
        self._lines = Lines(self.shares)

    def __len__(self) -> int:
        return len(self._jobs)

    def begin(self, fronts: Iterable[Sequence[ReadyJob]], held: Iterable[tuple[UUID, str, str]], through: int, line_jobs: int) -> None:
        """What the views held at position `through`: up to `line_jobs` of each line, oldest first; (job, tenant, key) that runs."""
        for jobs in fronts:
            for job in jobs:
                self.add(job)
            if len(jobs) >= line_jobs:
                self._leave_out(jobs[0].line, jobs[-1].position + 1, through)
        for running, tenant, fair_key in held:
            if running not in self._gone and running not in self._held:
                self._hold(running, tenant, fair_key, told=True)
        self._begun = True

    def hear(self, event: Recorded) -> bool:
        """Take in an event. True: a job is back in the queue of which this window knows nothing; look it up and `add` it."""
        if event.position <= self._settled:
            return False
        match event.data:
            case e.JobQueued(tenant=tenant, fair_key=fair_key, lane=lane, labels=labels):
                line = Line(tenant, fair_key, lane, labels)
                self.add(ReadyJob(event.stream, line, event.position, lanes.place(lane, event.meta.at)))
            case e.JobRetried():
                return self._left(event.stream, event.position)
            case e.JobAcquired():
                self._acquired(event.stream, event.position)
            case data if isinstance(data, (*ATTEMPT_ENDS, *JOB_ENDS)):
                self._left(event.stream, event.position)
            case _:
                pass
        return False

    def settled(self, position: int) -> None:
        """The feed has passed this position: everything up to it was heard."""
        self._settled = max(self._settled, position)
        if self._begun:
            self._gone = {job: gone for job, gone in self._gone.items() if gone > position}

    def add(self, job: ReadyJob) -> None:
        """A job is queued. One that was heard to have left the queue since, or is known already, changes nothing."""
        if self._gone.get(job.job, -1) > job.position or job.job in self._jobs or job.job in self._held:
            return
        front = self._front(job.line)
        if front.gap is not None and job.position >= front.gap.start:
            front.gap = Gap(front.gap.start, max(front.gap.last, job.position))
            return
        insort(front.jobs, job, key=_position)
        self._jobs[job.job] = job
        self._lines.changed(job.line.tenant, job.line.fair_key)
        self._shorten(job.line, self._line_limit())
        if len(self._jobs) > self._jobs_max + self._jobs_max // 4:
            for line in self._fronts:  # there are more lines now than when the longest of them were filled
                self._shorten(line, self._line_limit())

    def pairs(self, pollers: Sequence[Poller], coming: Collection[ReadyJob] = ()) -> list[tuple[ReadyJob, Poller]]:
        """Which runner may take which job now. coming: jobs whose commit is under way; they stand at the end of their lines."""
        behind_a_gap = {job.line for job in coming if (front := self._fronts.get(job.line)) is not None and front.gap is not None}
        more = [(job.line, (job,)) for job in coming if job.line not in behind_a_gap]
        return match([self._lines, standing(more, self.shares)] if more else [self._lines], pollers)

    def take(self, job: ReadyJob) -> None:
        """An acquisition of this job is under way: it is not to be had, and counts as running."""
        self._drop(job.job)
        self._hold(job.job, job.line.tenant, job.line.fair_key, told=False)

    def give_back(self, job: UUID) -> None:
        """The acquisition did not come about. The job is not queued by this; `add` it again where it is still to be had."""
        held = self._held.get(job)
        if held is not None and not held.told:
            self._release(job)

    def short(self) -> Short | None:
        """A line that needs more jobs from the view, the shortest first; None: there is none."""
        enough = self._line_limit() // 2
        needy = [(line, front.gap, len(front.jobs)) for line, front in self._fronts.items() if front.gap and len(front.jobs) <= enough]
        if not needy:
            return None
        line, gap, length = min(needy, key=itemgetter(2))
        return Short(line, gap.start, self._line_limit() - length)

    def more(self, asked: Short, jobs: Sequence[ReadyJob], through: int) -> None:
        """What the view answered: `jobs` are all queued jobs of the line from `asked.start` up to the position `through`."""
        front = self._fronts.get(asked.line)
        if front is None or front.gap is None or front.gap.start != asked.start:
            return
        front.gap = None if front.gap.last <= through else Gap(through + 1, front.gap.last)
        for job in jobs:
            self.add(job)
        self._tidy(asked.line)

    def _acquired(self, job: UUID, position: int) -> None:
        if self._gone.get(job, -1) >= position:
            return
        self._gone[job] = position
        ready = self._drop(job)
        if ready is not None:
            self._hold(job, ready.line.tenant, ready.line.fair_key, told=True)
        held = self._held.get(job)
        if held is not None:
            held.told = True
            self.shares.served(held.tenant, held.fair_key, position)
            self._lines.changed(held.tenant, held.fair_key)

    def _left(self, job: UUID, position: int) -> bool:
        """The job's attempt, or the job, is over. False: that is no news."""
        if self._gone.get(job, -1) >= position:
            return False
        self._gone[job] = position
        self._drop(job)
        if job in self._held:
            self._release(job)
        return True

    def _hold(self, job: UUID, tenant: str, fair_key: str, *, told: bool) -> None:
        self._held[job] = Held(tenant, fair_key, told)
        self.shares.begin(tenant, fair_key)
        self._lines.changed(tenant, fair_key)

    def _release(self, job: UUID) -> None:
        held = self._held.pop(job)
        self.shares.end(held.tenant, held.fair_key)
        self._lines.changed(held.tenant, held.fair_key)

    def _drop(self, job: UUID) -> ReadyJob | None:
        ready = self._jobs.pop(job, None)
        if ready is not None:
            jobs = self._fronts[ready.line].jobs
            del jobs[bisect_left(jobs, ready.position, key=_position)]
            self._lines.changed(ready.line.tenant, ready.line.fair_key)
            self._tidy(ready.line)
        return ready

    def _shorten(self, line: Line, limit: int) -> None:
        jobs = self._fronts[line].jobs
        if len(jobs) > limit:
            self._leave_out(line, jobs[limit].position, jobs[-1].position)

    def _leave_out(self, line: Line, start: int, last: int) -> None:
        """Keep of a line only what comes before `start`; what lies from there to `last` has to be read."""
        front = self._front(line)
        cut = bisect_left(front.jobs, start, key=_position)
        for job in front.jobs[cut:]:
            del self._jobs[job.job]
            last = max(last, job.position)
        del front.jobs[cut:]
        self._lines.changed(line.tenant, line.fair_key)
        if front.gap is not None:
            start, last = min(start, front.gap.start), max(last, front.gap.last)
        front.gap = Gap(start, last)

    def _tidy(self, line: Line) -> None:
        front = self._fronts.get(line)
        if front is not None and not front.jobs and front.gap is None:
            del self._fronts[line]
            self._lines.end(line)

    def _front(self, line: Line) -> Front:
        front = self._fronts.get(line)
        if front is None:
            front = self._fronts[line] = Front([])
            self._lines.begin(line, front.jobs)
        return front

    def _line_limit(self) -> int:
        return max(LINE_JOBS_MIN, min(self._line_jobs_max, self._jobs_max // max(1, len(self._fronts))))
