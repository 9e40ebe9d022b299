"""A run's own events, folded with the states that `decide` uses, and where its facts stand in them."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from functools import cached_property
from uuid import UUID

import msgspec

from domain.envelope import Recorded, Unreadable
from domain.ids import event_number, event_root
from domain.job import events as job_events
from domain.job.evolve import ImpossibleHistoryError
from domain.job.evolve import evolve as evolve_job
from domain.job.state import Done, JobState
from domain.run import events as run_events
from domain.run.evolve import evolve as evolve_run
from domain.run.state import Node, Run
from domain.workflow.calls import caller_of, prefix_of

JOB_ENDS = (job_events.JobSucceeded, job_events.JobFailed, job_events.JobTimedOut, job_events.JobSkipped, job_events.JobCancelled)
ATTEMPT_ENDS = (job_events.AttemptLost, job_events.AttemptFailed, job_events.AttemptTimedOut)
GATES = (run_events.RunHeld, run_events.RunAdmitted, run_events.NodeCalled, run_events.CallHeld, run_events.CallAdmitted)


class JobHistory(msgspec.Struct):
    """A job's events so far and the state after them."""

    id: UUID
    events: list[Recorded]
    state: JobState | None = None

    @property
    def spec(self) -> job_events.JobCreated:
        """What the job is."""
        created: job_events.JobCreated = self.events[0].data
        return created

    @property
    def end(self) -> Recorded | None:
        """The event that ended it."""
        return self.events[-1] if isinstance(self.state, Done) and isinstance(self.events[-1].data, JOB_ENDS) else self._end()

    def _end(self) -> Recorded | None:
        """Late writes of a lost runner may follow the end."""
        return next((event for event in reversed(self.events) if isinstance(event.data, JOB_ENDS)), None)

    @property
    def ran(self) -> bool:
        """Whether a runner ever held it."""
        return self.state is not None and self.state.life.attempt > 0

    def last(self, *kinds: type) -> Recorded | None:
        """The last event of these types."""
        return next((event for event in reversed(self.events) if isinstance(event.data, kinds)), None)

    def step_name(self, index: int) -> str:
        """As written, else its id."""
        steps = self.spec.steps
        return (steps[index].name or steps[index].id) if index < len(steps) else f"#{index}"


class History(msgspec.Struct, dict=True):
    """A run with its jobs, complete: what is asked of it for every job is found once.

    events: the run's own; unreadable: positions of events that this version cannot read. latest_needs: by the key of a
    node, see domain.why.times.
    """

    run: Run
    events: list[Recorded]
    jobs: dict[UUID, JobHistory]
    position: int
    unreadable: list[int]
    latest_needs: dict[str, str] = {}

    @cached_property
    def attempt_events(self) -> list[Recorded]:
        """The run's own events of its last run attempt."""
        return [event for event in self.events if getattr(event.data, "run_attempt", 1) == self.run.run_attempt]

    @cached_property
    def planned(self) -> Recorded:
        """The plan of the last run attempt; before it is planned, the trigger."""
        return next((event for event in reversed(self.attempt_events) if isinstance(event.data, run_events.RunPlanned)), self.events[0])

    @cached_property
    def began_at(self) -> datetime:
        """When the last run attempt was planned."""
        return self.planned.meta.at

    @cached_property
    def holds(self) -> dict[UUID, list[Recorded]]:
        """What held each job back, in order."""
        found: dict[UUID, list[Recorded]] = {}
        for event in self.events:
            if isinstance(event.data, run_events.JobHeld):
                found.setdefault(event.data.job, []).append(event)
        return found

    @cached_property
    def gates(self) -> list[Recorded]:
        """What kept nodes of the last run attempt from opening, and what opened them: its group, calls and their groups."""
        return [event for event in self.attempt_events if isinstance(event.data, GATES)]

    @cached_property
    def _by_number(self) -> dict[int, Recorded]:
        root = event_root(self.run.run)
        return {event_number(root, event.version): event for event in self.events}

    def cause_of(self, event: Recorded) -> Recorded | None:
        """The run's own event that caused it, if one did."""
        cause = event.meta.cause
        return self._by_number.get(cause.int) if cause is not None else None

    def below(self, key: str) -> Iterator[Node]:
        """The nodes whose jobs make a node's result: itself, or for a calling one those of its calls."""
        node = self.run.nodes[key]
        if not node.calls:
            yield node
        for prefix in node.calls:
            for child in self.run.nodes_of(prefix):
                yield from self.below(child.planned.key)

    def preceding(self, key: str) -> tuple[str, ...]:
        """The nodes that had to be done before this one could be ready: its needs, or those of what it is part of."""
        while not self.run.nodes[key].planned.needs and prefix_of(key):
            key = caller_of(prefix_of(key))
        return self.run.nodes[key].planned.needs


def history(events: Iterable[Recorded]) -> History | None:
    """Fold the events of one run and its jobs, in position order; None where no run was triggered."""
    run: Run | None = None
    own: list[Recorded] = []
    jobs: dict[int, JobHistory] = {}
    unreadable: list[int] = []
    stopped: set[UUID] = set()
    position = 0
    for event in events:
        position, data = event.position, event.data
        if stopped and event.stream in stopped:
            continue
        if isinstance(data, Unreadable):
            stopped.add(event.stream)
            unreadable.append(position)
            continue
        try:
            if isinstance(data, run_events.RunEvent):
                run = evolve_run(event.stream, run, data, event.meta)
                own.append(event)
            elif isinstance(data, job_events.JobEvent):
                job = jobs.get(event.stream.int) or JobHistory(event.stream, [])
                job.state = evolve_job(event.stream, job.state, data, event.meta)
                job.events.append(event)
                jobs[event.stream.int] = job
        except ImpossibleHistoryError:
            stopped.add(event.stream)
            unreadable.append(position)
    return None if run is None else History(run, own, {job.id: job for job in jobs.values()}, position, unreadable)


def named(names: Sequence[str], shown: int = 3) -> str:
    """`a, b and 4 more`."""
    more = len(names) - shown
    return ", ".join(names[:shown]) + (f" and {more} more" if more > 0 else "")
