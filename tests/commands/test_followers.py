"""workflow_run: a completed run starts the workflows that listen to it, three levels deep at most."""

from collections.abc import Awaitable, Callable
from typing import Any

from commands.reactor import Reactor
from commands.trigger import DefaultBranch, WorkflowFile
from tests.commands.test_admission import log, sound
from tests.commands.test_agents import eventually, running
from tests.commands.test_trigger import System

CI = "name: CI\non: push\njobs: {build: {runs-on: linux, steps: [{run: x}]}}\n"


def listener(name: str, to: str, more: str = "types: [completed]", condition: str = "true") -> WorkflowFile:
    """A workflow that follows another one."""
    text = f"""
name: {name}
on: {{workflow_run: {{workflows: [{to}], {more}}}}}
jobs:
  job:
    if: {condition}
    name: after ${{{{ github.event.workflow_run.name }}}} ${{{{ github.event.action }}}}
    runs-on: linux
    steps: [{{run: x}}]
"""
    return WorkflowFile(f".github/workflows/{name}.yml", text)


async def push(system: System, *listeners: WorkflowFile, **changes: Any) -> None:
    """A push to which CI answers."""
    outcome = await system.push(workflows=(WorkflowFile(".github/workflows/ci.yml", CI), *listeners), **changes)
    assert [run.workflow for run in outcome.runs] == [".github/workflows/ci.yml"], outcome


async def work(system: System, until: Callable[[], Awaitable[bool]], conclusion: str = "success") -> None:
    """A runner does whatever is queued while the reactor works."""

    async def over() -> bool:
        for job in (await system.queued()).values():
            await system.perform(job, conclusion)
        return await until()

    async with running(Reactor(system.handler, system.store, system.store)):
        await eventually(over)


async def runs(system: System) -> dict[str, tuple[str, str | None]]:
    """Event and conclusion of each run by the name of its workflow."""
    found = [event.stream for event in await log(system) if event.type == "RunTriggered"]
    states = [await system.handler.state(run, "run") for run in found]
    return {state.facts.name: (state.facts.event, state.conclusion) for state in states}


def completed(system: System, count: int) -> Callable[[], Awaitable[bool]]:
    """Until so many runs are complete."""

    async def enough() -> bool:
        return sum(event.type == "RunCompleted" for event in await log(system)) >= count

    return enough


async def test_a_completed_run_starts_what_listens_to_it() -> None:
    """The follower has the commit of the first run, and the run as its event; its cause is the end of that run."""
    system = System()
    await push(system, listener("Deploy", "CI"), listener("Other", "Nightly"))
    await work(system, completed(system, 2))
    assert await runs(system) == {"CI": ("push", "success"), "Deploy": ("workflow_run", "success")}
    events = await log(system)
    (ended, _) = [event for event in events if event.type == "RunCompleted"]
    (_, follower) = [event for event in events if event.type == "RunTriggered"]
    assert follower.meta.cause is not None
    (caused_by,) = [event for event in events if event.id == follower.meta.cause]
    assert caused_by.meta.cause == ended.id
    assert (follower.data.sha, follower.data.ref) == ("1" * 40, "refs/heads/main")
    assert "after CI completed" in [event.data.name for event in events if event.type == "JobCreated"]
    await sound(system)


async def test_the_conclusion_of_the_first_is_the_followers_to_judge() -> None:
    """A failed run starts it as well; its condition reads the conclusion."""
    system = System()
    condition = "github.event.workflow_run.conclusion == 'success'"
    await push(system, listener("Deploy", "CI", condition=condition))
    await work(system, completed(system, 2), "failure")
    assert await runs(system) == {"CI": ("push", "failure"), "Deploy": ("workflow_run", "skipped")}
    await sound(system)


async def test_types_and_branches_decide() -> None:
    """One starts when the first is requested; one only follows runs of another branch."""
    system = System()
    await push(system, listener("Early", "CI", "types: [requested]"), listener("Never", "CI", "branches: [release]"))

    async def early() -> bool:
        return "Early" in await runs(system)

    async with running(Reactor(system.handler, system.store, system.store)):
        await eventually(early)
    await work(system, completed(system, 2))
    assert set(await runs(system)) == {"CI", "Early"}
    assert "after CI requested" in [event.data.name for event in await log(system) if event.type == "JobCreated"]
    await sound(system)


async def test_a_chain_ends_after_three_levels() -> None:
    """As on GitHub, and a workflow that follows itself ends there, too."""
    system = System()
    chain = [listener(name, to) for name, to in (("One", "CI"), ("Two", "One"), ("Three", "Two"), ("Four", "Three"))]
    await push(system, *chain)
    await work(system, completed(system, 4))
    assert set(await runs(system)) == {"CI", "One", "Two", "Three"}
    levels = [event.data.level for event in await log(system) if event.type == "FollowersFixed"]
    assert levels == [0, 1, 2]
    await sound(system)


async def test_a_reactor_that_begins_again_starts_no_follower_twice() -> None:
    """The follower's id is derived from the run that it follows."""
    system = System()
    await push(system, listener("Deploy", "CI"))
    await work(system, completed(system, 2))
    await system.push(key="k2", workflows=(WorkflowFile(".github/workflows/ci.yml", CI), listener("Deploy", "CI")))
    await work(system, completed(system, 4))
    names = [event.data.name for event in await log(system) if event.type == "RunTriggered"]
    assert sorted(names) == ["CI", "CI", "Deploy", "Deploy"]
    await sound(system)


async def test_a_repository_dispatch_is_taken_by_its_type() -> None:
    """The payload's action is the type; what was sent is the client payload."""
    system = System()
    text = """
on: {repository_dispatch: {types: [deploy]}}
jobs: {job: {runs-on: linux, name: "to ${{ github.event.client_payload.place }}", steps: [{run: x}]}}
"""
    facts = {"event": "repository_dispatch", "payload": {"action": "deploy", "client_payload": {"place": "stage"}}}
    assert (await system.push(text, **facts)).runs
    assert list(await system.queued()) == ["to stage"]
    other = await system.push(text, key="k2", event="repository_dispatch", payload={"action": "build"})
    assert other.runs == ()
    assert "the activity is build" in other.not_triggered[0].reason


async def test_a_workflow_dispatch_gives_typed_inputs() -> None:
    """Texts become what the inputs declare; what does not fit starts nothing."""
    system = System()
    text = """
on: {workflow_dispatch: {inputs: {fast: {type: boolean}, count: {type: number, default: 2}, to: {type: choice, options: [a, b]}}}}
jobs: {job: {runs-on: linux, if: inputs.fast && inputs.count == 2, name: "to ${{ inputs.to }}", steps: [{run: x}]}}
"""
    assert (await system.push(text, event="workflow_dispatch", inputs={"fast": "true", "to": "b"})).runs
    assert list(await system.queued()) == ["to b"]
    wrong = await system.push(text, key="k2", event="workflow_dispatch", inputs={"fast": "maybe"})
    assert [each.code for each in wrong.diagnostics] == ["WF303"]


async def test_what_listens_is_what_the_default_branch_says_and_runs_at_its_commit() -> None:
    """Not the files of the run's own commit; down the whole chain."""
    system = System()
    default = DefaultBranch("refs/heads/main", "d" * 40, (listener("Main", "CI"), listener("After", "Main")))
    await push(system, listener("Own", "CI"), ref="refs/heads/feature", default_branch=default)
    await work(system, completed(system, 3))
    assert await runs(system) == {
        "CI": ("push", "success"),
        "Main": ("workflow_run", "success"),
        "After": ("workflow_run", "success"),
    }
    states = [await system.handler.state(event.stream, "run") for event in await log(system) if event.type == "RunTriggered"]
    assert [(state.facts.ref, state.facts.sha[0]) for state in states[1:]] == [("refs/heads/main", "d")] * 2
    await sound(system)
