"""From an event to runs, over the store's conforming fake."""

from typing import Any
from uuid import UUID

import msgspec
import pytest

from commands.elsewhere import Library
from commands.handle import Handler, Origin
from commands.trigger import RepositoryFacts, TriggerRequest, WorkflowFile, trigger
from domain import ids
from domain.invariants import check
from domain.job import commands as c
from domain.job.state import Done, Queued
from tests.fakes import FixedClock, MemoryBlobs, MemoryEventStore

ORIGIN = Origin("default", "someone", command=ids.command_id("test", "1"))
RUNNER = ids.runner_id("default", "r")
CHAIN = """
on: {push: {branches: [main]}}
jobs:
  build: {runs-on: linux, steps: [{run: make}]}
  test: {needs: build, runs-on: linux, strategy: {matrix: {v: [1, 2]}}, steps: [{run: make test}]}
  late: {needs: test, if: always(), runs-on: linux, steps: [{run: echo}]}
"""


class System:
    """The command side with everything in memory."""

    def __init__(self) -> None:
        self.store = MemoryEventStore()
        self.blobs = MemoryBlobs()
        self.clock = FixedClock()
        self.handler = Handler(self.store, self.clock, self.blobs)

    async def push(self, text: str = CHAIN, key: str = "k1", library: Library | None = None, **changes: Any) -> Any:
        """What comes of a push."""
        request = TriggerRequest(
            repository=RepositoryFacts("acme/pay", "local", "/clone"),
            source_url="/mirror",
            sha="1" * 40,
            ref="refs/heads/main",
            event="push",
            workflows=(WorkflowFile(".github/workflows/ci.yml", text),),
            payload={"pusher": "x"},
        )
        return await trigger(self.handler, self.blobs, msgspec.structs.replace(request, **changes), key, ORIGIN, library=library)

    async def types(self) -> list[str]:
        """The types of all events."""
        page = await self.store.read(0)
        return [event.type for event in page.events] if page else []

    async def perform(self, job: Any, conclusion: str = "success") -> None:
        """A runner takes the job, runs its only step and reports."""
        state = await self.handler.state(job, "job")
        epoch = state.life.epoch + 1
        fence = (job, RUNNER, epoch, epoch, ids.lease_id(job, epoch))
        now = self.clock.now()
        step = c.StepTransition(0, now, conclusion, conclusion, 0, ended_at=now)
        for command in (
            c.AcquireJob(job, RUNNER, "r", ("linux",), 30, 120),
            c.StartJob(*fence),
            c.ReportSteps(*fence, 1, (c.StepTransition(0, now), step)),
            c.ReportAttempt(*fence, conclusion, "", f"{conclusion}{epoch}"),  # type: ignore[arg-type]  # conclusions as the test writes them
        ):
            outcome = await self.handler.handle(command, ORIGIN)
            assert outcome.refusal is None, outcome.refusal

    def count_loads(self) -> list[UUID]:
        """The streams that are looked for in the store from now on."""
        loads: list[UUID] = []
        load = self.store.load

        async def counted(stream: UUID, after: int = 0) -> Any:
            loads.append(stream)
            return await load(stream, after)

        self.store.load = counted  # type: ignore[method-assign]  # the store's own way, with a note of it
        return loads

    async def queued(self) -> dict[str, Any]:
        """The queued jobs by name."""
        page = await self.store.read(0)
        assert page is not None
        created = {event.stream: event.data.name for event in page.events if event.type == "JobCreated"}
        states = {job: await self.handler.state(job, "job") for job in created}
        return {created[job]: job for job, state in states.items() if isinstance(state, Queued)}


async def test_a_push_starts_a_run_and_queues_what_needs_nothing() -> None:
    """Repository, workflow, run and first job: two commits, and the second holds the whole start."""
    system = System()
    outcome = await system.push()
    assert [run.number for run in outcome.runs] == [1]
    assert await system.types() == [
        "RepositoryRegistered",
        "WorkflowRegistered",
        "RunNumbered",
        "RunTriggered",
        "RunPlanned",
        "NodeExpanded",
        "JobCreated",
        "JobQueued",
    ]


async def test_the_same_request_twice_is_one_run() -> None:
    """The second answer equals the first, and nothing is appended."""
    system = System()
    first, second = await system.push(), await system.push()
    assert second.runs[0].replayed
    assert msgspec.structs.replace(second.runs[0], replayed=False) == first.runs[0]
    assert (await system.types()).count("RunTriggered") == 1


async def test_the_same_key_with_another_body_is_refused() -> None:
    """The body's digest is in the run's first event."""
    system = System()
    await system.push()
    outcome = await system.push(sha="2" * 40)
    assert outcome.runs == ()
    assert outcome.refusal.code == "idempotency_key_reused"


async def test_a_broken_file_queues_nothing() -> None:
    """The diagnostics name the place, and the log stays empty."""
    system = System()
    outcome = await system.push("on: push\njobs:\n  a:\n    runs-onn: linux\n    steps: [{run: x}]\n")
    assert outcome.diagnostics[0].line == 4
    assert await system.types() == []


async def test_a_filter_that_does_not_match_says_so() -> None:
    """Nothing runs, and the reason names the filter."""
    outcome = await System().push(ref="refs/heads/other")
    assert outcome.runs == ()
    assert "branches" in outcome.not_triggered[0].reason


async def test_what_follows_from_the_end_of_a_job_is_in_its_commit() -> None:
    """JobSucceeded, what the run makes of it, and the next jobs are one append."""
    system = System()
    await system.push()
    before = len(await system.types())
    await system.perform((await system.queued())["build"])
    types = (await system.types())[before:]
    assert types[types.index("JobSucceeded") :] == [
        "JobSucceeded",
        "JobConcluded",
        "NodeExpanded",
        "JobCreated",
        "JobQueued",
        "JobCreated",
        "JobQueued",
    ]


@pytest.mark.parametrize(("last", "conclusion"), [("success", "success"), ("failure", "failure")])
async def test_a_run_completes_after_its_last_job(last: str, conclusion: str) -> None:
    """The conclusion is the function of the jobs'; always() runs after a failure too; the invariants hold."""
    system = System()
    run = (await system.push()).runs[0].run
    await system.perform((await system.queued())["build"])
    names = await system.queued()
    await system.perform(names["test (1)"])
    await system.perform(names["test (2)"], last)
    await system.perform((await system.queued())["late"])
    state = await system.handler.state(run, "run")
    assert state.conclusion == conclusion
    page = await system.store.read(0)
    assert page is not None
    assert check(page.events) == []


async def test_a_failed_need_skips_what_follows() -> None:
    """The jobs behind it are skipped with the need as the reason, and the run is a failure."""
    system = System()
    run = (await system.push()).runs[0].run
    await system.perform((await system.queued())["build"], "failure")
    state = await system.handler.state(run, "run")
    assert state.nodes["test"].result == "skipped"
    job = await system.handler.state(next(iter(state.nodes["test"].jobs)), "job")
    assert isinstance(job, Done)
    assert job.conclusion == "skipped"
    assert "JobSkipped" in await system.types()


async def test_the_life_of_a_run_of_a_known_workflow_reads_no_stream() -> None:
    """A process that knows the repository asks the store for nothing: each answer comes from what was committed or refused."""
    system = System()
    await system.push(key="k1")
    loads = system.count_loads()
    outcome = await system.push(key="k2")
    run = await system.handler.state(outcome.runs[0].run, "run")
    job = next(iter(run.nodes["build"].jobs))
    await system.perform(job)
    assert isinstance(await system.handler.state(job, "job"), Done)
    assert loads == []


async def test_numbers_count_the_runs_of_a_workflow() -> None:
    """Each run of a workflow has the next number."""
    system = System()
    numbers = [(await system.push(key=f"k{n}")).runs[0].number for n in range(3)]
    assert numbers == [1, 2, 3]
