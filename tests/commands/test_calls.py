"""Called workflows through the core: their jobs join the run, get typed inputs, and give outputs back."""

from typing import Any

import msgspec
import pytest

from commands.reactor import Reactor
from commands.sources import SourceLoader
from commands.trigger import WorkflowFile
from domain import ids
from domain.job import commands as c
from domain.job.state import Acquired
from gateway.job_message import JobMessages
from gateway.job_tokens import JobTokens
from tests.commands.test_admission import conclusions, log, perform, queued, sound
from tests.commands.test_agents import eventually, running
from tests.commands.test_trigger import ORIGIN, RUNNER, System

CALLER = """
on: push
name: Caller
env: {OF: caller}
jobs:
  lint: {runs-on: linux, steps: [{run: x}]}
  build:
    needs: lint
    STRATEGY
    uses: ./.github/workflows/build.yml
    with: {word: "${{ needs.lint.result }}", count: 3}
  report:
    needs: build
    if: always() && needs.build.outputs.made != 'nothing'
    name: report ${{ needs.build.result }} ${{ needs.build.outputs.made }}
    runs-on: linux
    steps: [{run: x}]
"""
CALLED = """
on:
  workflow_call:
    inputs:
      word: {type: string, required: true}
      count: {type: number}
      fast: {type: boolean, default: true}
      place: {type: string, default: "${{ github.ref_name }}"}
    outputs:
      made: {value: "${{ jobs.make.outputs.made }}/${{ jobs.pack.result }}"}
env: {OF: called}
jobs:
  make: {runs-on: linux, outputs: {made: "1"}, steps: [{run: x}]}
  pack:
    needs: make
    name: pack ${{ inputs.word }} ${{ inputs.count + 0 == 3 }} ${{ inputs.fast }} ${{ inputs.place }}
    runs-on: linux
    steps: [{run: x}]
"""
CALLED = CALLED.replace("inputs.count + 0 == 3", "inputs.count == 3")


async def start(system: System, caller: str = CALLER.replace("STRATEGY", ""), called: str = CALLED, **files: str) -> Any:
    """Push a workflow that calls `build.yml`; the outcome."""
    texts = {"build": called, **files}
    return await system.push(caller, called=tuple(WorkflowFile(f".github/workflows/{name}.yml", text) for name, text in texts.items()))


async def does(system: System, name: str, conclusion: str = "success", **outputs: str) -> None:
    """A runner does the queued job of this name and reports outputs."""
    job = (await system.queued())[name]
    fence = (job, RUNNER, 1, 1, ids.lease_id(job, 1))
    now = system.clock.now()
    step = c.StepTransition(0, now, conclusion, conclusion, 0, ended_at=now)
    for command in (
        c.AcquireJob(job, RUNNER, "r", ("linux",), 30, 120),
        c.StartJob(*fence),
        c.ReportSteps(*fence, 1, (c.StepTransition(0, now), step)),
        c.ReportAttempt(*fence, conclusion, "", f"{conclusion}{job}", outputs),  # type: ignore[arg-type]  # conclusions and fences as the test writes them
    ):
        assert (await system.handler.handle(command, ORIGIN)).refusal is None


async def test_the_jobs_of_a_called_workflow_join_the_run() -> None:
    """They start when the calling job's needs are done, are named as on GitHub, and what needs the call waits for all."""
    system = System()
    assert (await start(system)).diagnostics == ()
    await perform(system, "1 lint")
    assert await queued(system) == ["1 build / make"]
    await does(system, "build / make", made="a wheel")
    assert await queued(system) == ["1 build / pack success true true main"]
    await does(system, "build / pack success true true main")
    assert await queued(system) == ["1 report success a wheel/success"]
    await does(system, "report success a wheel/success")
    assert await conclusions(system) == {1: "success"}
    await sound(system)


async def test_a_runner_is_told_the_called_definition_with_its_own_contexts() -> None:
    """Inputs and env are those of the called workflow, github that of the caller, needs by local ids."""
    system = System()
    await start(system)
    await perform(system, "1 lint")
    await does(system, "build / make", made="a wheel")
    (job,) = (await system.queued()).values()
    await system.handler.handle(c.AcquireJob(job, RUNNER, "r", ("linux",), 30, 120), ORIGIN)
    state = await system.handler.state(job, "job")
    assert isinstance(state, Acquired)
    message = await JobMessages(system.handler, SourceLoader(system.blobs), JobTokens("key")).of(state)
    assert (message.key, message.definition.key) == ("build/pack", "pack")
    assert message.workflow_env == {"OF": "called"}
    assert message.inputs == {"word": "success", "count": 3, "fast": True, "place": "main"}
    assert message.needs == {"make": {"result": "success", "outputs": {"made": "a wheel"}}}
    assert message.github["workflow"] == "Caller"


async def test_a_failure_within_is_the_result_of_the_call() -> None:
    """What is after it in the called workflow is skipped; who needs the call sees failure."""
    system = System()
    await start(system)
    await perform(system, "1 lint")
    await does(system, "build / make", "failure")
    assert await queued(system) == ["1 report failure /skipped"]
    await sound(system)


async def test_a_call_whose_condition_is_false_is_one_skipped_job() -> None:
    """Nothing of the called workflow is opened."""
    system = System()
    await start(system, CALLER.replace("STRATEGY", "if: github.ref == 'refs/heads/other'"))
    await perform(system, "1 lint")
    skipped = [event.data.key for event in await log(system) if event.type == "JobCreated"]
    assert skipped == ["lint", "build", "report"]
    assert await queued(system) == ["1 report skipped"]
    await sound(system)


MATRIX = "strategy: {max-parallel: 2, FAIL matrix: {v: [1, 2, 3]}}"


async def test_a_matrix_over_a_call_makes_a_call_of_each_and_keeps_to_max_parallel() -> None:
    """Two calls at once, the third when one is over with all its jobs."""
    system = System()
    await start(system, CALLER.replace("STRATEGY", MATRIX.replace("FAIL", "")))
    await perform(system, "1 lint")
    assert await queued(system) == ["1 build (1) / make", "1 build (2) / make"]
    await does(system, "build (2) / make", made="two")
    assert await queued(system) == ["1 build (1) / make", "1 build (2) / pack success true true main"]
    await does(system, "build (2) / pack success true true main")
    assert await queued(system) == ["1 build (1) / make", "1 build (3) / make"]
    await sound(system)


@pytest.mark.parametrize(
    ("fail_fast", "left"),
    [("", ["1 report failure /skipped"]), ("fail-fast: false,", ["1 build (2) / make", "1 build (3) / make"])],
)
async def test_a_failed_call_cancels_the_others_of_its_matrix_unless_told_otherwise(fail_fast: str, left: list[str]) -> None:
    """Jobs under way are cancelled, and calls that were not under way yet are skipped."""
    system = System()
    await start(system, CALLER.replace("STRATEGY", MATRIX.replace("FAIL", fail_fast)))
    await perform(system, "1 lint")
    await does(system, "build (1) / make", "failure")

    async def settled() -> bool:
        return await queued(system) == left

    async with running(Reactor(system.handler, system.store, system.store)):
        await eventually(settled)
    await sound(system)


async def test_calls_within_calls_and_groups_of_called_jobs() -> None:
    """Names add up, outputs come back through each level, and a called job takes its turn in a concurrency group."""
    system = System()
    middle = """
on: {workflow_call: {inputs: {word: {type: string}, count: {type: number}}, outputs: {made: {value: "<${{ jobs.inner.outputs.made }}>"}}}}
jobs:
  inner: {strategy: {matrix: {z: [x, y]}}, uses: $/.github/workflows/deep.yml, with: {z: "${{ inputs.word }}${{ matrix.z }}"}}
"""
    deep = """
on: {workflow_call: {inputs: {z: {type: string}}, outputs: {made: {value: "${{ jobs.last.outputs.made }}"}}}}
jobs: {last: {runs-on: linux, concurrency: one, name: "last ${{ inputs.z }}", outputs: {made: "1"}, steps: [{run: x}]}}
"""
    assert (await start(system, called=middle, deep=deep)).diagnostics == ()
    await perform(system, "1 lint")
    assert await queued(system) == ["1 build / inner (x) / last successx"]
    await does(system, "build / inner (x) / last successx", made="first")
    assert await queued(system) == ["1 build / inner (y) / last successy"]
    await does(system, "build / inner (y) / last successy", made="second")
    assert await queued(system) == ["1 report success <second>"]
    await sound(system)


async def test_an_input_that_does_not_fit_once_evaluated_fails_the_call() -> None:
    """The reader cannot know the value; the message names input and type."""
    system = System()
    await start(system, CALLER.replace("STRATEGY", "").replace("count: 3", 'count: "${{ needs.lint.result }}"'))
    await perform(system, "1 lint")
    (failed,) = [event.data for event in await log(system) if event.type == "NodeFailed"]
    assert failed.node == "build"
    assert 'the input "count" of the called workflow cannot be "success"' in failed.message
    await sound(system)


@pytest.mark.parametrize(
    ("caller", "called", "code", "words"),
    [
        (("./.github/workflows/build.yml", "other/repo/.github/workflows/build.yml@main"), ("", ""), "WF108", "other/repo"),
        (("./.github/workflows/build.yml", "./.github/workflows/none.yml"), ("", ""), "WF045", "cannot be found"),
        (("", ""), ("runs-on: linux, outputs", "runs-onn: linux, outputs"), "WF014", "runs-onn"),
        (("count: 3", "count: three"), ("", ""), "WF045", "count"),
        (
            ("with:", "permissions: {contents: read}\n    with:"),
            ("env:", "permissions: {contents: write}\nenv:"),
            "WF047",
            "contents: write",
        ),
    ],
)
async def test_what_cannot_be_called_is_refused_with_its_place_and_starts_nothing(caller: Any, called: Any, code: str, words: str) -> None:
    """Other repositories, missing files, wrong inputs, too much permission."""
    system = System()
    outcome = await start(system, CALLER.replace("STRATEGY", "").replace(*caller), CALLED.replace(*called) if called[0] else CALLED)
    assert outcome.runs == ()
    assert (code, True) in [(each.code, words in each.message) for each in outcome.diagnostics]
    assert await system.types() == []


async def test_workflows_that_call_each_other_in_a_circle_are_refused() -> None:
    """At the depth that GitHub allows; the message says so."""
    circle = "on: workflow_call\njobs: {again: {uses: ./.github/workflows/build.yml}}\n"
    outcome = await start(System(), "on: push\njobs: {first: {uses: ./.github/workflows/build.yml}}\n", circle)
    (found,) = outcome.diagnostics
    assert found.code == "WF046"
    file = "./.github/workflows/build.yml"
    assert found.because == f"they call each other in a circle: {file} -> {file}"


async def test_the_plan_is_one_blob_with_all_that_is_called() -> None:
    """A run needs no file of the repository after it was started."""
    system = System()
    outcome = await start(system)
    run = await system.handler.state(outcome.runs[0].run, "run")
    plan = msgspec.json.decode(await system.blobs.get(run.plan))
    assert list(plan["called"]) == ["./.github/workflows/build.yml"]
