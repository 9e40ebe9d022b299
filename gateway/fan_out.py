"""Tells the parts of a gateway what happened: own commits at once, everybody's from the feed in order.

Ready jobs and leases hear of an event twice and take that well; streams to clients go by the feed alone, because only
the feed has one order.
"""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import cast
from uuid import UUID

from commands.handle import Handler
from domain import runner_pool
from domain.envelope import Recorded
from domain.job import events as e
from domain.ports import Feed, Page
from domain.runner_group import RunnerGroupChanged
from domain.service_levels import ServiceLevels
from gateway.hub import Hub
from gateway.leases import Leases
from gateway.ports import Logs
from gateway.ready_jobs import ReadyJobs
from gateway.view_lag import ViewLag

DUTY = (
    runner_pool.RunnerPaused,
    runner_pool.RunnerResumed,
    runner_pool.RunnerDrained,
    runner_pool.RunnerRetired,
    runner_pool.RunnerRegistered,
)
UNHEARD = frozenset({e.StepStarted, e.StepCompleted, e.HeartbeatRecorded})
"""Most of all events, and none that moves a job, a lease or a runner."""
ATTEMPT_ENDS = (e.AttemptLost, e.AttemptFailed, e.AttemptTimedOut, e.JobSucceeded, e.JobCancelled)


class FanOut:
    """One per gateway."""

    def __init__(
        self,
        handler: Handler,
        feed: Feed,
        *,
        ready: ReadyJobs,
        leases: Leases,
        hub: Hub,
        logs: Logs,
        lag: ViewLag,
        levels: ServiceLevels,
    ) -> None:
        self._handler = handler
        self._feed = feed
        self._ready = ready
        self._leases = leases
        self._hub = hub
        self._logs = logs
        self._lag = lag
        self._levels = levels
        self._told: set[int] = set()

    def on_commit(self, events: tuple[Recorded, ...]) -> None:
        """A commit of this process."""
        if events:
            self._lag.hear(events[-1].position)
        events = tuple([event for event in events if type(event.data) not in UNHEARD])
        self._leases.on_events(events)
        self._ready.on_events(events)
        for event in events:
            if isinstance(event.data, DUTY):
                self._once(event, self._ready.evict)
            elif isinstance(event.data, RunnerGroupChanged):
                self._once(event, self._ready.evict_group)
            elif isinstance(event.data, ATTEMPT_ENDS):
                self._logs.close(event.stream, event.data.attempt)
            elif isinstance(event.data, e.LogSegmentStored):
                self._logs.heard(event.stream, event.data)

    def _once(self, event: Recorded, evict: Callable[[UUID], None]) -> None:
        """What runners may be given changed: once, since by the second time they may have opened the right polls already."""
        if event.position in self._told:
            self._told.discard(event.position)
        else:
            self._told.add(event.position)
            evict(event.stream)

    async def run(self) -> None:
        """Follow the feed from where the hub stands."""
        # Feeds are generators; closing one at once frees its place with the wake-up.
        async with aclosing(cast("AsyncGenerator[Page]", self._feed.pages(self._hub.position))) as pages:
            async for page in pages:
                self._handler.hear(page.events)  # first: what follows looks at the states of these streams
                self.on_commit(page.events)
                self._told = {position for position in self._told if position > page.last}
                self._hub.on_page(page)
                self._levels.hear(page.events)
                self._ready.settled(page.last)
                self._leases.settled(page.last)
