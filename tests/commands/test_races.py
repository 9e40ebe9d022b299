"""10,000 races of cancel, completion, expiry, acquisition and re-run between processes: one terminal event each.

Every racer is a process of its own: the real command side with a cache that may be old, on one store. Before each look at
the store and each append another racer may go on; which one, the seed says. So a race is repeated by its number.
"""

import random
from collections import Counter
from collections.abc import Coroutine, Generator, Sequence
from typing import Any
from uuid import UUID

import msgspec
import pytest

from commands.handle import Handler, Origin
from domain import ids, reactions
from domain.envelope import Recorded
from domain.invariants import check
from domain.job import commands as c
from domain.ports import StreamWrite, Tracking, VersionConflict
from domain.run import commands as r
from domain.run.state import Run
from domain.workflow import reader
from tests.domain.machine import push
from tests.fakes import FixedClock, MemoryBlobs, MemoryEventStore

RACES = 10_000
SHORT = 1_000
"""How many of them `make test` plays; `make campaign` plays the others."""
PER_STORE = 1000
RUNNER, OTHER = ids.runner_id("default", "r1"), ids.runner_id("default", "r2")
OUTSIDE = Origin("default", "someone", command=ids.command_id("test", "1"))
SYSTEM = Origin("default", "system")
TERMINAL = ("JobSucceeded", "JobFailed", "JobTimedOut", "JobSkipped", "JobCancelled")
WORKFLOW = """
on: push
jobs:
  a:
    runs-on: linux
    timeout-minutes: 1
    cancel-timeout-minutes: 1
    env: {LEDGERMILL_RETRY: "max=2 on=lost"}
    steps: [{run: a}]
  b: {needs: a, if: always(), runs-on: linux, steps: [{run: a}]}
  c: {needs: a, runs-on: linux, steps: [{run: a}]}
"""


class Turn:
    """A place where another racer may go on."""

    def __await__(self) -> Generator[None, None, None]:
        yield


class RacingStore(MemoryEventStore):
    """The store of all racers; between a decision and its append lies a turn, as there lies a network."""

    def __init__(self) -> None:
        super().__init__()
        self.conflicts = 0

    async def append(self, writes: Sequence[StreamWrite], tracking: Tracking | None = None) -> tuple[Recorded, ...]:
        await Turn()
        try:
            return await super().append(writes, tracking)
        except VersionConflict:
            self.conflicts += 1
            raise

    async def load(self, stream: UUID, after: int = 0) -> tuple[Recorded, ...]:
        await Turn()
        return await super().load(stream, after)


class Track:
    """One store on which races are run one after the other."""

    def __init__(self) -> None:
        self.store, self.blobs, self.clock = RacingStore(), MemoryBlobs(), FixedClock()
        self.processes = [self.process() for _ in range(6)]
        self.log: list[Recorded] = []
        self.reached: Counter[str] = Counter()
        workflow, problems = reader.read("ci.yml", WORKFLOW)
        assert workflow is not None, problems
        self.workflow = workflow
        self.plan = self.drive(self.blobs.put(msgspec.json.encode(workflow)))
        self.payload = self.drive(self.blobs.put(b"{}"))
        for process in self.processes:
            process.subscribe(self.log.extend)

    def process(self) -> Handler:
        return Handler(self.store, self.clock, self.blobs)

    def drive(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run one coroutine alone to its end."""
        while True:
            try:
                work.send(None)
            except StopIteration as done:
                return done.value

    def send(self, command: Any, origin: Origin = OUTSIDE, process: int = 0) -> Any:
        return self.drive(self.processes[process].handle(command, origin))

    def state(self, stream: UUID, kind: str = "job") -> Any:
        return self.drive(self.process().state(stream, kind))

    def race(self, work: list[Coroutine[Any, Any, Any]], rng: random.Random) -> None:
        """Let them all go on in an order that the seed gives, until each has come to its end."""
        while work:
            racer = rng.choice(work)
            try:
                racer.send(None)
            except StopIteration:
                work.remove(racer)

    async def react(self, process: Handler, start: int) -> None:
        """A reactor: carries out what the events from `start` on ask for."""
        while start < len(self.log):
            event = self.log[start]
            start += 1
            if isinstance(event.data, reactions.AFTERWARDS):
                commands = reactions.afterwards(await process.state(event.stream, "run"), event.data)
                origin = Origin("default", "system", cause=event.id, correlation=event.meta.correlation)
                await process.handle_all(commands, origin)

    def trigger(self, key: str) -> UUID:
        """A run whose first job is queued."""
        trigger = push(key, self.workflow, self.plan, self.payload)
        self.send(trigger)
        return trigger.run


def fence(job: UUID, epoch: int, runner: UUID = RUNNER) -> tuple[Any, ...]:
    return (job, runner, epoch, epoch, ids.lease_id(job, epoch))


def bring(track: Track, job: UUID, to: str) -> None:
    """Bring a queued job to the state in which the race begins."""
    if to == "queued":
        return
    track.send(c.AcquireJob(job, RUNNER, "r1", ("linux",), 30, 120))
    if to == "acquired":
        return
    track.send(c.StartJob(*fence(job, 1)))
    at = track.clock.now()
    steps = (c.StepTransition(0, at), c.StepTransition(0, at, "success", "success", 0, ended_at=at))
    track.send(c.ReportSteps(*fence(job, 1), 1, steps))
    if to == "backing off":
        track.send(c.ReportLost(job, 1, "runner_restarted"))
    if to == "done":
        track.send(c.ReportAttempt(*fence(job, 1), "success", "", "before"))


def racers(run: UUID, job: UUID, rng: random.Random) -> list[tuple[Any, Origin]]:
    """What happens at the same time: two to five of these, some of them twice."""
    again = Origin("default", "someone", command=ids.command_id("rerun", f"{run}{rng.randrange(2)}"))
    choice = [
        (r.CancelRun(run, "by hand"), OUTSIDE),
        (r.CancelRun(run, "at once", force=True), OUTSIDE),
        (c.CancelJob(job, "by hand"), OUTSIDE),
        (c.CancelJob(job, "at once", force=True), OUTSIDE),
        (c.ReportAttempt(*fence(job, 1), "success", "", "s"), SYSTEM),
        (c.ReportAttempt(*fence(job, 1), "failure", "", "f"), SYSTEM),
        (c.ReportAttempt(*fence(job, 1), "cancelled", "", "c"), SYSTEM),
        (c.AcquireJob(job, RUNNER, "r1", ("linux",), 30, 120), SYSTEM),
        (c.AcquireJob(job, OTHER, "r2", ("linux",), 30, 120), SYSTEM),
        (c.RecordHeartbeat(*fence(job, 1), 30), SYSTEM),
        (c.ReportLost(job, 1, "runner_restarted"), SYSTEM),
        *((c.Expire(job, kind), SYSTEM) for kind in ("lease", "accept", "job", "queue", "retry", "cancel")),  # type: ignore[arg-type]  # each of the kinds, by name
        (r.RerunRun(run, "all"), again),
        (r.RerunRun(run, "failed"), again),
        (r.RerunRun(run, "job", "a"), again),
    ]
    return [rng.choice(choice) for _ in range(rng.randint(2, 5))]


def finish(track: Track, run: UUID, started: int, rng: random.Random) -> None:
    """Whatever the race left open comes to its end, and only then the log is judged."""
    track.drive(track.react(track.processes[0], started))
    while (state := track.state(run, "run")).conclusion is None:
        known = len(track.log)
        for job in state.live_jobs():
            track.send(c.CancelJob(job, "the race is over", force=True), process=rng.randrange(2))
        track.drive(track.react(track.processes[1], known))


def judge(track: Track, run: UUID, events: Sequence[Recorded], seed: int) -> None:
    """One terminal event in each job's stream, and nothing but evidence behind it; one end of each run attempt."""
    by_stream: dict[UUID, list[Recorded]] = {}
    for event in events:
        by_stream.setdefault(event.stream, []).append(event)
    for stream, its in by_stream.items():
        kinds = [event.type for event in its if event.type != "StaleWriteRejected"]
        if kinds[0] == "JobCreated":
            ends = [kind for kind in kinds if kind in TERMINAL]
            assert len(ends) == 1, f"seed {seed}: job {stream} ended {ends}"
            assert kinds[-1] == ends[0], f"seed {seed}: {kinds[-1]} after the end of job {stream}"
            track.reached[ends[0]] += 1
    ended = [event.data.run_attempt for event in by_stream[run] if event.type == "RunCompleted"]
    state: Run = track.state(run, "run")
    assert ended == list(range(1, state.run_attempt + 1)), f"seed {seed}: run attempts {ended} of {state.run_attempt} ended"
    track.reached["re-run"] += state.run_attempt > 1


def one_race(track: Track, seed: int) -> None:
    rng = random.Random(seed)
    started = len(track.log)
    run = track.trigger(f"race {seed}")
    job = ids.job_id(run, 1, "a", "")
    bring(track, job, rng.choice(("queued", "acquired", "running", "running", "backing off", "done")))
    if rng.randrange(5) == 0:
        known = len(track.log)
        track.send(r.CancelRun(run, "earlier"))
        track.drive(track.react(track.processes[0], known))
        if rng.randrange(2) == 0:
            finish(track, run, len(track.log), rng)
            job = ids.job_id(run, rng.randint(1, 2), "a", "")
    track.clock.advance(rng.choice((0, 0, 5, 31, 80, 130, 90_000)))
    known = len(track.log)
    work = [process.handle(*racer) for process, racer in zip(track.processes, racers(run, job, rng), strict=False)]
    track.race([*work, track.react(track.processes[5], known)], rng)
    finish(track, run, known, rng)
    judge(track, run, track.log[started:], seed)


@pytest.mark.parametrize(
    "first",
    [pytest.param(first, marks=[pytest.mark.campaign] if first >= SHORT else []) for first in range(0, RACES, PER_STORE)],
    ids=lambda first: f"seeds {first} to {first + PER_STORE - 1}",
)
def test_every_race_ends_in_one_terminal_event(first: int, capsys: pytest.CaptureFixture[str]) -> None:
    """1,000 races on one store; the checker has nothing to say about the log, and each kind of end was reached."""
    track = Track()
    for seed in range(first, first + PER_STORE):
        one_race(track, seed)
    assert check(sorted(track.log, key=lambda event: event.position)) == []
    reached = {end: track.reached[end] for end in ("JobSucceeded", "JobFailed", "JobTimedOut", "JobCancelled", "re-run")}
    reached["lost race for an append"] = track.store.conflicts
    with capsys.disabled():
        print(f"seeds {first} to {first + PER_STORE - 1}: {reached}")  # noqa: T201 - the seeds are the point
    assert min(reached.values()) >= 10
