"""max-parallel and concurrency groups through the core: who enters the queue, who waits, and what the end of one means."""

import asyncio
from typing import Any

import pytest

from commands.handle import Origin
from commands.reactor import Reactor
from domain import ids
from domain.envelope import Recorded
from domain.invariants import check
from domain.job.state import Queued
from domain.run.commands import CancelRun, RerunRun
from tests.commands.test_agents import eventually, running
from tests.commands.test_trigger import ORIGIN, System

NARROW = """
on: push
jobs:
  wide:
    runs-on: linux
    strategy: {max-parallel: 2, FAIL matrix: {v: [1, 2, 3, 4]}}
    steps: [{run: x}]
  after: {needs: wide, runs-on: linux, steps: [{run: x}]}
"""
ALONE = """
on: push
concurrency: OPTIONS
jobs:
  a: {runs-on: linux, steps: [{run: x}]}
  tidy: {needs: a, if: always(), runs-on: linux, steps: [{run: x}]}
"""
JOBS = """
on: push
jobs:
  deploy: {runs-on: linux, concurrency: "Deploy-${{ github.ref_name }}", steps: [{run: x}]}
"""


async def log(system: System) -> tuple[Recorded, ...]:
    page = await system.store.read(0, 10_000)
    assert page is not None
    return page.events


async def sound(system: System) -> None:
    """Every invariant holds."""
    assert check(await log(system)) == []


async def conclusions(system: System) -> dict[int, str | None]:
    """The conclusion of each run by its number."""
    runs = [event.stream for event in await log(system) if event.type == "RunTriggered"]
    states = [await system.handler.state(run, "run") for run in runs]
    return {state.facts.number: state.conclusion for state in states}


async def start(system: System, text: str, number: int) -> Any:
    """Push number `number`; its run."""
    outcome = await system.push(text, key=f"push {number}")
    assert outcome.refusal is None
    return outcome.runs[0].run


async def queued(system: System) -> list[str]:
    """The names of queued jobs with the number of their run."""
    states = {event.stream: await system.handler.state(event.stream, "job") for event in await log(system) if event.type == "JobQueued"}
    specs = [state.life.spec for state in states.values() if isinstance(state, Queued)]
    return sorted(f"{spec.run_number} {spec.name}" for spec in specs)


async def perform(system: System, wanted: str, conclusion: str = "success") -> None:
    """A runner does the queued job `N NAME`."""
    number, _, name = wanted.partition(" ")
    (job,) = [
        event.stream
        for event in await log(system)
        if event.type == "JobCreated" and event.data.run_number == int(number) and event.data.name == name
    ]
    await system.perform(job, conclusion)


async def test_max_parallel_lets_the_next_in_when_one_ends() -> None:
    """Two of four are queued; each end lets one in, in matrix order, and what needs the matrix waits for all."""
    system = System()
    await start(system, NARROW.replace("FAIL", ""), 1)
    assert await queued(system) == ["1 wide (1)", "1 wide (2)"]
    await perform(system, "1 wide (2)")
    assert await queued(system) == ["1 wide (1)", "1 wide (3)"]
    await perform(system, "1 wide (1)")
    await perform(system, "1 wide (3)")
    await perform(system, "1 wide (4)")
    assert await queued(system) == ["1 after"]
    await sound(system)


@pytest.mark.parametrize(("fail_fast", "left"), [("", []), ("fail-fast: false,", ["1 wide (2)", "1 wide (3)"])])
async def test_a_failure_cancels_what_max_parallel_holds_back_unless_told_otherwise(fail_fast: str, left: list[str]) -> None:
    """With fail-fast nobody is let in after a failure, and who was held back is cancelled with the rest."""
    system = System()
    run = await start(system, NARROW.replace("FAIL", fail_fast), 1)
    await perform(system, "1 wide (1)", "failure")
    async with running(Reactor(system.handler, system.store, system.store)):
        await eventually(lambda: _is(system, left))
    assert bool((await system.handler.state(run, "run")).conclusion) == (not left)
    await sound(system)


async def _is(system: System, names: list[str]) -> bool:
    return await queued(system) == names


async def test_runs_of_one_group_run_one_after_the_other() -> None:
    """The second is held until the first is complete; group names count without regard to case."""
    system = System()
    await start(system, ALONE.replace("OPTIONS", "Deploy"), 1)
    await start(system, ALONE.replace("OPTIONS", "deploy"), 2)
    assert await queued(system) == ["1 a"]
    await perform(system, "1 a")
    assert await queued(system) == ["1 tidy"]
    await perform(system, "1 tidy")
    assert await queued(system) == ["2 a"]
    await sound(system)


async def test_a_third_run_replaces_the_second_which_never_starts() -> None:
    """It ends cancelled, its jobs are skipped, even those with always(); the third is next."""
    system = System()
    for number in (1, 2, 3):
        await start(system, ALONE.replace("OPTIONS", "deploy"), number)
    assert await conclusions(system) == {1: None, 2: "cancelled", 3: None}
    skipped = [event.data.reason for event in await log(system) if event.type == "JobSkipped"]
    assert skipped == ["cancelled", "cancelled"]
    await perform(system, "1 a")
    await perform(system, "1 tidy")
    assert await queued(system) == ["3 a"]
    await sound(system)


async def test_queue_max_keeps_them_all_in_order() -> None:
    """Nobody is replaced."""
    system = System()
    for number in (1, 2, 3):
        await start(system, ALONE.replace("OPTIONS", "{group: deploy, queue: max}"), number)
    for number in (1, 2, 3):
        assert await queued(system) == [f"{number} a"]
        await perform(system, f"{number} a")
        await perform(system, f"{number} tidy")
    assert await conclusions(system) == dict.fromkeys((1, 2, 3), "success")
    await sound(system)


async def test_cancel_in_progress_ends_the_first_and_then_starts_the_second() -> None:
    """The queued job of the first is cancelled; its always() job still runs, and only then is the second let in."""
    system = System()
    options = "{group: deploy, cancel-in-progress: \"${{ github.event_name == 'push' }}\"}"
    for number in (1, 2):
        await start(system, ALONE.replace("OPTIONS", options), number)
    async with running(Reactor(system.handler, system.store, system.store)):
        await eventually(lambda: _is(system, ["1 tidy"]))
    await perform(system, "1 tidy")
    assert await conclusions(system) == {1: "cancelled", 2: None}
    assert await queued(system) == ["2 a"]
    await sound(system)


async def test_cancelling_who_waits_leaves_the_group_to_the_others() -> None:
    """The run that waited is complete at once and waits no more."""
    system = System()
    for number in (1, 2):
        run = await start(system, ALONE.replace("OPTIONS", "deploy"), number)
    await system.handler.handle(CancelRun(run, "by hand"), ORIGIN)
    assert await conclusions(system) == {1: None, 2: "cancelled"}
    await perform(system, "1 a")
    await perform(system, "1 tidy")
    await start(system, ALONE.replace("OPTIONS", "deploy"), 3)
    assert await queued(system) == ["3 a"]
    await sound(system)


async def test_a_run_that_runs_again_takes_its_place_in_line_again() -> None:
    """While another holds the group it is held, and let in by the end of that one; its jobs' groups are claimed anew."""
    system = System()
    text = JOBS.replace("on: push", "on: push\nconcurrency: all")
    first = await start(system, text, 1)
    await perform(system, "1 deploy", "failure")
    await start(system, text, 2)
    again = Origin("default", "someone", command=ids.command_id("test", "again"))
    outcome = await system.handler.handle(RerunRun(first, "all"), again)
    assert outcome.refusal is None
    assert (await system.handler.state(first, "run")).held
    assert await queued(system) == ["2 deploy"]
    await perform(system, "2 deploy")
    assert await queued(system) == ["1 deploy"]
    (job,) = (await system.queued()).values()
    await system.perform(job)
    assert await conclusions(system) == {1: "success", 2: "success"}
    await sound(system)


async def test_jobs_of_one_group_take_turns_across_runs() -> None:
    """The group is the job's: both runs are under way, one of the jobs is held, a third replaces it."""
    system = System()
    for number in (1, 2, 3):
        await start(system, JOBS, number)
    assert await queued(system) == ["1 deploy"]
    assert await conclusions(system) == {1: None, 2: "cancelled", 3: None}
    await perform(system, "1 deploy", "failure")
    assert await queued(system) == ["3 deploy"]
    await sound(system)


async def test_a_job_in_the_group_of_its_own_run_is_cancelled_as_a_deadlock() -> None:
    """Otherwise it would wait for ever."""
    system = System()
    await start(system, JOBS.replace("on: push", "on: push\nconcurrency: deploy-main"), 1)
    assert await conclusions(system) == {1: "cancelled"}
    (cancelled,) = [event.data.reason for event in await log(system) if event.type == "JobCancelled"]
    assert cancelled == "deadlock: run 1 itself holds concurrency group Deploy-main"
    await sound(system)


@pytest.mark.parametrize("options", ['"${{ github.head_ref }}"', '{group: x, queue: max, cancel-in-progress: "${{ true }}"}'])
async def test_a_group_that_cannot_be_told_fails_the_run_with_its_reason(options: str) -> None:
    """GitHub refuses both as the run starts; the message says what to write."""
    system = System()
    await start(system, ALONE.replace("OPTIONS", options), 1)
    assert await conclusions(system) == {1: "failure"}
    (first, *_) = [event.data.message for event in await log(system) if event.type == "NodeFailed"]
    assert "WF107" in first
    await sound(system)


def beside(system: System) -> System:
    """Another process on the same store, with nothing cached yet."""
    other = System()
    other.store, other.blobs = system.store, system.blobs
    other.handler = type(system.handler)(system.store, system.clock, system.blobs)
    return other


@pytest.mark.parametrize("gateways", [1, 2])
async def test_triggers_at_once_and_ends_at_once_never_give_a_group_two_holders(gateways: int) -> None:
    """Ten runs come together, through one process or two; while the first two end, four more come; all get their turn."""
    system = System()
    doors = [system, beside(system)][:gateways]
    text = JOBS.replace("on: push", "on: push\nconcurrency: {group: all, queue: max}")
    await asyncio.gather(*(doors[number % gateways].push(text, key=f"push {number}") for number in range(10)))
    for turn in range(14):
        (job,) = (await beside(system).queued()).values()
        more = [doors[number % gateways].push(text, key=f"more {turn} {number}") for number in range(2)] if turn < 2 else []
        await asyncio.gather(doors[turn % gateways].perform(job), *more)
    assert await conclusions(beside(system)) == dict.fromkeys(range(1, 15), "success")
    await sound(system)
