"""What a stream can be about. A topic is a cursor: it gives what lies after it, page by page, and says when it is over.

    run:ID        the events of a run and its jobs          cursor: a position     over when the run is complete
    job:ID:logs   a job's log, attempt after attempt        cursor: attempt:line   over when the job is done
    runs          the events of all runs' own streams       cursor: a position     never over
    events        all events of the tenant                  cursor: a position     never over

Every topic reads through the log of one tenant. It must never give a line that was not masked by the runner.
"""

from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

from domain.envelope import Recorded
from domain.run.events import RunEvent, RunTriggered
from gateway.attempts import Attempts, attempts_of, catch_up
from gateway.batches import NOTHING, Batch, EventBatches
from gateway.hub import Follower, Hub
from gateway.log_pages import LogPages
from gateway.problems import problem
from gateway.tenant_log import TenantLog
from projections.run_history import is_complete, run_history

PAGE_EVENTS = 500
HELD_EVENTS_MAX = 1000
"""So many events of a run's history wait with one client that follows it; what comes after them is read again."""


class Topic(Protocol):
    """cursor: after what was given last. over: nothing will ever follow."""

    over: bool

    @property
    def cursor(self) -> str:
        """As a client sends it back."""

    async def open(self) -> None:
        """Before the first page; 404 where there is no such thing."""

    async def page(self) -> Batch | None:
        """What comes next; None: nothing now. An empty batch: there may be more."""


class RunEvents:
    """The events of a run and its jobs, from a position on. after: the position of the last one that was given."""

    def __init__(self, run: UUID, log: TenantLog, hub: Hub, follower: Follower, after: int) -> None:
        self.over = False
        self.after = after
        self._run, self._log, self._hub, self._follower = run, log, hub, follower
        self._read = 0
        self._complete = False
        self._unsent: list[Recorded] = []
        self._more = False

    async def open(self) -> None:
        """What is there already; the store says whether the run is over: this gateway may not have heard of a re-run that it answered."""
        if not await self._log.load_only(self._run, (RunTriggered,)):
            raise problem(404, "run_not_found", f"there is no run {self._run}", hint="GET /api/v1/runs lists them")
        through = max(self._follower.since, await self._log.head())
        self._take_in(await run_history(self._log, self._run, through))
        self._read = through

    async def page(self) -> list[Recorded]:
        """The next events; none where there are none now."""
        if not self._unsent and not self.over:
            buffered = self._follower.take()
            if buffered is None or self._more:
                buffered = await run_history(self._log, self._run, max(self._read, self._hub.position))
            self._take_in(buffered)
        page, self._unsent = self._unsent[:PAGE_EVENTS], self._unsent[PAGE_EVENTS:]
        self.over = self._complete and not self._unsent and not self._more
        if page:
            self.after = page[-1].position
        return page

    def _take_in(self, found: Sequence[Recorded]) -> None:
        news = [event for event in found if event.position > self._read]
        self._complete = is_complete(news, self._run, before=self._complete)
        self._read = max([self._read, *(event.position for event in news)])
        unsent = [event for event in found if event.position > self.after]
        self._unsent, self._more = unsent[:HELD_EVENTS_MAX], len(unsent) > HELD_EVENTS_MAX


class RunTopic:
    """A run with its jobs."""

    def __init__(self, run: UUID, events: RunEvents, batches: EventBatches) -> None:
        self.over = False
        self._run, self._events, self._batches = run, events, batches

    @property
    def cursor(self) -> str:
        """The position of the event that was given last."""
        return str(self._events.after)

    async def open(self) -> None:
        """404 where there is no such run."""
        await self._events.open()

    async def page(self) -> Batch | None:
        """The next events."""
        events = await self._events.page()
        self.over = self._events.over
        return self._batches.of(self._run, events) if events else None


class TenantTopic:
    """All events of a tenant, or those of its runs' own streams. after: None for what happens from now on."""

    def __init__(
        self, tenant: str, log: TenantLog, follower: Follower, after: int | None, batches: EventBatches, *, runs: bool = False
    ) -> None:
        self.over = False
        self._log, self._follower, self._batches, self._runs = log, follower, batches, runs
        self._key = (tenant, runs)
        self._after = follower.since if after is None else after
        self._behind = True

    @property
    def cursor(self) -> str:
        """The position up to which the log was looked at."""
        return str(self._after)

    async def open(self) -> None:
        """A tenant has a log in any case."""

    async def page(self) -> Batch | None:
        """The next events: from the store until its end is reached, then as they are heard of."""
        if not self._behind:
            buffered = self._follower.take()
            if buffered is not None:
                events = [event for event in buffered if event.position > self._after]
                self._after = events[-1].position if events else self._after
                return self._batch(events) if events else None
        found = await self._log.page(self._after, PAGE_EVENTS)
        self._after, self._behind = found.through, found.more
        return self._batch(found.events)

    def _batch(self, events: Sequence[Recorded]) -> Batch:
        return self._batches.of(self._key, [event for event in events if isinstance(event.data, RunEvent)] if self._runs else events)


class LogTopic:
    """A job's log. after: (attempt, line) of the last record that was read; (0, 0): from the last attempt's first line on.

    only: this attempt and no later one, 0: each.
    """

    def __init__(self, job: UUID, log: TenantLog, pages: LogPages, follower: Follower, after: tuple[int, int], *, only: int) -> None:
        self.over = False
        self._job, self._log, self._pages, self._follower = job, log, pages, follower
        self._attempt, self._line = after
        self._only = only
        self._attempts = Attempts()

    @property
    def cursor(self) -> str:
        """The record that was given last."""
        return f"{self._attempt}:{self._line}"

    async def open(self) -> None:
        """Which attempt to begin with."""
        self._attempts = await attempts_of(self._log, self._job)
        self._attempt = self._attempt or self._only or max(self._attempts.last, 1)

    async def page(self) -> Batch | None:
        """The next records."""
        buffered = self._follower.take()
        if buffered is None:
            await catch_up(self._attempts, self._log, self._job)
        else:
            self._attempts.apply(buffered)
        # Said before the lines are read: what an attempt ends with is there when its end is.
        over, done = self._attempts.is_over(self._attempt), self._attempts.done
        records = await self._pages.read(self._job, self._attempt, self._line + 1)
        if records.count:
            self._line += records.count
            return records
        if over and not self._only and self._attempt < self._attempts.last:
            self._attempt, self._line = self._attempt + 1, 0
            return NOTHING
        self.over = done or (over and bool(self._only))
        return None
