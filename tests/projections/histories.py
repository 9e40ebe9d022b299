"""Histories for the views: made by the real command side with runners that also err, so a view meets what can happen."""

import functools
import random
from collections.abc import Sequence

from domain.envelope import Recorded
from domain.ports import Page
from projections.catalogue import VIEWS
from projections.verify import folded, rows_of
from tests.domain.world import World

SEEDS_MAX = 100


def history(seed: int, steps: int) -> World:
    """A world in which `steps` things have happened; the same seed gives the same log."""
    world = World(random.Random(seed).randrange)
    for _ in range(steps):
        world.step()
    return world


@functools.cache
def seed_of_all_tables(steps: int) -> int:
    """The first seed whose history of so many steps makes a row in every table of every view."""
    for seed in range(1, SEEDS_MAX):
        log = history(seed, steps).log
        made = [rows_of(folded(view.tables, log, ())) for view in VIEWS.values()]
        if all(rows for tables in made for rows in tables.values()):
            return seed
    raise AssertionError(f"of {SEEDS_MAX} histories of {steps} steps none makes a row in every table")


def paged(events: Sequence[Recorded], cuts: Sequence[int]) -> list[Page]:
    """The events as pages that end at these places."""
    ends = sorted({cut for cut in cuts if 0 < cut < len(events)} | {len(events)})
    pages, start, previous = [], 0, 0
    for end in ends:
        part = tuple(events[start:end])
        if part:
            pages.append(Page(previous, part[0].position, part[-1].position, part))
            previous, start = part[-1].position, end
    return pages
