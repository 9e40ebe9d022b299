"""Ready jobs and waiting runners of this gateway, matched on every change of either side.

The window of queued jobs lives in memory: fed by this process's own commits at once, by the feed for others', refilled
from the queue view at start and when it runs low. Nothing here is the truth. A match is a proposal that AcquireJob puts
to the job; the expected version of JobAcquired decides between gateways, and the loser only looks again.

A runner has one poll. A poll that is closed (its client went away, its time is up, the runner opened another) takes no
job: what was acquired for it in that very moment is handed back by `Poll.close`.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from heapq import merge
from typing import Any
from uuid import UUID

import msgspec

from domain.envelope import Recorded
from domain.job import events as e
from domain.job.commands import AcquireJob
from domain.job.state import Acquired
from domain.ports import StoreUnavailable
from domain.scheduling.matching import UNPLACED, Poller, ReadyJob, match

log = logging.getLogger(__name__)

WINDOW_MAX = 20_000
ENDED = (e.JobAcquired, e.JobCancelled, e.JobTimedOut, e.JobFailed, e.JobSucceeded, e.JobSkipped)
"""Events after which a job is not in the queue."""

Take = Callable[[Sequence[tuple[ReadyJob, "Poll"]]], Awaitable[list[Acquired | None]]]
"""Puts AcquireJob to all of these jobs in one append; None for one that refused (another gateway was first, or it was cancelled)."""

Acquire = Callable[[UUID, "Poll"], AcquireJob]
"""The command by which a poll's runner takes a job."""

Labels = Callable[[UUID], Awaitable[frozenset[str]]]
"""The labels that a job asks for."""


class Offer(msgspec.Struct, frozen=True):
    """A queued job of the queue view, for refills."""

    job: UUID
    labels: tuple[str, ...]
    position: int
    avoid: UUID | None = None


class Poll:
    """One runner's open poll. granted: acquired for it and not yet answered; news: set when there is something to say."""

    def __init__(self, runner: UUID, name: str, labels: tuple[str, ...], slots: int, since: int) -> None:
        self.runner = runner
        self.name = name
        self.labels = labels
        self.slots = slots
        self.since = since
        self.granted: list[Acquired] = []
        self.in_flight = 0
        self.news = asyncio.Event()
        self.closed = False
        self.failed: StoreUnavailable | None = None
        self.poller_labels = frozenset(labels)

    @property
    def free(self) -> int:
        """Slots that a further match may use."""
        return 0 if self.closed else self.slots - self.in_flight - len(self.granted)


class ReadyJobs:
    """The window and the polls. All methods belong to one event loop."""

    def __init__(self, take: Take, acquire: Acquire, labels: Labels, refill: Callable[[int], Awaitable[list[Offer]]] | None = None) -> None:
        self._take = take
        self._acquire = acquire
        self._labels = labels
        self._refill = refill
        self._groups: dict[frozenset[str], dict[UUID, ReadyJob]] = {}
        self._known: dict[UUID, frozenset[str]] = {}
        self._gone: dict[UUID, int] = {}
        self._polls: dict[UUID, Poll] = {}
        self._reserved: dict[UUID, Poll] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._planned = False
        self._overflow = False
        self._count = 0
        self._polls_opened = 0

    def __len__(self) -> int:
        return self._count

    @property
    def polls(self) -> dict[UUID, Poll]:
        """The open poll of each runner that has one."""
        return self._polls

    def on_events(self, events: Iterable[Recorded]) -> None:
        """Commits of this process (as they happen) and pages of the feed (in order); each event may come twice."""
        for event in events:
            match event.data:
                case e.JobQueued(labels=labels):
                    self._add(event.stream, frozenset(labels), event.position, None)
                case e.JobRetried(avoid=avoid):
                    self._add_again(event.stream, event.position, avoid)
                case data if isinstance(data, ENDED):
                    self._remove(event.stream, event.position, keep_labels=isinstance(data, e.JobAcquired))
                case _:
                    pass

    def reserve(self, jobs: Sequence[ReadyJob]) -> Sequence[AcquireJob]:
        """See domain.ports.ReadyJobs. What waits already comes before these jobs."""
        acquisitions = []
        for job, poll in self._pairs(jobs):
            if job.position == UNPLACED:
                poll.in_flight += 1
                self._reserved[job.job] = poll
                acquisitions.append(self._acquire(job.job, poll))
        return acquisitions

    def settle(self, job: UUID, state: Acquired | None) -> None:
        """See domain.ports.ReadyJobs."""
        self._granted(self._reserved.pop(job), state)

    def settled(self, position: int) -> None:
        """The feed has passed this position: nothing at or before it will be told again."""
        self._gone = {job: gone for job, gone in self._gone.items() if gone > position}

    async def fill(self) -> None:
        """Take queued jobs from the view, up to the window's bound."""
        if self._refill is None:
            return
        self._overflow = False
        for offer in await self._refill(WINDOW_MAX):
            self._add(offer.job, frozenset(offer.labels), offer.position, offer.avoid)

    def open(self, runner: UUID, name: str, labels: tuple[str, ...], slots: int) -> Poll:
        """A runner waits. An older poll of the same runner ends at once, without a job."""
        older = self._polls.get(runner)
        if older is not None:
            self._end(older)
        self._polls_opened += 1
        poll = Poll(runner, name, labels, slots, self._polls_opened)
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

    def _end(self, poll: Poll) -> None:
        poll.closed = True
        poll.news.set()
        if self._polls.get(poll.runner) is poll:
            del self._polls[poll.runner]

    def _add(self, job: UUID, labels: frozenset[str], position: int, avoid: UUID | None) -> None:
        if self._gone.get(job, -1) > position:
            return
        group = self._groups.setdefault(labels, {})
        if job in group:
            return
        if self._count >= WINDOW_MAX:
            self._overflow = True
            return
        self._known[job] = labels
        group[job] = ReadyJob(job, labels, position, avoid)
        self._count += 1
        self._plan()

    def _add_again(self, job: UUID, position: int, avoid: UUID | None) -> None:
        labels = self._known.get(job)
        if labels is not None:
            self._add(job, labels, position, avoid)
        elif self._gone.get(job, -1) <= position:
            self._spawn(self._look_up(job, position, avoid))

    async def _look_up(self, job: UUID, position: int, avoid: UUID | None) -> None:
        self._add(job, await self._labels(job), position, avoid)

    def _remove(self, job: UUID, position: int, *, keep_labels: bool) -> None:
        self._gone[job] = max(position, self._gone.get(job, 0))
        labels = self._known.get(job)
        if labels is None:
            return
        if not keep_labels:
            del self._known[job]
        self._drop(job, labels)

    def _drop(self, job: UUID, labels: frozenset[str]) -> None:
        group = self._groups.get(labels)
        if group is None or group.pop(job, None) is None:
            return
        self._count -= 1
        if not group:
            del self._groups[labels]

    def _plan(self) -> None:
        """Match once, after all that happens in this turn of the loop."""
        if not self._planned and self._polls:
            self._planned = True
            asyncio.get_running_loop().call_soon(self._match)

    def _match(self) -> None:
        self._planned = False
        pairs = self._pairs(()) if self._count else []
        for job, poll in pairs:
            self._drop(job.job, job.labels)
            poll.in_flight += 1
        if pairs:
            self._spawn(self._take_all(pairs))
        if self._overflow and self._count < WINDOW_MAX // 2:
            self._spawn(self.fill())

    def _pairs(self, coming: Sequence[ReadyJob]) -> list[tuple[ReadyJob, Poll]]:
        """The matches of this moment. coming: jobs whose commit is under way; they stand behind all others."""
        waiting = [Poller(poll.runner, poll.poller_labels, poll.free, poll.since) for poll in self._polls.values() if poll.free > 0]
        everything = frozenset[str]().union(*(poller.labels for poller in waiting))
        # Whole groups that nobody here can take are left out before any of their jobs is looked at.
        queues = [group.values() for labels, group in self._groups.items() if labels <= everything]
        oldest_first = merge(*queues, coming, key=lambda job: job.position)
        return [(job, self._polls[poller.runner]) for job, poller in match(oldest_first, waiting)]

    async def _take_all(self, pairs: Sequence[tuple[ReadyJob, Poll]]) -> None:
        """Put the acquisitions of one match to the jobs: one append, however many there are.

        A job that cannot be decided on (its history is damaged) must not take the others with it: then each is tried alone.
        """
        taken: Sequence[Acquired | None] = [None] * len(pairs)
        try:
            taken = await self._take(pairs)
        except StoreUnavailable as error:
            for job, poll in pairs:
                poll.failed = error
                self._add(job.job, job.labels, job.position, job.avoid)
        except Exception:
            if len(pairs) == 1:
                raise
            for job, poll in pairs:
                poll.in_flight += 1
                self._spawn(self._take_all([(job, poll)]))
        finally:
            for (_, poll), acquired in zip(pairs, taken, strict=True):
                self._granted(poll, acquired)

    def _granted(self, poll: Poll, acquired: Acquired | None) -> None:
        """What was under way for a poll has come about, or (None) has not."""
        if acquired is not None:
            poll.granted.append(acquired)
        poll.in_flight -= 1
        if poll.in_flight == 0:
            poll.news.set()
        self._plan()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._reap)

    def _reap(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("matching failed", exc_info=task.exception())

    async def stop(self) -> None:
        """End all polls without a job and wait for what is under way."""
        for poll in list(self._polls.values()):
            self._end(poll)
        await asyncio.gather(*self._tasks, return_exceptions=True)
