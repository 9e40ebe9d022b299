"""Time travel: a run at every position, compared byte by byte with a fold that shares nothing with the views."""

import random
from typing import Any

import msgspec
import pytest

from domain.envelope import Recorded
from domain.job import events as e
from domain.run import events as run_events
from domain.runner_pool import RunnerOffline, RunnerOnline, RunnerPaused, RunnerRegistered, RunnerResumed, RunnerRetired
from projections.state import QueueFold, RunState, run_state
from tests.domain.world import World

ENDS = {e.JobSucceeded: "success", e.JobFailed: "failure", e.JobTimedOut: "timed_out", e.JobSkipped: "skipped", e.JobCancelled: "cancelled"}
ATTEMPT_ENDS = (e.AttemptLost, e.AttemptFailed, e.AttemptTimedOut)


class Told:
    """A run as plain dictionaries, changed event by event."""

    def __init__(self) -> None:
        self.run: dict[str, Any] = {}
        self.jobs: dict[str, dict[str, Any]] = {}
        self.leases: dict[str, dict[str, Any]] = {}
        self.queue: dict[str, dict[str, Any]] = {}
        self.runners: dict[str, dict[str, Any]] = {}
        self.logs: dict[str, list[int]] = {}
        self.attempts: list[str] = []

    def see(self, event: Recorded) -> None:
        """One more event."""
        data, stream, at = event.data, str(event.stream), event.meta.at.isoformat()
        match data:
            case run_events.RunTriggered():
                self.run = {"number": data.number, "run_attempt": 1, "conclusion": None}
            case run_events.RunPlanned() | run_events.RunRerunRequested():
                self.run |= {"run_attempt": data.run_attempt, "conclusion": None}
            case run_events.RunCompleted():
                self.run["conclusion"] = data.conclusion
            case e.JobCreated():
                self.jobs[stream] = {"key": data.key, "attempt": 0, "conclusion": None, "runner": None}
            case e.JobQueued():
                self.queue[stream] = {"labels": list(data.labels), "since": at, "until": data.expires_at.isoformat(), "avoid": None}
                self.jobs[stream]["queue"] = self.queue[stream]
            case e.JobRetried():
                avoid = str(data.avoid) if data.avoid else None
                again = {"labels": self.jobs[stream]["queue"]["labels"], "since": at, "until": data.expires_at.isoformat(), "avoid": avoid}
                self.queue[stream] = again
            case e.JobAcquired():
                self.queue.pop(stream)
                self.leases[stream] = {"epoch": data.epoch, "runner": str(data.runner), "until": data.expires_at.isoformat()}
                self.jobs[stream]["attempt"] = data.attempt
                self.attempts.append(f"{stream} {data.attempt}")
            case e.HeartbeatRecorded() | e.LeaseExtended():
                self.leases[stream]["until"] = data.expires_at.isoformat()
            case e.LogSegmentStored():
                self.logs[f"{stream} {data.attempt}"] = [data.segment, data.first_line + data.lines - 1]
            case RunnerRegistered():
                known = self.runners.get(stream, {"online": False, "paused": False, "retired": False})
                self.runners[stream] = {**known, "name": data.name, "slots": data.slots, "retired": False}
            case RunnerOnline() | RunnerOffline():
                self.runners[stream]["online"] = isinstance(data, RunnerOnline)
            case RunnerPaused() | RunnerResumed():
                self.runners[stream]["paused"] = isinstance(data, RunnerPaused)
            case RunnerRetired():
                self.runners[stream] |= {"retired": True, "online": False}
            case _:
                pass
        if isinstance(data, ATTEMPT_ENDS) or type(data) in ENDS:
            self.leases.pop(stream, None)
        if type(data) in ENDS:
            self.queue.pop(stream, None)
            self.jobs[stream]["conclusion"] = ENDS[type(data)]

    def canonical(self) -> bytes:
        """Canonical JSON: keys sorted, no blanks."""
        jobs = {job: {name: facts[name] for name in ("key", "attempt", "conclusion")} for job, facts in self.jobs.items()}
        parts = (self.run, jobs, sorted(self.attempts), self.leases, self.queue, self.runners, self.logs)
        return msgspec.json.encode(parts, order="sorted")


def canonical(state: RunState, created: set[str]) -> bytes:
    """The same of a state. created: the jobs that exist; the others are nodes of the plan."""
    run = state.run
    parts = (
        {} if run is None else {"number": run.number, "run_attempt": run.run_attempt, "conclusion": run.conclusion},
        {
            str(job.id): {"key": job.key, "attempt": job.attempt, "conclusion": job.conclusion}
            for job in state.jobs
            if str(job.id) in created
        },
        sorted(f"{row.job_id} {row.attempt}" for row in state.attempts),
        {str(row.job_id): {"epoch": row.epoch, "runner": str(row.runner), "until": iso(row.expires_at)} for row in state.leases},
        {
            str(row.job_id): {
                "labels": list(row.labels),
                "since": iso(row.since),
                "until": iso(row.expires_at),
                "avoid": str(row.avoid) if row.avoid else None,
            }
            for row in state.queue
        },
        {
            str(row.id): {"name": row.name, "slots": row.slots, "online": row.online, "paused": row.paused, "retired": row.retired}
            for row in state.runners
        },
        {f"{row.job_id} {row.attempt}": [row.segments, row.lines] for row in state.logs},
    )
    return msgspec.json.encode(parts, order="sorted")


def iso(at: Any) -> str | None:
    """An instant as text."""
    return at.isoformat() if at is not None else None


def histories(runs: int, steps: int) -> Any:
    """(events of a run with those of all runners) of generated worlds, until there are so many runs."""
    seed = 0
    while runs > 0:
        seed += 1
        world = World(random.Random(seed).randrange)
        for _ in range(steps):
            world.step()
        for run in world.runs:
            own = [
                event
                for event in world.log
                if event.stream == run or (isinstance(event.data, e.JobEvent) and event.meta.correlation == run)
            ]
            held = {event.data.runner for event in own if isinstance(event.data, e.JobAcquired)}
            yield sorted([*own, *(event for event in world.log if event.stream in held)], key=lambda event: event.position)
            runs -= 1


def compare(runs: int, steps: int) -> int:
    """The number of positions compared; each must be equal."""
    compared = 0
    for events in histories(runs, steps):
        told = Told()
        for number, event in enumerate(events, 1):
            told.see(event)
            state = run_state(events[:number])
            assert not state.parked
            assert canonical(state, set(told.jobs)) == told.canonical(), (number, event)
            compared += 1
    return compared


def test_the_state_at_every_position_is_that_of_an_independent_fold() -> None:
    """Run, jobs, attempts, leases, queue, runners and log offsets of some generated runs, at each of their events."""
    assert compare(runs=25, steps=50) > 200


@pytest.mark.campaign
@pytest.mark.timeout(3600)
def test_a_thousand_runs_at_every_position() -> None:
    """The same of 1,000 runs."""
    assert compare(runs=1000, steps=90) > 10_000


def test_the_queue_at_every_moment_is_that_of_an_independent_fold() -> None:
    """Over all runs of a world, folded page by page."""
    world = World(random.Random(3).randrange)
    for _ in range(120):
        world.step()
    told, fold = Told(), QueueFold()
    for event in world.log:
        told.see(event)
        fold.apply([event])
        state = fold.state()
        assert [str(row.job_id) for row in sorted(state.items, key=lambda row: row.position)] == list(told.queue)
        assert {str(row.id) for row in state.runners} == {runner for runner, facts in told.runners.items() if not facts["retired"]}
