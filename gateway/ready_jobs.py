"""Ready jobs and waiting runners of this gateway, matched on every change of either side.

Which job is next is decided by `domain.scheduling`; here are the polls, and the acquisitions that are under way. Nothing
here is the truth. A match is a proposal that AcquireJob puts to the job; the expected version of JobAcquired decides
between gateways, and the loser only looks again.

A runner has one poll. A poll that is closed (its client went away, its time is up, the runner opened another) takes no
job: what was acquired for it in that very moment is handed back by `Poll.close`.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from typing import Any, NamedTuple, Protocol
from uuid import UUID

from commands.handle import Outcome
from domain.envelope import Recorded
from domain.job.commands import AcquireJob
from domain.job.state import Acquired, JobState, Queued, Running
from domain.ports import StoreUnavailable
from domain.scheduling.line import UNPLACED, ReadyJob
from domain.scheduling.matching import Poller
from domain.scheduling.window import Short, Window, ready

log = logging.getLogger(__name__)

FIRST_LINE_JOBS = 4
"""How many jobs of each line are read at start; of a line that is served more is read at once."""
BEHIND_SECONDS = 0.05
AWAY_SECONDS = 1.0
"""Before the queue view is asked again: when it has not come so far yet; when it cannot be read."""

Take = Callable[[Sequence[tuple[ReadyJob, "Poll"]]], Awaitable[Sequence[Outcome]]]
"""Puts AcquireJob to all of these jobs in one append."""

Acquire = Callable[[UUID, "Poll"], AcquireJob]
"""The command by which a poll's runner takes a job."""

Look = Callable[[UUID], Awaitable[JobState | None]]
"""The state of a job."""


class QueueView(Protocol):
    """What is read from the views; each answer comes with the position up to which it is whole."""

    async def first(self, line_jobs: int) -> tuple[list[list[ReadyJob]], list[tuple[UUID, str, str]], int]:
        """Up to line_jobs of each line, oldest first; the jobs that run as (job, tenant, fair-share key)."""

    async def more(self, short: Short) -> tuple[list[ReadyJob], int]:
        """The next jobs of a line."""


class Access(NamedTuple):
    """Whose jobs a runner takes: of which tenant, and which repositories (their fair-share keys; None: all). group: who says so."""

    tenant: str
    group: UUID
    repositories: frozenset[str] | None


class Poll:
    """One runner's open poll. granted: acquired for it and not yet answered; news: set when there is something to say."""

    def __init__(self, runner: UUID, name: str, labels: tuple[str, ...], slots: int, *, since: int, access: Access) -> None:
        self.runner = runner
        self.name = name
        self.labels = labels
        self.slots = slots
        self.since = since
        self.access = access
        self.tenant = access.tenant
        self.granted: list[Acquired] = []
        self.in_flight = 0
        self.news = asyncio.Event()
        self.closed = False
        self.failed: StoreUnavailable | None = None
        self._labels = frozenset(labels)

    @property
    def free(self) -> int:
        """Slots that a further match may use."""
        return 0 if self.closed else self.slots - self.in_flight - len(self.granted)

    def poller(self) -> Poller:
        """As a match sees it."""
        return Poller(self.runner, self._labels, self.free, self.since, self.access.tenant, self.access.repositories)


class ReadyJobs:
    """The window and the polls; the port domain.ports.ReadyJobs. All methods belong to one event loop."""

    def __init__(self, take: Take, acquire: Acquire, look: Look, view: QueueView) -> None:
        self._take = take
        self._acquire = acquire
        self._look = look
        self._view = view
        self._window = Window()
        self._polls: dict[UUID, Poll] = {}
        self._reserved: dict[UUID, Poll] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._planned = False
        self._refill: asyncio.Task[None] | None = None
        self._polls_opened = 0

    def __len__(self) -> int:
        return len(self._window)

    @property
    def polls(self) -> dict[UUID, Poll]:
        """The open poll of each runner that has one."""
        return self._polls

    def on_events(self, events: Iterable[Recorded]) -> None:
        """Commits of this process (as they happen) and pages of the feed (in order); each event may come twice."""
        for event in events:
            if self._window.hear(event):
                self._spawn(self._look_up(event))
        self._plan()

    def settled(self, position: int) -> None:
        """The feed has passed this position: nothing at or before it is news any more."""
        self._window.settled(position)

    async def begin(self) -> None:
        """Take over what the views knew when this process started."""
        self._window.begin(*await self._view.first(FIRST_LINE_JOBS), FIRST_LINE_JOBS)
        self._plan()

    def open(self, runner: UUID, name: str, labels: tuple[str, ...], slots: int, access: Access) -> Poll:
        """A runner waits. An older poll of the same runner ends at once, without a job."""
        older = self._polls.get(runner)
        if older is not None:
            self._end(older)
        self._polls_opened += 1
        poll = Poll(runner, name, labels, slots, since=self._polls_opened, access=access)
        self._polls[runner] = poll
        self._plan()
        return poll

    async def close(self, poll: Poll) -> list[Acquired]:
        """The poll ends. Waits for what is being acquired for it; returns all that was acquired."""
        self._end(poll)
        while poll.in_flight:
            poll.news.clear()
            await poll.news.wait()
        return poll.granted

    def evict(self, runner: UUID) -> None:
        """End a runner's poll without a job, because what it may be given has changed; it polls again."""
        poll = self._polls.get(runner)
        if poll is not None:
            self._end(poll)

    def evict_group(self, group: UUID) -> None:
        """End the polls of a group's runners, because it serves others now."""
        for poll in [poll for poll in self._polls.values() if poll.access.group == group]:
            self._end(poll)

    def _end(self, poll: Poll) -> None:
        poll.closed = True
        poll.news.set()
        if self._polls.get(poll.runner) is poll:
            del self._polls[poll.runner]

    def reserve(self, jobs: Sequence[ReadyJob]) -> Sequence[AcquireJob]:
        """See the port. What waits already comes before these jobs."""
        reserved = [(job, poll) for job, poll in self._pairs(jobs) if job.position == UNPLACED]
        for job, poll in reserved:
            self._window.take(job)
            poll.in_flight += 1
            self._reserved[job.job] = poll
        return [self._acquire(job.job, poll) for job, poll in reserved]

    def settle(self, job: UUID, state: Acquired | None) -> None:
        """See the port."""
        if state is None:
            self._window.give_back(job)
        self._granted(self._reserved.pop(job), state)

    def _plan(self) -> None:
        """Match once, after all that happens in this turn of the loop."""
        if not self._planned and self._polls and len(self._window):
            self._planned = True
            asyncio.get_running_loop().call_soon(self._match)

    def _match(self) -> None:
        self._planned = False
        pairs = self._pairs(())
        for job, poll in pairs:
            self._window.take(job)
            poll.in_flight += 1
        if pairs:
            self._spawn(self._take_all(pairs))
        if self._refill is None and self._window.short() is not None:
            self._refill = self._spawn(self._read_on())

    def _pairs(self, coming: Sequence[ReadyJob]) -> list[tuple[ReadyJob, Poll]]:
        """The matches of this moment; coming: see Window.pairs."""
        waiting = [poll.poller() for poll in self._polls.values() if poll.free > 0]
        if not waiting:
            return []
        return [(job, self._polls[poller.runner]) for job, poller in self._window.pairs(waiting, coming)]

    async def _take_all(self, pairs: Sequence[tuple[ReadyJob, Poll]]) -> None:
        """Put the acquisitions of one match to the jobs: one append, however many there are.

        A job that cannot be decided on (its history is damaged) must not take the others with it: then each is tried alone.
        """
        taken: list[Acquired | None] = [None] * len(pairs)
        try:
            outcomes = await self._take(pairs)
            taken = [self._taken(job, outcome) for (job, _), outcome in zip(pairs, outcomes, strict=True)]
        except StoreUnavailable as error:
            for job, poll in pairs:
                poll.failed = error
                self._window.give_back(job.job)
                self._window.add(job)
        except Exception:
            for job, _ in pairs:
                self._window.give_back(job.job)
            if len(pairs) == 1:
                raise
            for job, poll in pairs:
                self._window.take(job)
                poll.in_flight += 1
                self._spawn(self._take_all([(job, poll)]))
        finally:
            for (_, poll), acquired in zip(pairs, taken, strict=True):
                self._granted(poll, acquired)

    def _taken(self, job: ReadyJob, outcome: Outcome) -> Acquired | None:
        """What the job said; None: it was not to be had."""
        if outcome.refusal is None and isinstance(outcome.state, Acquired):
            return outcome.state
        if not isinstance(outcome.state, Acquired | Running):
            self._window.give_back(job.job)
        return None

    def _granted(self, poll: Poll, acquired: Acquired | None) -> None:
        """What was under way for a poll has come about, or (None) has not."""
        if acquired is not None:
            poll.granted.append(acquired)
        poll.in_flight -= 1
        if poll.in_flight == 0:
            poll.news.set()
        self._plan()

    async def _look_up(self, event: Recorded) -> None:
        """A job came back to the queue by this event."""
        state = await self._look(event.stream)
        if isinstance(state, Queued):
            self._window.add(ready(state, event.position, event.meta.at))
            self._plan()

    async def _read_on(self) -> None:
        """Read the next jobs of the lines whose front is short, until there is none."""
        try:
            while (short := self._window.short()) is not None:
                try:
                    jobs, through = await self._view.more(short)
                except StoreUnavailable as error:
                    log.warning("more of the queue is read later: %s", error)
                    await asyncio.sleep(AWAY_SECONDS)
                    continue
                self._window.more(short, jobs, through)
                self._plan()
                if through < short.start:
                    await asyncio.sleep(BEHIND_SECONDS)
        finally:
            self._refill = None

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._reap)
        return task

    def _reap(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("matching failed", exc_info=task.exception())

    async def stop(self) -> None:
        """End all polls without a job and wait for what is under way."""
        for poll in list(self._polls.values()):
            self._end(poll)
        if self._refill is not None:
            self._refill.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
