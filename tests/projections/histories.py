"""Histories for the views: made by the real command side with runners that also err, so a view meets what can happen."""

import random
from collections.abc import Sequence

from domain.envelope import Recorded
from domain.ports import Page
from tests.domain.world import World


def history(seed: int, steps: int) -> World:
    """A world in which `steps` things have happened; the same seed gives the same log."""
    world = World(random.Random(seed).randrange)
    _a = world.clock.advance
    for _ in range(steps):
        world.step()
    return world


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
