"""What a scrape does: asks the views where nobody has within a second, and writes all figures as one page.

While the database is away the page has everything but the figures of the views, and says so by a counter.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Protocol

from domain.histogram import Histogram, Labels
from domain.ports import Clock, EventStore, StoreUnavailable
from domain.service_levels import ServiceLevels
from gateway.metrics import exposition, samples
from gateway.metrics.exposition import Samples
from gateway.metrics.tallies import Tallies
from projections.figures import Figures, figures
from projections.positions import Connections

log = logging.getLogger(__name__)

CACHE_SECONDS = 1.0


class Log(EventStore, Protocol):
    """A store that counts. commits: how long each commit of this process took; appended: how many events they had."""

    @property
    def commits(self) -> Histogram:
        """See above."""

    @property
    def appended(self) -> int:
        """See above."""


class Metrics:
    """The page of one gateway."""

    def __init__(
        self,
        levels: ServiceLevels,
        tallies: Tallies,
        *,
        store: Log,
        connections: Connections,
        clock: Clock,
        errors: Mapping[Labels, int],
        version: str,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """errors: of this process's parts, by (part, class of the error)."""
        self._levels = levels
        self._tallies = tallies
        self._store = store
        self._connections = connections
        self._clock = clock
        self._errors = errors
        self._version = version
        self._monotonic = monotonic
        self._lock = asyncio.Lock()
        self._page = b""
        self._until = -1.0

    async def page(self) -> bytes:
        """The page, at most a second old. Those who ask at the same time wait for one answer."""
        async with self._lock:
            if self._monotonic() >= self._until:
                self._page = await self._written()
                self._until = self._monotonic() + CACHE_SECONDS
            return self._page

    async def _written(self) -> bytes:
        await asyncio.to_thread(import_module, "prometheus_client")  # the first time it takes as long as a slow request
        views = await self._of_views()
        process = samples.of_process(self._tallies, self._errors, self._store.commits, self._store.appended, self._version)
        return exposition.text({**samples.of_log(self._levels), **process, **views})

    async def _of_views(self) -> Samples:
        try:
            async with self._connections() as connection:
                found = await figures(connection)
            head = await self._store.head()
            behind = await self._behind(found, head)
        except StoreUnavailable as error:
            self._tallies.scrapes_failed += 1
            log.warning("no figures of the views: %s", error)
            return {}
        self._tallies.scrapes_failed += found.queued is None
        return samples.of_views(found, head, behind, self._levels.job_seconds, self._clock.now())

    async def _behind(self, found: Figures, head: int) -> dict[int, float]:
        """By position of a view that does not show all: the age of the first event after it."""
        ages = {}
        for position in {place.position for place in found.places if place.position < head}:
            following = await self._store.read(position, 1)
            if following is not None:
                ages[position] = (self._clock.now() - following.events[0].meta.at).total_seconds()
        return ages
