"""Runs whose workflows call others of other repositories, which are real ones: what starts, what is recorded, what is refused."""

import subprocess
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest

from commands.answering import Answering, Commit
from commands.elsewhere import Lookup, on_github
from commands.trigger import WorkflowFile
from domain import ids
from domain.delivery import AnswerDelivery
from domain.repository import Repository
from domain.run.commands import RerunRun
from domain.webhooks.incoming import Incoming
from domain.workflow.elsewhere import Fetched, Missing
from domain.workflow.references import Remote
from infra.git import environment
from infra.library import GitLibrary
from infra.mirrors import Mirrors
from tests.commands.test_admission import conclusions, log, queued, sound
from tests.commands.test_calls import does
from tests.commands.test_deliveries import Site
from tests.commands.test_trigger import ORIGIN, System

BUILD = "acme/shared/.github/workflows/build.yml"
DEEP = "acme/shared/.github/workflows/deep.yml"
CALLER = f"""
on: push
jobs:
  build: {{uses: {BUILD}@v1, with: {{word: hello}}}}
  report: {{needs: build, name: "report ${{{{ needs.build.outputs.made }}}}", runs-on: linux, steps: [{{run: x}}]}}
"""
CALLED = """
on: {workflow_call: {inputs: {word: {type: string}}, outputs: {made: {value: "${{ jobs.inner.outputs.made }}"}}}}
jobs:
  inner: {uses: ./.github/workflows/deep.yml, with: {word: "${{ inputs.word }}"}}
"""
LEAF = """
on: {workflow_call: {inputs: {word: {type: string}}, outputs: {made: {value: "${{ jobs.last.outputs.made }}"}}}}
jobs: {last: {name: "last ${{ inputs.word }}", runs-on: linux, outputs: {made: "1"}, steps: [{run: x}]}}
"""


class Shared:
    """A clone of acme/shared below the directory of clones, and the library that reads there. asked: by name, in order."""

    def __init__(self, place: Path) -> None:
        self.tree = place / "acme" / "shared"
        self.tree.mkdir(parents=True)
        self.git("init", "--quiet", "--initial-branch=main")
        self.library = GitLibrary(Mirrors(place / "mirrors"), on_github, place)
        self.asked: list[str] = []

    def git(self, *arguments: str) -> str:
        """Run git in the clone."""
        people = {f"GIT_{role}_{field}": "someone" for role in ("AUTHOR", "COMMITTER") for field in ("NAME", "EMAIL")}
        done = subprocess.run(["git", *arguments], cwd=self.tree, env=environment(people), check=True, capture_output=True)
        return done.stdout.decode().strip()

    def commit(self, **files: str) -> str:
        """Commit these workflow files; the commit."""
        for name, text in files.items():
            path = self.tree / ".github" / "workflows" / f"{name}.yml"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", "change")
        return self.git("rev-parse", "HEAD")

    async def read(self, tenant: str, name: Remote) -> Fetched | Missing:
        """See the port."""
        self.asked.append(str(name))
        return await self.library.read(tenant, name)


@pytest.fixture
def shared(tmp_path: Path) -> Shared:
    """With one commit, which the tag v1 names."""
    made = Shared(tmp_path / "clones")
    made.commit(build=CALLED, deep=LEAF)
    made.git("tag", "v1")
    return made


async def test_the_jobs_of_another_repositorys_workflow_join_the_run(shared: Shared) -> None:
    """With inputs and outputs through both levels; the log and the plan name the commit, and nobody is asked again."""
    sha = shared.git("rev-parse", "HEAD")
    system = System()
    outcome = await system.push(CALLER, library=shared)
    assert outcome.diagnostics == ()
    assert shared.asked == [f"{BUILD}@v1", f"{DEEP}@{sha}"]
    assert await queued(system) == ["1 build / inner / last hello"]
    shared.git("tag", "--delete", "v1")
    shared.commit(build="broken", deep="broken")
    await does(system, "build / inner / last hello", made="a wheel")
    assert await queued(system) == ["1 report a wheel"]
    await does(system, "report a wheel")
    assert await conclusions(system) == {1: "success"}
    assert [event.data.uses for event in await log(system) if event.type == "NodeCalled"] == [f"{BUILD}@{sha}", f"{DEEP}@{sha}"]
    run = await system.handler.state(outcome.runs[0].run, "run")
    plan = msgspec.json.decode(await system.blobs.get(run.plan))
    assert list(plan["called"]) == [f"{BUILD}@{sha}", f"{DEEP}@{sha}"]
    rerun = await system.handler.handle(
        RerunRun(outcome.runs[0].run, "all"), msgspec.structs.replace(ORIGIN, command=ids.command_id("t", "2"))
    )
    assert rerun.refusal is None
    assert await queued(system) == ["1 build / inner / last hello"]
    assert len(shared.asked) == 2
    await sound(system)


async def test_the_same_request_again_is_the_same_run_though_the_tag_has_moved(shared: Shared) -> None:
    """What the first one was fixed at stays."""
    system = System()
    first = await system.push(CALLER, library=shared)
    shared.commit(deep=LEAF.replace("last $", "first $"))
    shared.git("tag", "--force", "v1")
    again = await system.push(CALLER, library=shared)
    assert (again.runs[0].run, again.runs[0].replayed) == (first.runs[0].run, True)
    other = await system.push(CALLER, key="k2", library=shared)
    assert other.runs[0].run != first.runs[0].run
    assert await queued(system) == ["1 build / inner / last hello", "2 build / inner / first hello"]
    await sound(system)


async def test_a_listener_may_call_them_too(shared: Shared) -> None:
    """Its plan is fixed when the run is that it listens to."""
    listener = f"on: {{workflow_run: {{workflows: [ci.yml]}}}}\njobs: {{late: {{uses: {BUILD}@v1}}}}\n"
    system = System()
    files = (
        WorkflowFile("ci.yml", "name: ci.yml\non: push\njobs: {a: {runs-on: linux, steps: [{run: x}]}}\n"),
        WorkflowFile("late.yml", listener),
    )
    outcome = await system.push(workflows=files, library=shared)
    run = await system.handler.state(outcome.runs[0].run, "run")
    (follower,) = run.followers.followers
    plan = msgspec.json.decode(await system.blobs.get(follower.plan))
    assert list(plan["called"]) == [f"{name}@{shared.git('rev-parse', 'HEAD')}" for name in (BUILD, DEEP)]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"@v1": "@v9"}, '"acme/shared" of the called workflow has no "v9"'),
        ({"build.yml@": "none.yml@"}, 'has no file ".github/workflows/none.yml" at v1'),
    ],
)
async def test_what_is_not_there_starts_nothing(change: dict[str, str], words: str, shared: Shared) -> None:
    """Told at the place of the call."""
    text = CALLER
    for old, new in change.items():
        text = text.replace(old, new)
    system = System()
    outcome = await system.push(text, library=shared)
    (found,) = outcome.diagnostics
    assert (found.code, found.file, found.line) == ("WF108", ".github/workflows/ci.yml", 4)
    assert words in found.message
    assert await system.types() == []


async def test_nothing_is_looked_up_for_a_file_that_is_broken(shared: Shared) -> None:
    """Nor for one that the event does not start."""
    system = System()
    broken = WorkflowFile("broken.yml", "on: push\njobs: {}\n")
    outcome = await system.push(workflows=(WorkflowFile("ci.yml", CALLER), broken), library=shared)
    assert outcome.runs == ()
    await system.push(CALLER.replace("on: push", "on: pull_request"), key="k2", library=shared)
    assert shared.asked == []


async def test_a_delivery_starts_what_calls_them_and_tells_what_cannot(shared: Shared) -> None:
    """Each file alone: a call that leads nowhere keeps no other workflow from its run."""

    class Commits:
        async def read(self, _repository: UUID, _state: Repository, event: Incoming) -> Commit:
            good, bad = CALLER, CALLER.replace("@v1", "@v9")
            return Commit(event.sha, (WorkflowFile("good.yml", good), WorkflowFile("bad.yml", bad)))

    site = Site()
    answering = Answering(site.system.handler, site.system.blobs, Commits(), library=shared)
    delivery = await site.take("k1")
    state = await site.system.handler.latest(delivery, "delivery")
    answer = await answering.answer(delivery, "default", state)
    assert isinstance(answer, AnswerDelivery)
    assert [run.workflow_path for run in answer.runs] == ["good.yml"]
    assert list(answer.runs[0].workflow_ast.called) == [f"{name}@{shared.git('rev-parse', 'HEAD')}" for name in (BUILD, DEEP)]
    (unstarted,) = answer.unstarted
    assert (unstarted.workflow, unstarted.reason) == (
        "bad.yml",
        '4:17: the repository "acme/shared" of the called workflow has no "v9"',
    )


async def test_every_file_of_a_ref_is_of_one_commit(shared: Shared) -> None:
    """Also where the tag moves between the two looks."""
    first = shared.git("rev-parse", "HEAD")
    lookup = Lookup(shared, "default")
    await lookup.look([f"{BUILD}@v1"])
    shared.commit(deep=LEAF.replace("last", "first"))
    shared.git("tag", "--force", "v1")
    await lookup.look([f"{DEEP}@v1"])
    found: Any = lookup.found
    assert [each.sha for each in found.values()] == [first, first]
