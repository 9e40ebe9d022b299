"""Invariant 6, as people count: the runs of a workflow are numbered 1, 2, 3, ..., and a run bears the number that it was given."""

from collections.abc import Iterator
from uuid import UUID

from domain.envelope import Recorded
from domain.invariants.job import Finding
from domain.run.events import RunPlanned, RunTriggered
from domain.workflow_file import RunNumbered

PLANNED_VERSION = 2


class NumberLedger:
    """The numbers of all runs of a log."""

    def __init__(self) -> None:
        self._last: dict[UUID, int] = {}
        self._given: dict[UUID, tuple[UUID, int]] = {}

    def see(self, event: Recorded) -> Iterator[Finding]:
        """The findings about a number that is given, and about the run that gets it."""
        data = event.data
        if isinstance(data, RunNumbered):
            expected = self._last.get(event.stream, 0) + 1
            if data.number != expected:
                yield 6, f"run {data.run} was given number {data.number}; the workflow's next is {expected}"
            self._last[event.stream] = data.number
            self._given[data.run] = event.stream, data.number
        elif isinstance(data, RunTriggered):
            given = self._given.get(event.stream)
            if event.version != 1:
                yield 6, "the run was triggered twice"
            if given is None:
                yield 8, "the run follows from no number of its workflow"
            elif given != (data.workflow, data.number):
                yield 6, f"the run is number {data.number} of workflow {data.workflow}; it was given number {given[1]} of {given[0]}"
        elif isinstance(data, RunPlanned) and data.run_attempt == 1 and event.version != PLANNED_VERSION:
            yield 6, f"the run was planned by event {event.version}; its trigger stands before it, and nothing else"
